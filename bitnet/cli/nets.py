"""Nets of images or language models from files, and what the verbs measure of the latter."""

import dataclasses
import sys
import time

from bitnet.data import TEXTS, Vocabulary
from bitnet.deploy import FrozenLanguageModel
from bitnet.errors import InputError
from bitnet.training.metrics import bits_per_character, evaluate_language, measures, perplexity
from bitnet.training.texts import read_corpus
from bitnet.training.trained import Trained, load_net, task_in

MAX_PROMPT = 1 << 20  # bytes of standard input


@dataclasses.dataclass(frozen=True)
class LanguageFile:
    """The language model of a file: trained, or frozen, whose `settings` are empty.

    The vocabulary of a frozen one is None where it is not needed.
    """

    model: object
    vocabulary: Vocabulary | None
    settings: dict

    def to(self, device):
        """Move the model; returns the LanguageFile."""
        self.model.to(device)
        return self

    @property
    def unit(self):
        """What a token is: "words" or "characters"."""
        return self.vocabulary.unit

    @property
    def scores(self):
        """From ids and a state to scores and the next state."""
        return self.model if self.settings else self.model.scores


def opened(path, of_words=True):
    """The net of a file, a Trained or a frozen one, or a LanguageFile."""
    net = load_net(path)
    if isinstance(net, Trained) and net.task == "texts":
        return LanguageFile(net.model, net.vocabulary, net.settings)
    if isinstance(net, FrozenLanguageModel):
        return LanguageFile(net, _vocabulary(net, path) if of_words else None, {})
    return net


def opened_language(path, of_words=True):
    """The LanguageFile of a file, or None if it holds a net of images."""
    return opened(path, of_words) if task_in(path) == "texts" else None


def _vocabulary(model, path):
    """The vocabulary in the file of a frozen language model."""
    if model.unit is None:
        lacks = "does not say what its tokens are" if model.vocabulary else "has no vocabulary"
        raise InputError(f"{path} {lacks}; freeze the model again, with its Vocabulary")
    try:
        return Vocabulary(model.vocabulary, model.unit)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def measure_of(unit, loss):
    """The name and the value of the measure of a unit, from a loss in nats per token."""
    if unit == "words":
        return "perplexity", perplexity(loss)
    return "bits per character", bits_per_character(loss)


def text_of(net, args, limit):
    """The name and the tokens of the test text in --data and --folder."""
    if limit == 1:
        raise InputError(
            "--limit is 1; expected 0 (all) or 2 or more, as the first is not predicted"
        )
    own = net.settings.get("data")
    data = args.data or own
    if data not in TEXTS:
        lacks = f"is a language model, and --data is {data}; expected"
        if data is None:
            lacks = "does not say which text it was trained on; add --data with"
        raise InputError(f"{args.file} {lacks} one of {', '.join(TEXTS)}")
    folder = args.folder or (net.settings["folder"] if data == own else None)
    asked = {"data": data, "folder": folder, "unit": net.unit, "limit": limit}
    return data, read_corpus(asked, net.vocabulary).test


def measure_text(net, ids, batch=20, steps=35):
    """The measures of a language model on a text, by name, and its speed."""
    evaluate_language(net.scores, ids[: batch * steps + 1], batch, steps)  # compiles
    start_s = time.perf_counter()
    loss = evaluate_language(net.scores, ids, batch, steps)
    elapsed_s = time.perf_counter() - start_s
    unknown = net.vocabulary.encode(["<unk>"])[0]
    return {
        "tokens": len(ids) - 1,  # that are predicted
        **measures(loss),
        "unknown": float((ids[1:] == unknown).mean()),
        "tokens_per_second": (len(ids) - 1) / elapsed_s,
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
