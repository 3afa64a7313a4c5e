"""`bitnet train`: train a net of few bits, or its float twin; a file keeps it after each epoch."""

import contextlib
import importlib.util
import pathlib
import shlex
import signal

from bitnet.archive import check_writable
from bitnet.cli.log import Log
from bitnet.cli.options import check_folder, check_gpu, use_threads
from bitnet.cli.train_language import TEXT_OPTIONS, is_text_training, train_language
from bitnet.cli.train_options import DATA, add_arguments
from bitnet.cli.training_files import best_of, check_free, file_name, kept, resumed_file
from bitnet.data import DATASETS
from bitnet.data.preparation import STEPS
from bitnet.errors import InputError
from bitnet.nn.models.names import net_named
from bitnet.training.experiment import Experiment
from bitnet.training.recipes import recipe_for
from bitnet.training.settings import SETTINGS, check_value, complete

__all__ = ["add_arguments", "default_net", "file_name"]

HELP = "train a net, with a line and a checkpoint an epoch"
GREY = ("embedded", "mnist", "fashion-mnist")
OF_BINARY = {"activations", "balance", "gradient", "rounding", "weights", "widen"}
NEEDS = {"temperature": "teacher", "teacher_weight": "teacher", "widen_after": "widen"}
ROW = "{:>5} {:>8} {:>7} {}{:>7} {:>8} {:>7} {:>7} {:>7} {:>7}"


def main(args):
    """Train."""
    check_gpu(args.gpu)
    if is_text_training(args):
        train_language(args)
        return
    given = _given(args)
    use_threads(args.threads)
    say = (lambda *words: None) if args.quiet else (lambda *words: print(*words, flush=True))
    if args.resume:
        out = resumed_file(args, lambda: _settings(given))
        experiment = _resumed(out, args, given)
    else:
        settings = _settings(given)
        out = pathlib.Path(args.out or file_name(settings))
        paths = [out, best_of(out)] if settings["validation"] else [out]
        check_free(paths, args.log)
        for path in paths + ([args.log] if args.log else []):
            check_writable(path)
        experiment = Experiment(settings)
    best = best_of(out)
    log = Log(args.log, experiment) if args.log else None
    saved = None
    try:
        if not args.resume:
            experiment.save(out)  # so that there is something to go on with from now on
        saved = _progress(experiment)
        experiment.to("gpu" if args.gpu else "cpu")
        _announce(say, experiment, out)
        with _ctrl_c() as stop:
            for epoch in experiment.epochs(_bar(experiment, args.quiet), stop):
                if log:
                    log.write(epoch)
                if experiment.best and experiment.best["epoch"] == epoch.epoch:
                    experiment.save(best)
                experiment.save(out)
                saved = _progress(experiment)
                say(_row(epoch))
                if stop():
                    break
            if experiment.begun:
                experiment.save(out)
                saved = _progress(experiment)
            if stop():
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise KeyboardInterrupt(kept(out, saved, args)) from None
    except InputError as error:
        raise InputError(f"{error}; {out} keeps {saved}") from None
    except OSError as error:  # a full disk, mostly
        where = f"{error.filename}: " if error.filename else ""
        words = kept(out, saved, args)
        raise InputError(f"{where}{error.strerror or error}; {words}") from None
    _conclude(say, experiment, out, best)


@contextlib.contextmanager
def _ctrl_c():
    """Inside, the first Ctrl-C is kept until the batch is done; the second one stops at once.

    Gives a function that says whether it came.
    """
    came = []

    def first(number, frame):
        came.append(number)
        signal.signal(signal.SIGINT, before)

    try:
        before = signal.signal(signal.SIGINT, first)
    except ValueError:  # only the main thread may ask for signals
        yield lambda: False
        return
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGINT, before)


def _progress(experiment):
    """How much of a training is done, in words."""
    done = f"{experiment.done} of {experiment.settings['epochs']} epochs"
    if experiment.begun:
        done += f" and {len(experiment.begun.losses)} batches of the next"
    return done


