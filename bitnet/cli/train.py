"""`bitnet train`: train a low-bit net, or its float twin, and write a checkpoint after each epoch.

nets for images:
  mlp:512,512            fully connected layers of 512 and 512 units
  conv:32,32/64,64/256   blocks of 3x3 convolutions with 32, 32 and 64, 64 channels, each with a
                         2x2 max-pooling at its end, then 256 fully connected units
  mnist-theano, mnist-torch, cifar10, svhn
                         the nets of the papers

nets for texts:
  rnn:512                a layer of 512 recurrent units with ReLU
  lstm:300               a layer of 300 LSTM units
  gru:256,256            two layers of 256 gated recurrent units

examples:
  bitnet train --net mlp:512,512 --epochs 5 --out net.checkpoint --log net.jsonl
  bitnet train --resume net.checkpoint --log net.jsonl
  bitnet train --data sensors.csv --label state --seeds 0-2 --epochs 10
  bitnet train --net lstm:64 --epochs 1 --out text.checkpoint
"""

import contextlib
import importlib.util
import pathlib
import shlex
import signal
from argparse import Namespace

from bitnet.cli.command import Terminated, handling
from bitnet.cli.log import SUFFIXES, log_of
from bitnet.cli.nets import measure_of
from bitnet.cli.options import check_suffix, use_machine
from bitnet.cli.seeds import train_all
from bitnet.cli.train_options import add_arguments as add_arguments
from bitnet.cli.train_options import check_same, given_settings, new_settings
from bitnet.cli.training_files import best_of, check_free, file_name, files_of, kept, resumed_file
from bitnet.errors import InputError, visible
from bitnet.files import locked
from bitnet.nn.models import net_named
from bitnet.training.experiment import Experiment
from bitnet.training.settings import MAY_CHANGE, task_of
from bitnet.training.texts import note_on_unknown
from bitnet.training.trained import task_in

NAMES = {"regression": "R^2, and error the mean absolute error", "multilabel": "F1 of all labels"}
PLURALS = {"batch": "batches", "piece": "pieces"}
# fmt: off
COLUMNS = {  # of the table of epochs: title, width, figure of an Epoch, format
    target: (
        ("epoch", 5, "epoch", "{}"), ("loss", 8, "loss", "{:.5f}"),
        ("train", 7, f"train_{figure}", form), ("valid.", 7, f"validation_{figure}", form),
        ("test", 7, f"test_{figure}", form), *more, ("rate", 8, "learning_rate", "{:.2e}"),
        ("flips", 7, "flip_ratio", "{:.2%}"), ("satur.", 7, "saturated", "{:.2%}"),
        ("dead", 7, "dead", "{:.2%}"), ("seconds", 7, "seconds", "{:.2f}"),
    )
    for target, figure, form, more in (
        ("classification", "accuracy", "{:.2%}", ()), ("multilabel", "f1", "{:.2%}", ()),
        ("regression", "r2", "{:.4f}", (("error", 9, "test_error", "{:.4g}"),)),
    )
} | {
    unit: (
        ("epoch", 5, "epoch", "{}"), ("loss", 8, "loss", "{:.4f}"),
        ("valid.", 9, f"valid_{measure}", form), ("test", 9, f"test_{measure}", form),
        ("rate", 8, "learning_rate", "{:.2e}"), ("flips", 7, "flip_ratio", "{:.2%}"),
        ("seconds", 8, "seconds", "{:.1f}"), ("tokens/s", 9, "tokens_per_second", "{:,.0f}"),
    )
    for unit, measure, form in (("words", "perplexity", "{:.2f}"), ("characters", "bits", "{:.4f}"))
}
# fmt: on


def main(args: Namespace) -> None:
    """Train a net, or resume its training; once, or for each seed."""
    if args.log:
        check_suffix("--log", args.log, *SUFFIXES)
    say = (lambda *words: None) if args.quiet else (lambda *words: print(*words, flush=True))
    if args.seeds is None:
        _train_one(args, say)
    else:
        train_all(args, say, _train_one)


def _train_one(args, say, settings=None):
    """Train a net, or resume its training, and return the Experiment.

    `settings` are those of a new training; default: those of the arguments.
    """
    device = use_machine(args)
    given = given_settings(args, _task(args))
    if args.resume:
        out = resumed_file(args, lambda: new_settings(given))
    else:
        settings = settings or new_settings(given)
        out = pathlib.Path(args.out or file_name(settings))
        paths = files_of(settings, out, args.log)
    with contextlib.ExitStack() as stack:
        for path in [out] + ([args.log] if args.log else []):
            stack.enter_context(locked(path))
        if args.resume:
            experiment = _resumed(out, args, given)
        else:
            check_free(paths, args.log)
            experiment = Experiment(settings)
        _train(experiment, out, args, device, say)
    return experiment


