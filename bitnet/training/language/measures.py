"""Language models: what they are, their measures, and the texts that they write.

A language model reads tokens and scores what comes next.  Here it is anything with

    model(ids, state) -> (scores, state)        ids (T, B), scores (T * B, V), step after step

where a state is what an earlier call gave, and None at the beginning of a text.
"""

import contextlib
import math

import numpy as np

from bitnet.autograd.tensor import Tensor
from bitnet.data.pieces import sequences
from bitnet.data.vocabulary import UNKNOWN
from bitnet.devices import check_generator, full_memory_named, to_cpu
from bitnet.errors import InputError
from bitnet.nn import Module
from bitnet.nn.functional import cross_entropy
from bitnet.nn.module import evaluating

__all__ = ["bits_per_character", "evaluate_language", "generate", "perplexity"]

STEPS = 100  # of a prompt that are read at once: each has the scores of all tokens
LARGEST_LOSS = 700.0  # nats a token, of which exp is still a float


def perplexity(loss):
    """The perplexity of a model whose mean cross-entropy a token is known: `exp(loss)`.

    `exp(-mean(log p(token | those before it)))`, the number of tokens among which a model that
    guesses evenly would be as uncertain; the measure of word models.

    Parameters
    ----------
    loss : float
        In nats a token, as `functional.cross_entropy` gives it.

    Returns
    -------
    float
        1 or more; `inf` above 700 nats.

    Examples
    --------
    >>> round(perplexity(math.log(97)), 6)
    97.0
    """
    return math.exp(loss) if loss <= LARGEST_LOSS else math.inf


def bits_per_character(loss):
    """The cross-entropy in bits: `loss / log(2)`, the measure of character models.

    Parameters
    ----------
    loss : float
        In nats a character.

    Returns
    -------
    float

    Examples
    --------
    >>> bits_per_character(math.log(2))
    1.0
    """
    return loss / math.log(2)


def evaluate_language(model, ids, batch=20, steps=35):
    """The mean cross-entropy a token of a text, each token but the first counted once.

    Parameters
    ----------
    model : callable
        See the top of this module; used in evaluation mode.
    ids : numpy.ndarray
        The text, integers (count,), 2 or more.
    batch, steps : int, optional
        Streams, each of which begins without a past, and steps at once: fewer streams take longer
        and tell a little more of a short text.

    Returns
    -------
    float
        In nats; see `perplexity` and `bits_per_character`.

    Raises
    ------
    InputError
        If the text is too short or does not fit the model.

    Examples
    --------
    >>> def even(ids, state):
    ...     return np.zeros((ids.size, 4), np.float32), state
    >>> round(perplexity(evaluate_language(even, np.arange(4))), 3)
    4.0
    """
    total, count, state = 0.0, 0, None
    with full_memory_named(), _evaluating(model):
        for piece in sequences(ids, min(batch, max(1, len(ids) - 1)), steps):
            scores, state = model(piece.x, state if piece.continues else None)
            total += cross_entropy(scores, piece.y.reshape(-1)).item() * piece.y.size
            count += piece.y.size
    return total / count


def generate(model, vocabulary, prompt, count, rng, temperature=1.0):
    """A text that goes on where another one ends, token by token.

    Each token is drawn with the probabilities `softmax(scores / temperature)` that the model gives
    it behind all tokens before it; `<unk>` is never drawn.

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
    if not isinstance(count, (int, np.integer)) or count < 0:
        raise InputError(f"generate: count is {count!r}; expected a whole number from 0 on")
    if not isinstance(temperature, (int, float)) or not 0 <= temperature < math.inf:
        raise InputError(f"generate: temperature is {temperature!r}; expected a number from 0 on")
    check_generator("generate", rng)
    unknown = int(vocabulary.encode([UNKNOWN])[0])
    ids = vocabulary.encode(vocabulary.split(prompt) or [vocabulary.end])
    state = None
    for _ in range(count):
        for start in range(0, len(ids), STEPS):
            with full_memory_named(), _evaluating(model):
                scores, state = model(ids[start : start + STEPS, None], state)
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


def _evaluating(model):
    """Evaluation mode, of what has one."""
    return evaluating(model) if isinstance(model, Module) else contextlib.nullcontext()