def default_net(data):
    """The net that is trained on a data set if none is named: one that trains in minutes.

    Parameters
    ----------
    data : str
        One of `bitnet.data.DATASETS`.

    Returns
    -------
    str
        As `bitnet.nn.models.names.net_named` takes it.

    Examples
    --------
    >>> default_net("cifar10")
    'conv:32,32/64,64/256'
    """
    if data == "embedded":
        return "mlp:512,512"
    return "mlp:512,512,512" if data in GREY else "conv:32,32/64,64/256"


def _given(args):
    """The settings that the arguments name, checked one by one."""
    if extra := [name for name in TEXT_OPTIONS if getattr(args, name, None) is not None]:
        raise InputError(f"--{extra[0]} is of texts; leave it out, or name a text (--data ptb)")
    given = {name: getattr(args, name, None) for name in SETTINGS}
    if args.prepare is not None:
        given["prepare"] = [] if args.prepare == "none" else args.prepare.split(",")
        if unknown := [step for step in given["prepare"] if step not in STEPS]:
            raise InputError(f"--prepare has {unknown[0]!r:.40}; expected {', '.join(STEPS)}")
    given = {name: value for name, value in given.items() if value is not None}
    for name in given.keys() & {"folder", "teacher"}:
        given[name] = str(pathlib.Path(given[name]).resolve())
    for name, value in given.items():
        try:
            net_named(value) if name == "net" else check_value(name, value)
        except InputError as error:
            raise InputError(f"--{str(error).replace('_', '-')}") from None
    if given.get("float") and (extra := sorted(OF_BINARY & given.keys())):
        raise InputError(f"--{extra[0]} is of nets of few bits; leave it out with --float")
    for name, needed in NEEDS.items():
        if name in given and needed not in given and not args.resume:
            raise InputError(f"--{name.replace('_', '-')} is of --{needed}; give both, or neither")
    return given


def _settings(given):
    """The settings of a new training: what is given, and the recipe's."""
    data = given.get("data", DATA)
    if data not in DATASETS:
        raise InputError(f"--data is {data!r:.40}; expected one of {', '.join(DATASETS)}")
    start = {
        "net": default_net(data),
        "data": data,
        "folder": None,
        "size": None,
        "channels": None,
        "recipe": "default",
        "float": False,
    } | given
    check_folder(data, start["folder"])
    if data != "folder" and (extra := sorted({"size", "channels"} & given.keys())):
        raise InputError(f"--{extra[0]} is of --data folder; leave it out with {data}")
    recipe = recipe_for(start["recipe"], data, net_named(start["net"]), start["float"])
    parts = {name: given.get(name) for name in ("optimizer", "norm", "schedule")}
    try:
        recipe = recipe.changed(**parts)
    except InputError as error:
        raise InputError(f"--{error}") from None
    start |= {
        "optimizer": recipe.optimizer,
        "norm": recipe.norm,
        "schedule": recipe.fall,
        "epochs": recipe.epochs,
        "batch": recipe.batch,
        "lr": recipe.start,
        "seed": 0,
        "gradient": None if start["float"] else "int8",
        "validation": 0,
        "limit": 0,
        "rounding": None if start["float"] else "nearest",
        "flip": False,
        "crop": 0,
        "prepare": list(recipe.prepare),
    }
    return complete(start | given)


def _resumed(out, args, given):
    """The training in a file, once no argument contradicts it."""
    experiment = Experiment.resume(out, *map(given.get, ("folder", "epochs", "teacher")))
    free = ("folder", "epochs", "teacher")
    for name, value in given.items():
        if name not in free and experiment.settings[name] != value:
            raise InputError(
                f"--{name.replace('_', '-')} is {value}, but {out} was begun with "
                f"{experiment.settings[name]}; "
                "leave it out, or begin another training without --resume"
            )
    return experiment


