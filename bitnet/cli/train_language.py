"""What `bitnet train` does with a text: it trains a language model."""

import importlib.util
import pathlib
import shlex

from bitnet.archive import check_writable, kind_of
from bitnet.cli.log import Log
from bitnet.cli.options import use_threads
from bitnet.cli.training_files import best_of, check_free, file_name, kept, resumed_file
from bitnet.data import TEXTS
from bitnet.errors import InputError
from bitnet.nn.models.language_names import is_language_net, language_net_named
from bitnet.training.checkpoint import KIND
from bitnet.training.language import bits_per_character, perplexity
from bitnet.training.language.experiment import LanguageExperiment, says_language
from bitnet.training.language.settings import (
    LANGUAGE_SETTINGS,
    check_language_settings,
    language_defaults,
)
from bitnet.training.settings import SETTINGS

__all__ = ["TEXT_OPTIONS", "is_text_training", "measure_of", "train_language"]

TEXT_OPTIONS = sorted(LANGUAGE_SETTINGS.keys() - SETTINGS.keys() - {"crc32"})
OF_IMAGES = sorted(SETTINGS.keys() - LANGUAGE_SETTINGS.keys() - {"picture", "classes"})
FREE = ("folder", "epochs")  # of a training that is gone on with
OF_FEW_BITS = {"activations", "gradient", "rounding", "weights"}
ROW = "{:>5} {:>8} {:>9} {:>9} {:>8} {:>7} {:>8} {:>9}"


def is_text_training(args):
    """Whether the arguments name a text, a language model, or the file of one.

    Parameters
    ----------
    args : argparse.Namespace
        Of `bitnet train`.

    Returns
    -------
    bool

    Examples
    --------
    >>> import argparse
    >>> is_text_training(argparse.Namespace(data="ptb", net=None, resume=None))
    True
    """
    if args.data in TEXTS or is_language_net(args.net):
        return True
    named = [name for name in (args.resume, getattr(args, "out", None)) if isinstance(name, str)]
    there = [name for name in named if args.resume and pathlib.Path(name).is_file()]
    return bool(there and says_language(there[0]))


def train_language(args):
    """Train a language model, with a line and a checkpoint an epoch.

    Parameters
    ----------
    args : argparse.Namespace
        Of `bitnet train`.

    Raises
    ------
    InputError
        If they do not fit, or the training diverges.

    Examples
    --------
    `bitnet train --net lstm:300 --data ptb` calls it.

    >>> train_language.__name__
    'train_language'
    """
    given = _given(args)
    use_threads(args.threads)
    say = (lambda *words: None) if args.quiet else (lambda *words: print(*words, flush=True))
    if args.resume:
        out = resumed_file(args, lambda: language_defaults(given))
        experiment = _resumed(out, args, given)
    else:
        settings = language_defaults({"data": "embedded-text", **given})
        check_language_settings({"crc32": 0, **settings})
        out = pathlib.Path(args.out or file_name(settings))
        paths = [out, best_of(out)]
        check_free(paths, args.log)
        for path in paths + ([args.log] if args.log else []):
            check_writable(path)
        experiment = LanguageExperiment(settings)
    log = Log(args.log, experiment) if args.log else None
    saved = None
    try:
        if not args.resume:
            experiment.save(out)  # so that there is something to go on with from now on
        saved = _progress(experiment)
        experiment.to("gpu" if args.gpu else "cpu")
        _announce(say, experiment, out)
        for epoch in experiment.epochs(_bar(experiment, args.quiet)):
            if log:
                log.write(epoch)
            if experiment.best["epoch"] == epoch.epoch:
                experiment.save(best_of(out))
            experiment.save(out)
            saved = _progress(experiment)
            say(_row(epoch, experiment.settings["unit"]))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(kept(out, saved, args)) from None
    except InputError as error:
        raise InputError(f"{error}; {out} keeps {saved}") from None
    except OSError as error:  # a full disk, mostly
        where = f"{error.filename}: " if error.filename else ""
        raise InputError(f"{where}{error.strerror or error}; {kept(out, saved, args)}") from None
    _conclude(say, experiment, out)


def measure_of(unit, loss):
    """A loss in the measure of its unit.

    Parameters
    ----------
    unit : {"words", "characters"}
        What a token is.
    loss : float
        In nats a token.

    Returns
    -------
    name : str
        "perplexity" or "bits per character".
    value : float

    Examples
    --------
    >>> measure_of("words", 0.0)
    ('perplexity', 1.0)
    """
    if unit == "words":
        return "perplexity", perplexity(loss)
    return "bits per character", bits_per_character(loss)


