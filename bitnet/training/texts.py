"""Parts for language models: recipes, schedules, corpora, and the generation of text.

A language model reads tokens and scores the next one.  It is any callable

    model(ids, state) -> (scores, state)        ids (T, B), scores (T * B, V), step after step

where the state comes from the previous call, and is None at the beginning of a text.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator

import numpy as np

from bitnet.autograd.tensor import Tensor
from bitnet.data import load_corpus
from bitnet.data.text import PARTS
from bitnet.data.vocabulary import UNKNOWN, Vocabulary
from bitnet.devices import check_generator, full_memory_named, to_cpu
from bitnet.errors import InputError, check_count
from bitnet.optim import SGD, Adam, schedules
from bitnet.training.metrics import evaluating_if_module

PROMPT_STEPS = 100  # tokens of a prompt per call, which bounds the memory of the scores


@dataclasses.dataclass(frozen=True)
class Regime:
    """The settings of a training with SGD, and the sizes of its LSTM.

    `dropout` applies to activations that are not recurrent.  `clip` is the largest norm of all
    gradients.  The learning rate is multiplied by `factor` after epoch `after` and after each later
    epoch.
    """

    epochs: int
    batch: int
    steps: int
    lr: float
    factor: float
    after: int
    clip: float
    dropout: float
    units: int
    layers: int


# Zaremba et al., arXiv 1409.2329, section 4.1: one net without dropout, two with it
REGIMES = {
    "small": Regime(13, 20, 20, 1.0, 1 / 2, 4, 5.0, 0.0, 200, 2),
    "medium": Regime(39, 20, 35, 1.0, 1 / 1.2, 6, 5.0, 0.5, 650, 2),
    "large": Regime(55, 20, 35, 1.0, 1 / 1.15, 14, 10.0, 0.65, 1500, 2),
}
RECIPES = ("default", *(f"zaremba-{name}" for name in REGIMES))
OPTIMIZERS = {"adam": Adam, "sgd": SGD}
SCHEDULES = ("plateau", "cosine", "constant", "delayed")
# recipe "default": Adam; the rate is halved when the validation loss does not fall
OF_UNIT = {
    "words": {"batch": 20, "steps": 35, "lr": 2e-3},
    "characters": {"batch": 32, "steps": 25, "lr": 1e-3},  # ReLU states grow with the steps
}
DEFAULT = {"optimizer": "adam", "schedule": "plateau", "epochs": 20, "clip": 5.0, "dropout": 0.0}
LR_OF_SGD = 1.0  # the rate of the regimes


def regime_of(recipe):
    """Return the Regime that a recipe names, or None for "default"."""
    return REGIMES.get(recipe.removeprefix("zaremba-"))


def defaults(recipe, unit, optimizer=None):
    """Return the default settings for a recipe, a unit and an optimizer."""
    start = DEFAULT | OF_UNIT[unit] | ({"lr": LR_OF_SGD} if optimizer == "sgd" else {})
    if regime := regime_of(recipe):
        names = "epochs", "batch", "steps", "lr", "clip", "dropout"
        start |= {name: getattr(regime, name) for name in names}
        start |= {"optimizer": "sgd", "schedule": "delayed"}
    return start


def schedule_of(settings):
    """Return the Schedule of a training; "delayed" with recipe "default" is zaremba-medium's."""
    regime, name = regime_of(settings["recipe"]) or REGIMES["medium"], settings["schedule"]
    more = {"cosine": [settings.get("epochs")], "delayed": [regime.factor, regime.after]}
    return getattr(schedules, name.title())(settings["lr"], *more.get(name, []))


def read_corpus(settings, vocabulary=None):
    """Return the Corpus of a training, encoded with a Vocabulary if one is given."""
    size = settings.get("vocabulary") if vocabulary is None else None
    corpus = load_corpus(settings["data"], settings["folder"], settings["unit"], size, vocabulary)
    limit = settings["limit"]
    return corpus.first(limit, limit) if limit else corpus


