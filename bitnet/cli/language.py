"""What `bitnet evaluate`, `predict`, `freeze` and `summary` do with a language model."""

import pathlib
import sys
import time

import numpy as np

from bitnet.archive import check_writable, header_of, to_json
from bitnet.cli.options import check_number, check_replaced
from bitnet.cli.train_language import measure_of
from bitnet.data import TEXTS
from bitnet.data.vocabulary import Vocabulary
from bitnet.deploy.file import LANGUAGE_MODEL, load
from bitnet.deploy.freeze import freeze
from bitnet.errors import InputError
from bitnet.nn.module import evaluating
from bitnet.training.language import bits_per_character, evaluate_language, generate, perplexity
from bitnet.training.language.experiment import (
    TrainedLanguage,
    load_language,
    read_corpus,
    says_language,
)

__all__ = ["evaluate_text", "freeze_text", "measure_text", "opened_language", "predict_text"]

MAX_PROMPT = 1 << 20  # bytes of standard input


def opened_language(path, of_words=True):
    """The language model of a file, or None if it is of images.

    Parameters
    ----------
    path : str or path
        What `bitnet train` or `freeze` wrote.
    of_words : bool, optional
        Whether the words or characters of its tokens are needed.

    Returns
    -------
    TrainedLanguage or None
        Of a frozen model `settings` are empty, and its vocabulary is None where it is not needed.

    Raises
    ------
    InputError
        If the file is none, or damaged, or lacks a vocabulary that is needed.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> try:
    ...     opened_language(__file__)
    ... except InputError as error:
    ...     print(str(error).partition(": ")[2])
    not a file of bitnet, or its end is cut off; expected a net
    """
    if header_of(path)["kind"] != LANGUAGE_MODEL:
        return load_language(path) if says_language(path) else None
    model = load(path)
    if not of_words:
        return TrainedLanguage(model, None, {})
    if model.unit is None:
        lacks = "does not say what its tokens are" if model.vocabulary else "has no vocabulary"
        raise InputError(f"{path} {lacks}; freeze the model again, with its Vocabulary")
    try:
        vocabulary = Vocabulary(model.vocabulary, model.unit)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return TrainedLanguage(model, vocabulary, {})


def scorer(net):
    """From ids and a state to scores and the next state."""
    return net.model if net.settings else net.model.scores


def evaluate_text(net, args):
    """Print the measures of a language model on a test text, and its speed.

    Parameters
    ----------
    net : TrainedLanguage
        What to measure.
    args : argparse.Namespace
        Of `bitnet evaluate`.

    Examples
    --------
    `bitnet evaluate lstm-300-ptb.checkpoint` calls it.

    >>> evaluate_text.__name__
    'evaluate_text'
    """
    data, ids = _test_text(net, args, args.limit)
    steps = net.settings.get("steps", 35)
    batch = args.batch or net.settings.get("batch", 20)
    figures = {"file": str(args.file), "data": data}
    figures |= measure_text(net, ids, batch, steps)
    if args.json:
        print(to_json(figures))
        return
    name, value = measure_of(net.unit, figures["loss"])
    print(f"{args.file}: {name} {value:.4f} on {figures['tokens']} {net.unit} of {data}")
    print(f"{figures['unknown']:.2%} of them are <unk>")
    print(f"{figures['tokens_per_second']:,.0f} {net.unit} a second, {batch} texts at once")


def _test_text(net, args, limit):
    """The name and the tokens of the test text that --data and --folder say."""
    if limit == 1:
        raise InputError(
            "--limit is 1; expected 0 for all, or 2 or more: the first is not predicted"
        )
    own = net.settings.get("data")
    data = args.data or own
    if data not in TEXTS:
        lacks = (
            "does not say which text it is of; use --data"
            if data is None
            else (f"is a language model, and --data is {data}; it needs")
        )
        raise InputError(f"{args.file} {lacks} one of {', '.join(TEXTS)}")
    folder = args.folder or (net.settings["folder"] if data == own else None)
    asked = {"data": data, "folder": folder, "unit": net.unit, "limit": limit}
    return data, read_corpus(asked, net.vocabulary).test