def _given(args):
    """The settings that the arguments name."""
    if extra := [name for name in OF_IMAGES if getattr(args, name, None) is not None]:
        name = extra[0].replace("_", "-")
        raise InputError(f"--{name} is of images; leave it out for a text")
    given = {name: getattr(args, name, None) for name in LANGUAGE_SETTINGS}
    given = {name: value for name, value in given.items() if value is not None}
    if given.get("float") and (extra := sorted(OF_FEW_BITS & given.keys())):
        raise InputError(f"--{extra[0]} is of nets of few bits; leave it out with --float")
    if "folder" in given:
        given["folder"] = str(pathlib.Path(given["folder"]).resolve())
    return given


def _resumed(out, args, given):
    """The training in a file, once no argument contradicts it."""
    if kind_of(out) == KIND and not says_language(out):
        raise InputError(f"{out} is of a net of images; leave the options of texts out")
    experiment = LanguageExperiment.resume(out, *map(given.get, FREE))
    for name, value in given.items():
        if name not in FREE and experiment.settings[name] != value:
            raise InputError(
                f"--{name} is {value}, but {out} was begun with {experiment.settings[name]}; "
                "leave it out, or begin another training without --resume"
            )
    return experiment


def _progress(experiment):
    """How much of a training is done, in words."""
    return f"{experiment.done} of {experiment.settings['epochs']} epochs"


def _bar(experiment, quiet):
    """What wraps the pieces of an epoch: a progress bar."""
    if quiet or importlib.util.find_spec("tqdm") is None:  # `bitnet status` says so
        return lambda pieces: pieces
    from tqdm import tqdm

    return lambda pieces: tqdm(
        pieces,
        f"epoch {experiment.done + 1}",
        leave=False,
        disable=None,
        unit=" pieces",
        dynamic_ncols=True,
    )


def _announce(say, experiment, out):
    """What is trained, on what, how and where to."""
    settings, corpus = experiment.settings, experiment.corpus
    count = len(corpus.vocabulary)
    weights = language_net_named(settings["net"]).weights(count, settings["width"])
    kind = "float net" if settings["float"] else "net"
    bits = (
        ""
        if settings["float"]
        else (
            f", weights of {settings['weights']} and activations of {settings['activations']} bits"
        )
    )
    say(
        f"{kind} {settings['net']}, {weights} weights{bits}, on {settings['data']}: "
        f"{len(corpus.train)} {settings['unit']}, {count} different, {len(corpus.valid)} for "
        f"validation, {len(corpus.test)} for the test"
    )
    say(
        f"recipe {settings['recipe']}: {settings['optimizer']}, {experiment.schedule}, "
        f"{settings['batch']} streams, {settings['steps']} steps, gradients to a norm of "
        f"{settings['clip']:g}, dropout {settings['dropout']:g}"
    )
    say(f"checkpoint: {out}, {experiment.done} of {settings['epochs']} epochs done")
    if experiment.done < settings["epochs"]:
        say(f"valid. and test are {measure_of(settings['unit'], 0.0)[0]}")
        say(ROW.format("epoch", "loss", "valid.", "test", "rate", "flips", "seconds", "tokens/s"))


def _row(epoch, unit):
    """The line of an epoch."""
    measures = (measure_of(unit, loss)[1] for loss in (epoch.valid_loss, epoch.test_loss))
    digits = 2 if unit == "words" else 4
    figures = [f"{epoch.loss:.4f}", *(f"{measure:.{digits}f}" for measure in measures)]
    figures += [f"{epoch.learning_rate:.2e}", f"{epoch.flip_ratio:.2%}", f"{epoch.seconds:.1f}"]
    return ROW.format(epoch.epoch, *figures, f"{epoch.tokens_per_second:,.0f}")


def _conclude(say, experiment, out):
    """Where the net is, and what can be done with it."""
    best, unit = experiment.best, experiment.settings["unit"]
    name, valid = measure_of(unit, best["valid"])
    test = measure_of(unit, best["test"])[1]
    say(
        f"best on the validation text: epoch {best['epoch']}, {name} {valid:.4g}; there on the "
        f"test text {test:.4g}"
    )
    epochs = f"{experiment.done} epoch{' is' if experiment.done == 1 else 's are'}"
    say(f"{epochs} in {out}, the best one in {best_of(out)}")
    say(f"next: {shlex.join(['bitnet', 'predict', str(best_of(out)), 'the'])}")