def note_on_unknown(corpus):
    """Return what a user should know about unknown words, which a text may not teach, or None."""
    vocabulary, unknown = corpus.vocabulary, int(corpus.vocabulary.encode([UNKNOWN])[0])
    shares = {name: float((getattr(corpus, name) == unknown).mean()) for name in PARTS}
    if shares["train"] or not (shares["valid"] or shares["test"]):
        return None
    counts = np.bincount(corpus.train, minlength=len(vocabulary))
    often = int((counts > 1).sum()) + 1  # with <unk>
    note = (
        f"{shares['valid']:.2%} of the validation {vocabulary.unit} and {shares['test']:.2%} of "
        f"the test {vocabulary.unit} are not in the training text; it has no {UNKNOWN}, so their "
        "scores are not trained"
    )
    keeps = f"--vocabulary {often} keeps the {vocabulary.unit} that occur twice or more"
    return f"{note}; {keeps}, and trains {UNKNOWN} on the others"


def generate(
    model: Callable,
    vocabulary: Vocabulary,
    prompt: str,
    count: int,
    rng: np.random.Generator,
    temperature: float = 1.0,
) -> Iterator[str]:
    """Continue a text token by token.

    Each token is drawn with the probabilities `softmax(scores / temperature)` that the model
    computes from all previous tokens.  `<unk>` is never drawn.

    Parameters
    ----------
    model : callable
        A language model, `model(ids, state) -> (scores, state)`, with ids (T, B), scores
        (T * B, V), and None as the first state; used in evaluation mode.
    vocabulary : Vocabulary
        The vocabulary of the model.
    prompt : str
        The beginning of the text, see `Vocabulary.split`.  If it has no token, the text begins
        with a new line.
    count : int
        Number of tokens to draw, 0 or more.
    rng : numpy.random.Generator
        Draws the tokens.
    temperature : float, optional
        Default: 1.  Smaller values favour likely tokens; 0 always takes the likeliest one.

    Yields
    ------
    str
        Tokens without the prompt; `vocabulary.join` turns them into a text.

    Raises
    ------
    InputError
        If an argument is out of range, or the vocabulary does not fit the model.

    Examples
    --------
    >>> from bitnet.data.vocabulary import Vocabulary
    >>> def even(ids, state):
    ...     return np.zeros((ids.size, 4), np.float32), state
    >>> vocabulary = Vocabulary.of("abab", "characters")
    >>> "".join(generate(even, vocabulary, "a", 8, np.random.default_rng(0)))
    'baaa\\n\\nb\\n'
    """
    check_count("generate", least=0, count=count)
    if not isinstance(temperature, (int, float)) or not 0 <= temperature < math.inf:
        raise InputError(f"generate: temperature is {temperature!r}; expected 0 or more")
    check_generator("generate", rng)
    unknown = int(vocabulary.encode([UNKNOWN])[0])
    ids = vocabulary.encode(vocabulary.split(prompt) or [vocabulary.end])
    state = None
    for _ in range(count):
        for start in range(0, len(ids), PROMPT_STEPS):
            with full_memory_named(), evaluating_if_module(model):
                scores, state = model(ids[start : start + PROMPT_STEPS, None], state)
        last = np.array(to_cpu(scores.data if isinstance(scores, Tensor) else scores))[-1]
        if len(last) != len(vocabulary) or not np.isfinite(last).all():
            raise InputError(
                f"generate: the model gives {len(last)} scores, {np.isfinite(last).sum()} of them "
                f"finite, for {vocabulary}; expected one finite score per token"
            )
        last[unknown] = -np.inf
        ids = np.array([_draw(last.astype(np.float64), rng, temperature)], np.int32)
        yield vocabulary.words[ids[0]]


def _draw(scores, rng, temperature):
    """Draw a number with the probabilities softmax(scores / temperature)."""
    if temperature == 0:
        return scores.argmax()
    with np.errstate(over="ignore"):  # with a temperature near 0
        ends = np.exp((scores - scores.max()) / temperature).cumsum()
    return np.searchsorted(ends, rng.random() * ends[-1], "right")