def measure_text(net, ids, batch=20, steps=35):
    """The measures of a language model on a text, and its speed.

    Parameters
    ----------
    net : TrainedLanguage
        What to measure.
    ids : numpy.ndarray
        The text, in numbers of its vocabulary.
    batch, steps : int, optional
        As for `evaluate_language`.

    Returns
    -------
    dict
        tokens (how many are predicted), loss (nats a token), perplexity, bits (a token), unknown
        (the share of "<unk>") and tokens_per_second.

    Examples
    --------
    >>> from bitnet.training.language.experiment import LanguageExperiment, TrainedLanguage
    >>> experiment = LanguageExperiment({"net": "rnn:8", "limit": 100})
    >>> corpus, settings = experiment.corpus, experiment.settings
    >>> net = TrainedLanguage(experiment.model, corpus.vocabulary, settings)
    >>> measure_text(net, corpus.test)["tokens"]
    99
    """
    evaluate_language(scorer(net), ids[: batch * steps + 1], batch, steps)  # compiles
    start_s = time.perf_counter()
    loss = evaluate_language(scorer(net), ids, batch, steps)
    elapsed_s = time.perf_counter() - start_s
    unknown = net.vocabulary.encode(["<unk>"])[0]
    return {
        "tokens": len(ids) - 1,
        "loss": loss,
        "perplexity": perplexity(min(loss, 700.0)),
        "bits": bits_per_character(loss),
        "unknown": float((ids[1:] == unknown).mean()),
        "tokens_per_second": (len(ids) - 1) / elapsed_s,
    }


def predict_text(net, args):
    """Print each text that is given, and how the language model goes on.

    Parameters
    ----------
    net : TrainedLanguage
        What draws the tokens.
    args : argparse.Namespace
        Of `bitnet predict`.

    Examples
    --------
    `bitnet predict lstm-300-ptb.checkpoint "the sea" --count 20` calls it.

    >>> predict_text.__name__
    'predict_text'
    """
    count = 100 if args.count is None else args.count
    temperature = 0.8 if args.temperature is None else args.temperature
    check_number("count", count, 0, 10**6)
    if not 0 <= temperature <= 1000:
        raise InputError(f"--temperature is {temperature}; expected a number from 0 to 1000")
    check_number("seed", args.seed or 0, 0, 2**32)
    if args.top != 1 or args.invert:
        raise InputError(f"--{'invert' if args.invert else 'top'} is of images; leave it out")
    rows, rng = [], np.random.default_rng(args.seed or 0)
    for text in args.inputs:
        prompt = _standard_input() if text == "-" else text
        start = net.vocabulary.split(prompt)
        drawn = generate(scorer(net), net.vocabulary, prompt, count, rng, temperature)
        whole = net.vocabulary.join([*start, *drawn])
        rows.append({"input": text, "text": whole})
        if not args.json:
            print(whole)
    if args.json:
        print(to_json(rows))


def freeze_text(net, args):
    """Freeze a language model, save it, load it, and compare its scores with the trained one's.

    Parameters
    ----------
    net : TrainedLanguage
        Of few bits.
    args : argparse.Namespace
        Of `bitnet freeze`.

    Raises
    ------
    InputError
        If it is a float net or frozen already, or the file cannot be written.

    Examples
    --------
    `bitnet freeze lstm-300-ptb-4w-4a.checkpoint` calls it.

    >>> freeze_text.__name__
    'freeze_text'
    """
    if not net.settings or net.settings["float"]:
        kind = "a float net" if net.settings else "frozen already"
        raise InputError(f"{args.file} is {kind}; expected a language model of few bits")
    if args.reestimate:
        raise InputError("--reestimate is of nets with norms; leave it out for a language model")
    out = pathlib.Path(args.out or pathlib.Path(args.file).with_suffix(".npz"))
    check_writable(out)
    check_replaced(out, LANGUAGE_MODEL)
    ids = None
    if args.check:
        try:
            ids = _test_text(net, args, max(2, args.check))[1][:, None]
        except InputError as error:
            raise InputError(f"{error}; or --check 0, to freeze without a comparison") from None
    freeze(net.model, vocabulary=net.vocabulary).save(out)
    frozen = load(out)
    latent, n_bytes = 4 * sum(p.data.size for p in net.model.parameters()), out.stat().st_size
    print(f"{out}: {frozen}")
    print(
        f"{n_bytes} bytes; the trained parameters in float32 are {latent}, "
        f"{latent / n_bytes:.1f} times the net's"
    )
    if ids is None:
        return
    with evaluating(net.model):
        trained_scores = net.model(ids, None)[0].data
    if not np.array_equal(trained_scores, frozen.scores(ids)[0]):
        raise InputError(f"{out} is not the trained net: its scores differ; please report this")
    print(
        f"compared with the trained net on {len(ids)} {net.unit} of the test text: all "
        f"{trained_scores.size} scores are equal"
    )


def _standard_input():
    """The text in standard input, without the end of its last line."""
    content = sys.stdin.buffer.read(MAX_PROMPT + 1)
    if len(content) > MAX_PROMPT:
        raise InputError(f"standard input: more than the {MAX_PROMPT} bytes that are read")
    try:
        return content.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"standard input: byte {error.start} is no UTF-8") from None
