"""The settings of a training, a dict that JSON can hold: one table of what each may be.

Defaults, checks, the reading of a checkpoint and the options of `bitnet train` come from
`SETTINGS`.  A training's file holds its settings, and what comes from a file is not trusted:
names must be known and numbers in range before anything is built.

The gradients of language models are float32 by default: nearly all numbers of a softmax over
thousands of words are so small that the nearest int8 is 0, and the scores of the words that did
not come are not pushed down.  With stochastic rounding int8 is right in the mean.
"""

import dataclasses
import re

from bitnet.data import DATASETS, TEXTS
from bitnet.data.preparation import STEPS
from bitnet.data.vocabulary import UNITS
from bitnet.errors import InputError
from bitnet.nn.functional.linear import GRADIENTS
from bitnet.nn.models.names import PAPERS, is_language_net, net_named
from bitnet.nn.quantized import ROUNDINGS
from bitnet.quantizers import quantizer_named
from bitnet.training import recipes, texts

IMAGES, TEXT, BOTH = ("images",), ("texts",), ("images", "texts")
COMPUTED, BY_DATA = "computed", "by the data"  # defaults: see `complete`, `Experiment`
KINDS = {str: "text", bool: "true or false", list: "a list"}
KINDS |= {int: "a whole number", float: "a number"}
MAX_CLASSES, MAX_SIDE = 10**5, 10**4
# the nets that are trained by default: they train in minutes
NETS = dict.fromkeys(("mnist", "fashion-mnist"), "mlp:512,512,512") | {"embedded": "mlp:512,512"}
# the settings of bits, and the arguments of the model builders that they become
ARGUMENTS = {"weights": "weight_quantizer", "activations": "activation_quantizer"}
BINARY_ONLY = {"activations", "balance", "grad_format", "rounding", "weights", "widen"}
NEEDS = {"temperature": "teacher", "teacher_weight": "teacher", "widen_after": "widen"}
MAY_CHANGE = ("folder", "epochs", "teacher")  # in a training that is resumed


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a setting may be; a dict in place of a default, range or choices has them by task."""

    name: str
    kind: type
    tasks: tuple
    default: object
    least: object = None
    most: object = None
    choices: object = None
    optional: bool = False  # may be None
    metavar: str | None = None
    help: str | None = None  # None: no option of the command line

    def of(self, field, task):
        """A field's value for a task."""
        value = getattr(self, field)
        return value.get(task) if isinstance(value, dict) else value

    def check(self, value, task):
        """Refuse a value with another type, out of range, or that is none of the choices."""
        if value is None and self.optional:
            return
        least, most = self.of("least", task), self.of("most", task)
        outside = least is not None and type(value) is self.kind and not least <= value <= most
        if type(value) is not self.kind or outside:
            span = "" if least is None else f" from {least} to {most}"
            raise InputError(f"{self.name} is {value!r:.60}; expected {KINDS[self.kind]}{span}")
        choices = self.of("choices", task)
        if choices is not None and value not in choices:
            known = ", ".join(map(str, choices))
            raise InputError(f"{self.name} is {value!r:.60}; for {task} expected one of {known}")