def _bar(experiment, quiet):
    """What wraps the batches of an epoch: a progress bar with images a second and the rest."""
    if quiet or importlib.util.find_spec("tqdm") is None:  # `bitnet status` says so
        return lambda passes: passes
    from tqdm import tqdm

    batch = experiment.settings["batch"]
    return lambda passes: tqdm(
        passes,
        f"epoch {experiment.done + 1}",
        leave=False,
        disable=None,
        unit=" images",
        unit_scale=batch,
        dynamic_ncols=True,
    )


def _announce(say, experiment, out):
    """What is trained, on what, how and where to."""
    settings, recipe, data = experiment.settings, experiment.recipe, experiment.data
    kind = "binary net" if _is_binary(settings) else "quantized net"
    kind = "float twin of net" if settings["float"] else kind
    count = net_named(settings["net"]).weights(settings["picture"], len(data.classes))
    held = f", {len(data.validation[0])} held back" if data.validation else ""
    say(
        f"{kind} {settings['net']}, {count} weights, on {settings['data']}: {len(data.train[0])} "
        f"images{held}, {len(data.test[0])} test images"
    )
    prepare = f", prepared: {' '.join(settings['prepare'])}" if settings["prepare"] else ""
    say(
        f"recipe {recipe.name}: {recipe.optimizer}, {recipe.norm} norm, {experiment.schedule}, "
        f"batch {recipe.batch}, {recipe.loss}{prepare}"
    )
    if switches := _switches(settings):
        say(f"with {'; '.join(switches)}")
    for note in recipe.notes:
        say(f"note: {note}")
    say(f"checkpoint: {out}, {experiment.done} of {settings['epochs']} epochs done")
    if experiment.done >= settings["epochs"]:
        return
    held = f"{'valid.':>7} " if data.validation else ""
    say(
        ROW.format(
            "epoch", "loss", "train", held, "test", "rate", "flips", "satur.", "dead", "seconds"
        )
    )


def _is_binary(settings):
    """Whether weights and activations have one bit."""
    return settings["weights"] == settings["activations"] == "1"


def _switches(settings):
    """What is switched on, in words."""
    bits = "weights {weights}, activations {activations}".format(**settings)
    words = [] if _is_binary(settings) else [bits]
    words += ["balanced weights"] if settings["balance"] else []
    if settings["widen"]:
        words.append(
            f"a window of {settings['widen']:g} after {settings['widen_after']:.0%} of the epochs"
        )
    if settings["teacher"]:
        words.append(
            f"teacher {settings['teacher']}, temperature {settings['temperature']:g}, "
            f"weight {settings['teacher_weight']:g}"
        )
    return words


def _row(epoch):
    """The line of an epoch."""
    held = epoch.validation_accuracy
    held = "" if held is None else f"{held:>7.2%} "
    shares = (f"{n:.2%}" for n in (epoch.flip_ratio, epoch.saturated, epoch.dead))
    return ROW.format(
        epoch.epoch,
        f"{epoch.loss:.5f}",
        f"{epoch.train_accuracy:.2%}",
        held,
        f"{epoch.test_accuracy:.2%}",
        f"{epoch.learning_rate:.2e}",
        *shares,
        f"{epoch.seconds:.2f}",
    )


def _conclude(say, experiment, out, best):
    """Where the net is, and what can be done with it."""
    file = out
    if experiment.best:
        file = best
        say(
            "best on the images held back: epoch {epoch}, {validation:.2%}; there on the test "
            "images {test:.2%}".format(**experiment.best)
        )
    verb = "evaluate" if experiment.settings["float"] else "freeze"
    epochs = f"{experiment.done} epoch{' is' if experiment.done == 1 else 's are'}"
    say(f"{epochs} in {out}" + (f", the best one in {best}" * (file is best)))
    say(f"next: {shlex.join(['bitnet', verb, str(file)])}")
