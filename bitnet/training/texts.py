"""What only the training of language models has: recipes, rates, and the texts that they write.

A language model reads tokens and scores what comes next.  Here it is anything with

    model(ids, state) -> (scores, state)        ids (T, B), scores (T * B, V), step after step

where a state is what an earlier call gave, and None at the beginning of a text.
"""

import dataclasses
import math

import numpy as np

from bitnet.autograd.tensor import Tensor
from bitnet.data import load_corpus
from bitnet.data.vocabulary import UNKNOWN
from bitnet.devices import check_generator, full_memory_named, to_cpu
from bitnet.errors import InputError, check_count
from bitnet.optim import SGD, Adam, schedules
from bitnet.training.metrics import evaluating_if_module

PROMPT_STEPS = 100  # of a prompt that are read at once: each has the scores of all tokens


@dataclasses.dataclass(frozen=True)
class Regime:
    """How a language model is trained by SGD, and the LSTM that it was chosen for.

    Dropout is that of what is not recurrent; `clip` is the largest norm of all gradients; the
    rate is multiplied with `factor` after epoch `after` and each later one.
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


# Zaremba et al., arXiv 1409.2329, section 4.1: without dropout, and two nets with it
REGIMES = {
    "small": Regime(13, 20, 20, 1.0, 1 / 2, 4, 5.0, 0.0, 200, 2),
    "medium": Regime(39, 20, 35, 1.0, 1 / 1.2, 6, 5.0, 0.5, 650, 2),
    "large": Regime(55, 20, 35, 1.0, 1 / 1.15, 14, 10.0, 0.65, 1500, 2),
}
RECIPES = ("default", *(f"zaremba-{name}" for name in REGIMES))
OPTIMIZERS = {"adam": Adam, "sgd": SGD}
SCHEDULES = ("plateau", "cosine", "constant", "delayed")
# of the recipe "default": Adam, and a rate that is halved when the validation loss does not fall
OF_UNIT = {
    "words": {"batch": 20, "steps": 35, "lr": 2e-3},
    "characters": {"batch": 32, "steps": 25, "lr": 1e-3},  # rectified units grow over more steps
}
DEFAULT = {"optimizer": "adam", "schedule": "plateau", "epochs": 20, "clip": 5.0, "dropout": 0.0}
LR_OF_SGD = 1.0  # as in the regimes


def regime_of(recipe):
    """The Regime that a recipe names, or None for "default"."""
    return REGIMES.get(recipe.removeprefix("zaremba-"))


def defaults(recipe, unit, optimizer=None):
    """The numbers of a training that its recipe, the unit and the optimizer that is given say."""
    start = DEFAULT | OF_UNIT[unit] | ({"lr": LR_OF_SGD} if optimizer == "sgd" else {})
    if regime := regime_of(recipe):
        names = "epochs", "batch", "steps", "lr", "clip", "dropout"
        start |= {name: getattr(regime, name) for name in names}
        start |= {"optimizer": "sgd", "schedule": "delayed"}
    return start


def schedule_of(settings):
    """The learning rates of a training; "delayed" of the recipe "default" is zaremba-medium's."""
    regime, name = regime_of(settings["recipe"]) or REGIMES["medium"], settings["schedule"]
    more = {"cosine": [settings.get("epochs")], "delayed": [regime.factor, regime.after]}
    return getattr(schedules, name.title())(settings["lr"], *more.get(name, []))


def read_corpus(settings, vocabulary=None):
    """The Corpus of a training, in numbers of an earlier training's Vocabulary if there is one."""
    size = settings.get("vocabulary") if vocabulary is None else None
    corpus = load_corpus(settings["data"], settings["folder"], settings["unit"], size, vocabulary)
    limit = settings["limit"]
    return corpus.first(limit, limit) if limit else corpus


def generate(model, vocabulary, prompt, count, rng, temperature=1.0):
    """Draw the continuation of a text, token by token.

    Each token is drawn with the probabilities `softmax(scores / temperature)` that the model gives
    it after all tokens before it; `<unk>` is never drawn.

    Parameters
    ----------
    model : callable
        See the top of this module; used in evaluation mode.
    vocabulary : Vocabulary
        Of its tokens.
    prompt : str
        The beginning; see `Vocabulary.split`.  Without any token, the beginning of a line.
    count : int
        Tokens to draw, 0 or more.
    rng : numpy.random.Generator
        Draws them.
    temperature : float, optional
        Above 0: below 1 likelier tokens become likelier still; 0 takes the likeliest one.

    Yields
    ------
    str
        Tokens, without the prompt; `vocabulary.join` makes a text of them.

    Raises
    ------
    InputError
        If an argument is out of range, or the vocabulary is another model's.

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
        raise InputError(f"generate: temperature is {temperature!r}; expected a number from 0 on")
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
                f"generate: {len(last)} scores, some of which may be NaN, for {vocabulary}; "
                "expected a finite one for each"
            )
        last[unknown] = -np.inf
        ids = np.array([_draw(last.astype(np.float64), rng, temperature)], np.int32)
        yield vocabulary.words[ids[0]]


def _draw(scores, rng, temperature):
    """A number drawn with softmax(scores / temperature)."""
    if temperature == 0:
        return scores.argmax()
    with np.errstate(over="ignore"):  # of a temperature near 0
        ends = np.exp((scores - scores.max()) / temperature).cumsum()
    return np.searchsorted(ends, rng.random() * ends[-1], "right")