REGIMES = texts.REGIMES.values()
# fmt: off
TABLE = (
    Setting("net", str, BOTH, COMPUTED, metavar="NAME",
            help=f"{', '.join(PAPERS)}, mlp:UNITS,... or conv:CHANNELS,.../.../UNITS,... "
            "(mlp:512,512,512 for grey sets, mlp:512,512 for embedded, otherwise "
            "conv:32,32/64,64/256); of texts rnn:, lstm: or gru:UNITS,... (lstm:300)"),
    Setting("data", str, BOTH, {"images": "embedded", "texts": "embedded-text"}, metavar="SET",
            choices={"images": DATASETS, "texts": TEXTS},
            help=f"data set: {', '.join((*DATASETS, *TEXTS))} (embedded; of language models "
            "embedded-text)"),
    Setting("folder", str, BOTH, None, optional=True,
            help="folder of its files (BITNET_DATA/SET or cache); "
            "for --data folder: with train/CLASS/*.png, val/CLASS/*.png"),
    Setting("size", int, IMAGES, None, 1, 4096, optional=True, metavar="N",
            help="of the set folder: pixels along each side that pictures are scaled to (32)"),
    Setting("channels", int, IMAGES, None, choices=(1, 3), optional=True,
            help="of the set folder: grey, or colours (3)"),
    Setting("recipe", str, BOTH, "default",
            choices={"images": recipes.RECIPES, "texts": texts.RECIPES},
            help="optimizer, rates, loss, epochs, batch; theano and torch are the papers', "
            "zaremba-* of texts those of arXiv 1409.2329 (default)"),
    Setting("optimizer", str, BOTH, COMPUTED,
            choices={"images": tuple(recipes.OPTIMIZERS), "texts": tuple(texts.OPTIMIZERS)},
            help="the recipe's: adam, torch shift-adamax-code; shift-adamax is the papers' "
            "algorithm, bop flips signs and has no latent weights, sgd has momentum 0.9, of texts "
            "none"),
    Setting("norm", str, IMAGES, COMPUTED, choices=tuple(recipes.NORMS),
            help="batch norm, or shift-based batch norm with the paper's or the code's backward "
            "pass (the recipe's: batch, torch shift-code)"),
    Setting("schedule", str, BOTH, COMPUTED,
            choices={"images": recipes.SCHEDULES, "texts": texts.SCHEDULES},
            help="how the rate falls (the recipe's: cosine, theano exponential, torch step; of "
            "texts plateau, zaremba-* delayed); of texts plateau: it is halved when the loss on "
            "the validation text does not fall, or delayed: it falls after some epochs"),
    Setting("float", bool, BOTH, False,
            help="train the float twin: the same sizes and epochs with ReLU, cross-entropy, Adam; "
            "of texts without quantizers"),
    Setting("epochs", int, BOTH, COMPUTED, 1, 10**6, metavar="N",
            help="passes over the training set (the recipe's: default 20; MNIST, CIFAR, SVHN: "
            "theano 1000, 500, 200, torch 100, 500, 200; zaremba-* "
            f"{', '.join(str(regime.epochs) for regime in REGIMES)})"),
    Setting("batch", int, BOTH, COMPUTED, {"images": 2, "texts": 1}, 10**6, metavar="N",
            help="images in a batch (the recipe's: default 100, or 50 for nets cifar10 and svhn); "
            "of texts streams (words 20, characters 32)"),
    Setting("lr", float, BOTH, COMPUTED, 1e-9, 1e3, metavar="RATE",
            help="first learning rate (the recipe's: default 0.003, with --float 0.001; of another "
            "optimizer that one's: sgd 0.1, shift-adamax 2^-10, shift-adamax-code 2^-6, bop "
            "0.0001; of texts words 0.002, characters 0.001, sgd 1)"),
    Setting("unit", str, TEXT, COMPUTED, choices=UNITS,
            help="of texts: what is predicted (rnn: characters, otherwise words)"),
    Setting("vocabulary", int, TEXT, None, 3, 10**6, optional=True, metavar="N",
            help="of texts: words that are kept, the most frequent ones (all; embedded-text 2000)"),
    Setting("width", int, TEXT, COMPUTED, 1, 10**5, metavar="N",
            help="of texts: numbers of a token's vector (UNITS)"),
    Setting("steps", int, TEXT, COMPUTED, 1, 10**5, metavar="N",
            help="of texts: steps of truncated backpropagation through time (words 35, "
            "characters 25)"),
    Setting("clip", float, TEXT, COMPUTED, 1e-6, 1e6, metavar="NORM",
            help="of texts: the largest norm of all gradients (5)"),
    Setting("dropout", float, TEXT, COMPUTED, 0, 0.95, metavar="P",
            help="of texts: the probability of dropping what is not recurrent (the recipe's: 0)"),
    Setting("seed", int, BOTH, 0, 0, 2**32, metavar="N",
            help="of weights, order, dropout, flips and crops (0)"),
    Setting("weights", str, BOTH, {"images": "1", "texts": "4"}, metavar="BITS",
            help="of each weight, 1 to 8, or a quantizer's name, as log:4 or ternary, see bitnet "
            "plot quantizers (1; of texts 4)"),
    Setting("activations", str, BOTH, {"images": "1", "texts": "4"}, metavar="BITS",
            help="of each activation, in the same way (1; of texts 4)"),
    Setting("grad_format", str, BOTH, {"images": "int8", "texts": "float32"},
            choices=tuple(GRADIENTS), optional=True,
            help="numbers that the backward products multiply (int8; of texts float32)"),
    Setting("rounding", str, BOTH, "nearest", choices=ROUNDINGS, optional=True,
            help="of gradients of integers (nearest)"),
    Setting("balance", bool, IMAGES, False,
            help="balance weights: the signs are those of the weights less the mean of their row "
            "or filter"),
    Setting("widen", float, IMAGES, None, 1e-3, 1e3, optional=True, metavar="WINDOW",
            help="widen the hard tanh, outside whose window no gradient passes, from 1, or the "
            "activations' own, to WINDOW"),
    Setting("widen_after", float, IMAGES, 0.7, 0, 1, metavar="SHARE",
            help="of the epochs, after which it is widened (0.7)"),
    Setting("teacher", str, IMAGES, None, optional=True, metavar="FILE",
            help="learn from the scores of a trained net too, as of the float twin "
            "(distillation); on the same images"),
    Setting("temperature", float, IMAGES, 4.0, 1e-3, 1e3, metavar="T",
            help="that the scores of both nets are divided by (4)"),
    Setting("teacher_weight", float, IMAGES, 0.5, 0, 1, metavar="SHARE",
            help="of the teacher in the loss (0.5)"),
    Setting("validation", int, IMAGES, 0, 0, 10**9, metavar="N",
            help="hold back the last N training images, and keep the epoch that is best on them "
            "(0: no choice is made)"),
    Setting("flip", bool, IMAGES, False, help="turn half of the training images, left to right"),
    Setting("crop", int, IMAGES, 0, 0, 64, metavar="PAD",
            help="pad training images by PAD pixels and cut at random (0)"),
    Setting("prepare", list, IMAGES, COMPUTED, metavar="STEPS",
            help=f"of {', '.join(STEPS)}, as gcn,lcn, or none (the recipe's: none)"),
    Setting("limit", int, BOTH, 0, 0, 10**9, metavar="N",
            help="only the first N training images and the first N test images, or words or "
            "characters of each text (0: all)"),
    Setting("picture", list, IMAGES, BY_DATA),
    Setting("classes", list, IMAGES, BY_DATA),
    Setting("tokens", int, TEXT, BY_DATA, 1, 10**7),
    Setting("crc32", int, BOTH, BY_DATA, 0, 2**32),
    Setting("teacher_crc32", int, IMAGES, None, 0, 2**32, optional=True),
)
# fmt: on
SETTINGS = {setting.name: setting for setting in TABLE}