def _train(experiment, out, args, device, say):
    """Run the epochs that are left, with checkpoints, and print their figures."""
    saved = None
    try:
        if not args.resume:
            experiment.save(out)  # before the log, so that there is something to resume
        saved = _progress(experiment)
        log = log_of(args.log, experiment) if args.log else None
        experiment.to(device)
        _announce(say, experiment, out)
        with _stop() as stop:
            for epoch in experiment.epochs(_bar(experiment, args.quiet), stop):
                if log:
                    log.write(epoch)
                if experiment.best and experiment.best["epoch"] == epoch.epoch:
                    experiment.save(best_of(out))
                experiment.save(out)
                saved = _progress(experiment)
                say(_row(experiment, epoch))
                if stop():
                    break
            if experiment.begun:
                experiment.save(out)
                saved = _progress(experiment)
            if stop():
                raise stop()
    except KeyboardInterrupt as error:
        error.args = (kept(out, saved, args),)
        raise
    except InputError as error:
        raise InputError(f"{error}; {out} keeps {saved}") from None
    except OSError as error:  # a full disk, mostly
        where = f"{error.filename}: " if error.filename else ""
        raise InputError(f"{where}{error.strerror or error}; {kept(out, saved, args)}") from None
    _conclude(say, experiment, out)


def _task(args):
    """What is learned, "images" or "texts": from the file that is resumed, or the arguments."""
    named = [name for name in (args.resume, args.out) if isinstance(name, str)]
    if args.resume and named and pathlib.Path(named[0]).is_file():
        return task_in(named[0])
    return task_of(vars(args))


@contextlib.contextmanager
def _stop():
    """Have the first Ctrl-C or SIGTERM wait until the batch is done; the second stops at once.

    Gives a function that returns the exception to raise at the end, or None.
    """
    came = []

    def first(number, frame):
        came.append(Terminated if number == signal.SIGTERM else KeyboardInterrupt)
        for each, handler in before.items():
            signal.signal(each, handler)

    with handling(first, signal.SIGINT, signal.SIGTERM) as before:
        yield lambda: came[0] if came else None


def _progress(experiment):
    """How much of a training is done, in words."""
    done = f"{experiment.done} of {experiment.settings['epochs']} epochs"
    if experiment.begun:
        batches = PLURALS[experiment.source.item]
        done += f" and {len(experiment.begun.losses)} {batches} of the next"
    return done


def _resumed(out, args, given):
    """The training in a file; refuses arguments that contradict it."""
    experiment = Experiment.resume(out, *map(given.get, MAY_CHANGE))
    check_same(given, experiment.settings, out)
    return experiment


def _bar(experiment, quiet):
    """A function that shows a progress bar for the batches of an epoch, if tqdm is installed."""
    if quiet or importlib.util.find_spec("tqdm") is None:  # `bitnet status` says so
        return lambda passes: passes
    from tqdm import tqdm

    shown = {"leave": False, "disable": None, "dynamic_ncols": True, "unit": " pieces"}
    if experiment.recipe:
        shown |= {"unit": " images", "unit_scale": experiment.settings["batch"]}
    return lambda passes: tqdm(passes, f"epoch {experiment.done + 1}", **shown)


def _announce(say, experiment, out):
    """Print the net, the data, the recipe and the checkpoint."""
    settings = experiment.settings
    for line in (_about_images if experiment.recipe else _about_text)(experiment):
        say(line)
    if words := _regularization(settings):
        say(f"with {'; '.join(words)}")
    if experiment.initial:
        for line in _about_initial(experiment):
            say(line)
    say(f"checkpoint: {out}, {experiment.done} of {settings['epochs']} epochs done")
    if experiment.is_done:
        return
    if not experiment.recipe:
        say(f"valid. and test show the {measure_of(settings['unit'], 0.0)[0]}")
    say(_row(experiment))


def _about_images(experiment):
    """Yield the lines about a training on images."""
    settings, recipe, data = experiment.settings, experiment.recipe, experiment.data
    kind = "binary net" if _is_binary(settings) else "quantized net"
    kind = "float twin of" if settings["float"] else kind
    count = net_named(settings["net"]).weights(settings["picture"], len(data.classes))
    held = f", {len(data.validation[0])} held back" if data.validation else ""
    images = "images" if settings["input"] == "pixels" else "rows"
    yield (
        f"{kind} {settings['net']}, {count} weights, on {settings['data']}: {len(data.train[0])} "
        f"{images}{held}, {len(data.test[0])} test {images}"
    )
    if settings["target"] != "classification":
        yield f"target {settings['target']}: {', '.join(map(visible, data.classes)):.200}"
    prepare = f", prepared: {' '.join(settings['prepare'])}" if settings["prepare"] else ""
    yield (
        f"recipe {recipe.name}: {recipe.optimizer}, {recipe.norm} norm, {experiment.schedule}, "
        f"batch {recipe.batch}, {settings['loss']}{prepare}"
    )
    if settings["target"] != "classification":
        yield f"train and test show {NAMES[settings['target']]}"
    if switches := _switches(settings):
        yield f"with {'; '.join(switches)}"
    for note in [*recipe.notes, *data.notes]:
        yield f"note: {note}"


