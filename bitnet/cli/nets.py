"""What the verbs share about language models: their vocabulary, their texts and their measures."""

import sys
import time

from bitnet.data import TEXTS, Vocabulary
from bitnet.deploy import FrozenLanguageModel
from bitnet.errors import InputError
from bitnet.training.metrics import (
    bits_per_character,
    evaluate_language,
    measures,
    per_second,
    perplexity,
)
from bitnet.training.texts import read_corpus
from bitnet.training.trained import Trained

MAX_PROMPT = 1 << 20  # bytes of standard input


def is_text(net):
    """Return whether a trained or frozen net is a language model."""
    return isinstance(net, FrozenLanguageModel) or getattr(net, "task", None) == "texts"


def scores_of(net):
    """Return the function of a language model from ids and a state to scores and the next state."""
    return net.model if isinstance(net, Trained) else net.scores


def vocabulary_of(net, path):
    """Return the Vocabulary of a language model; `path` names its file in errors."""
    if isinstance(net, Trained):
        return net.vocabulary
    if net.unit is None:
        lacks = "does not say what its tokens are" if net.vocabulary else "has no vocabulary"
        raise InputError(f"{path} {lacks}; freeze the model again, with its Vocabulary")
    try:
        return Vocabulary(net.vocabulary, net.unit)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def measure_of(unit, loss):
    """The name and the value of the measure of a unit, from a loss in nats per token."""
    if unit == "words":
        return "perplexity", perplexity(loss)
    return "bits per character", bits_per_character(loss)


def text_of(net, vocabulary, args, limit):
    """The name and the tokens of the test text in --data and --folder."""
    if limit == 1:
        raise InputError(
            "--limit is 1; expected 0 (all) or 2 or more, as the first is not predicted"
        )
    settings = getattr(net, "settings", {"data": None})
    own = settings["data"]
    data = args.data or own
    if data not in TEXTS:
        lacks = f"is a language model, and --data is {data}; expected"
        if data is None:
            lacks = "does not say which text it was trained on; add --data with"
        raise InputError(f"{args.file} {lacks} one of {', '.join(TEXTS)}")
    folder = args.folder or (settings["folder"] if data == own else None)
    asked = {"data": data, "folder": folder, "unit": vocabulary.unit, "limit": limit}
    return data, read_corpus(asked, vocabulary).test


def measure_text(scores, vocabulary, ids, batch=20, steps=35):
    """The measures of the scores of a language model on a text, by name, and its speed."""
    evaluate_language(scores, ids[: batch * steps + 1], batch, steps)  # compiles
    start_s = time.perf_counter()
    loss = evaluate_language(scores, ids, batch, steps)
    elapsed_s = time.perf_counter() - start_s
    unknown = vocabulary.encode(["<unk>"])[0]
    return {
        "tokens": len(ids) - 1,  # that are predicted
        **measures(loss),
        "unknown": float((ids[1:] == unknown).mean()),
        "tokens_per_second": per_second(len(ids) - 1, elapsed_s),
    }


def standard_input(most):
    """The bytes of standard input; refuses more than `most`."""
    content = sys.stdin.buffer.read(most + 1)
    if len(content) > most:
        raise InputError(f"standard input has more than {most} bytes; shorten it")
    return content


def prompt_of(text):
    """The beginning of a text: the argument, or standard input without its last newline."""
    if text != "-":
        return text
    try:
        return standard_input(MAX_PROMPT).decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"standard input: byte {error.start} is not UTF-8") from None