def task_of(settings):
    """What a training learns, "images" or "texts": its data, net or recipe says so."""
    data, recipe = settings.get("data"), settings.get("recipe")
    is_text = data in TEXTS or is_language_net(settings.get("net"))
    return "texts" if is_text or recipe in texts.RECIPES[1:] else "images"


def settings_of(task):
    """The settings that a task has, by name."""
    return {name: setting for name, setting in SETTINGS.items() if task in setting.tasks}


def check_value(name, value, task):
    """Refuse a value that a setting of a task cannot have."""
    SETTINGS[name].check(value, task)
    if name == "net":
        if (net := net_named(value)).task != task:
            known = "rnn:512, lstm:300 or gru:256,256" if task == "texts" else "mlp: or conv:"
            raise InputError(f"net {net.name!r:.80}; expected {known} for {task}")
    elif name in ARGUMENTS:
        bits_or_name(name, value)
    elif name == "picture":
        if len(value) != 3 or not all(type(n) is int and 0 < n <= MAX_SIDE for n in value):
            raise InputError(f"picture is {value!r:.60}; expected [rows, columns, channels]")
    elif name == "classes" and not 0 < len(value) <= MAX_CLASSES:
        raise InputError(f"classes are {len(value)}; expected from 1 to {MAX_CLASSES}")
    if name in ("classes", "prepare") and not all(type(text) is str for text in value):
        raise InputError(f"{name} is {value!r:.60}; expected names")