def _about_initial(experiment):
    """Yield the lines about the initial weights from another training."""
    settings, initial = experiment.settings, experiment.initial
    source = initial.settings
    kind = "float twin of " if source.get("float") else ""
    of = f" ({kind}{source['net']} on {source['data']})" if "net" in source else ""
    yield f"initial weights from {settings['init']}{of}: {initial}"
    own, other = settings.get("classes"), source.get("classes")
    if own and other and own != other and len(own) == len(other):
        yield f"note: its classes are {', '.join(other):.60}; those here are {', '.join(own):.60}"
    if source.get("prepare", []) != settings.get("prepare", []):
        came = ", ".join(source.get("prepare", [])) or "none"
        yield f"note: the preparation of its images was {came}; choose the same with --prepare"


def _regularization(settings):
    """The settings of early stopping, accumulation and decay that are on, in words."""
    words = []
    if settings["weight_decay"]:
        words.append(f"weight decay {settings['weight_decay']:g}")
    if settings["accumulate"] > 1:
        words.append(f"{settings['accumulate']} batches per step")
    if settings["patience"]:
        words.append(f"a stop after {_epochs(settings['patience'])} without a better one")
    return words


def _about_text(experiment):
    """Yield the lines about a training on a text."""
    settings, corpus = experiment.settings, experiment.data
    count = net_named(settings["net"]).weights(settings["tokens"], settings["width"])
    kind, bits = "net", " (weights: {weights} bits, activations: {activations} bits)"
    kind, bits = ("float net", "") if settings["float"] else (kind, bits.format(**settings))
    yield (
        f"{kind} {settings['net']}, {count} weights{bits}, on {settings['data']}: "
        f"{len(corpus.train)} {settings['unit']}, {settings['tokens']} of them different, "
        f"{len(corpus.valid)} for validation, {len(corpus.test)} for the test"
    )
    yield (
        f"recipe {settings['recipe']}: {settings['optimizer']}, {experiment.schedule}, "
        f"{settings['batch']} streams, {settings['steps']} steps, gradients clipped to norm "
        f"{settings['clip']:g}, dropout {settings['dropout']:g}"
    )
    if note := note_on_unknown(corpus):
        yield f"note: {note}"


def _is_binary(settings):
    """Whether weights and activations have one bit."""
    return settings["weights"] == settings["activations"] == "1"


def _switches(settings):
    """The switches that are on, in words."""
    bits = "weights {weights}, activations {activations}".format(**settings)
    words = [] if _is_binary(settings) else [bits]
    planes = settings["input_planes"]
    words += [f"the {planes} highest bits of each pixel"] if planes < 8 else []
    words += ["balanced weights"] if settings["balance"] else []
    weights, smoothing = settings["class_weights"], settings["label_smoothing"]
    words += [f"classes weighted {weights}"] if weights else []
    words += [f"label smoothing {smoothing:g}"] if smoothing else []
    if settings["widen"]:
        after = f"{settings['widen_after']:.0%} of the epochs"
        words.append(f"clip value {settings['widen']:g} after {after}")
    if settings["teacher"]:
        words.append(
            f"teacher {settings['teacher']}, temperature {settings['temperature']:g}, "
            f"weight {settings['teacher_weight']:g}"
        )
    return words


def _row(experiment, epoch=None):
    """The line of an epoch, or without one the titles of the columns."""
    cells = []
    settings = experiment.settings
    for title, width, figure, form in COLUMNS[settings.get("unit") or settings["target"]]:
        if figure.startswith("validation") and not experiment.data.validation:
            continue
        value = getattr(epoch, figure, None)
        cell = title if epoch is None else "-" if value is None else form.format(value)
        cells.append(f"{cell:>{width}}")
    return " ".join(cells)


def _epochs(count):
    """A number of epochs in words."""
    return f"{count} epoch{'s' * (count != 1)}"


def _in_words(target, figure):
    """The figure of an epoch, in words."""
    return f"R^2 {figure:.4f}" if target == "regression" else f"{figure:.2%}"


def _conclude(say, experiment, out):
    """Print the best epoch, the files and the next command."""
    settings, best, file = experiment.settings, experiment.best, out
    figures = best and [best["validation"], best["test"]]
    if best and experiment.recipe:
        words = [_in_words(settings["target"], figure) for figure in figures]
        held, test = "images held back", "test images"
    elif best:
        measures = [measure_of(settings["unit"], figure) for figure in figures]
        words = [f"{measures[0][0]} {measures[0][1]:.4g}", f"{measures[1][1]:.4g}"]
        held, test = "validation text", "test text"
    if best:
        file = best_of(out)
        say(f"best epoch: {best['epoch']}, {words[0]} on the {held}, {words[1]} on the {test}")
    if experiment.stopping and experiment.stopping.is_over:
        say(f"stopped early: {_epochs(experiment.stopping.stalled)} without a better one")
    epochs = f"checkpoint after {_epochs(experiment.done)}: {out}"
    say(epochs + (f", the best epoch: {file}" if best else ""))
    verb = ["evaluate", str(file)] if settings["float"] else ["freeze", str(file)]
    verb = verb if experiment.recipe else ["predict", str(file), "the"]
    say(f"next: {shlex.join(['bitnet', *verb])}")