def check_settings(settings, known=True):
    """Refuse settings that no training has, before anything is built from them.

    With `known=False` what the data say may be missing.
    """
    task = task_of(settings)
    table = settings_of(task)
    for name, setting in table.items():
        if name not in settings and (known or setting.default != BY_DATA):
            raise InputError(f"the settings lack {name}")
    if unknown := sorted(settings.keys() - table.keys()):
        raise InputError(f"the settings hold an unknown {unknown[0]!r:.60}")
    for name in settings:
        check_value(name, settings[name], task)


def complete(given):
    """The settings of a training, of which some are given; without what the data say."""
    task = task_of(given)
    table = settings_of(task)
    for name in given.keys() & table.keys():
        check_value(name, given[name], task)
    start = {name: setting.of("default", task) for name, setting in table.items()}
    start = {name: value for name, value in start.items() if value not in (COMPUTED, BY_DATA)}
    start |= dict.fromkeys(("grad_format", "rounding")) if given.get("float") else {}
    start |= given
    return (_of_texts if task == "texts" else _of_images)(start) | start


def _of_images(start):
    """The computed defaults of a training on images: the recipe's."""
    start = {"net": NETS.get(start["data"], "conv:32,32/64,64/256"), **start}
    recipe = recipe_of(start)
    computed = {name: getattr(recipe, name) for name in ("optimizer", "norm", "epochs", "batch")}
    computed |= {"schedule": recipe.fall, "lr": recipe.start, "prepare": list(recipe.prepare)}
    return computed | {"net": start["net"]}


def _of_texts(start):
    """The computed defaults of a training on a text: the recipe's and the unit's."""
    regime = texts.regime_of(start["recipe"])
    own = "lstm:" + ",".join([str(regime.units)] * regime.layers) if regime else "lstm:300"
    net = net_named(start.get("net", own))
    unit = start.get("unit", "characters" if net.kind == "rnn" else "words")
    numbers = texts.defaults(start["recipe"], unit, start.get("optimizer"))
    return {"net": net.name, "unit": unit, "width": net.units, **numbers}


def recipe_of(settings):
    """The recipe of a training on images, with what the settings put in place of its own parts."""
    net = net_named(settings["net"])
    recipe = recipes.recipe_for(settings["recipe"], settings["data"], net, settings["float"])
    names = "epochs", "batch", "lr", "optimizer", "norm", "schedule"
    return recipe.changed(*map(settings.get, names))


def model_of(settings, rng):
    """The model of a training as it is at the start; all that it draws comes from `rng`."""
    net, is_few = net_named(settings["net"]), not settings["float"]
    options = {name: settings[name] for name in ("grad_format", "rounding") if is_few}
    if net.task == "texts":
        given = {ARGUMENTS[k]: bits_or_name(k, settings[k]) for k in ARGUMENTS if is_few}
        options |= given
        sizes = settings["tokens"], settings["width"]
        return net.build(*sizes, rng, dropout=settings["dropout"], **options)
    options = {name: settings[name] for name in options if settings[name] is not None}
    options |= {"balance": True} if settings["balance"] else {}
    for name in ARGUMENTS:
        if is_few and settings[name] != "1":
            options[ARGUMENTS[name]] = bits_or_name(name, settings[name])
    picture, n_classes = tuple(settings["picture"]), len(settings["classes"])
    return recipe_of(settings).model(net, picture, n_classes, rng, **options)


def bits_or_name(name, text):
    """What "weights" or "activations" mean: 1 to 8 as an int, or the name of a quantizer."""
    if type(text) is str and re.fullmatch("[1-8]", text):
        return int(text)
    try:
        quantizer = quantizer_named(text)
    except InputError as error:
        raise InputError(f"{name} is {text!r:.60}; expected 1 to 8, or a name: {error}") from None
    if name == "activations" and not quantizer.elementwise:
        raise InputError(
            f"activations is {text!r}, a quantizer of weights, which looks at all of them at once; "
            "expected one of single numbers, as uniform, linear or log, or 1 to 8"
        )
    return text
