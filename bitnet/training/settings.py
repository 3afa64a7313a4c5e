"""The settings of a training, a dict of JSON values: one table with the range of each.

Defaults, checks, the reading of a checkpoint and the options of `bitnet train` come from
`SETTINGS`.  A checkpoint contains the settings of its training.  Settings from a file are not
trusted: names must be known and numbers in range before anything is built.

Gradients are int8 by default for images, which is fast with the Numba kernels.  With the NumPy
kernels float32 is usually faster, so it is the default there.

Language models have float32 gradients by default.  Most probabilities of a softmax over thousands
of words are so small that the nearest int8 is 0, so the scores of wrong words would not decrease.
With stochastic rounding int8 is unbiased.
"""

import dataclasses
import math
import pathlib
import re

from bitnet.data import DATASETS, TEXTS
from bitnet.data.own import is_own
from bitnet.data.preparation import STEPS
from bitnet.data.targets import TARGETS
from bitnet.data.vocabulary import UNITS
from bitnet.errors import InputError
from bitnet.nn.functional.linear import GRADIENTS
from bitnet.nn.models.names import LATER, PAPERS, is_language_net, net_named
from bitnet.nn.quantized import ROUNDINGS
from bitnet.optim.moments import MOMENTS
from bitnet.quantizers import quantizer_named
from bitnet.training import recipes, targets, texts

IMAGES, TEXT, BOTH = ("images",), ("texts",), ("images", "texts")
COMPUTED, BY_DATA = "computed", "by the data"  # defaults of `complete` and `Experiment`
KINDS = {str: "text", bool: "true or false", list: "a list"}
KINDS |= {int: "a whole number", float: "a number"}
MAX_CLASSES, MAX_SIDE, MAX_NAME = 10**5, 10**5, 255
# settings of bits: the arguments of the model builders
ARGUMENTS = {"weights": "weight_quantizer", "activations": "activation_quantizer"}
BINARY_ONLY = {"activations", "balance", "grad_format", "input_planes", "rounding", "weights"}
BINARY_ONLY |= {"widen"}
NEEDS = {"temperature": "teacher", "teacher_weight": "teacher", "widen_after": "widen"}
NEEDS |= {"patience": "validation"}
MAY_CHANGE = ("folder", "epochs", "teacher")  # when a training is resumed


@dataclasses.dataclass(frozen=True)
class Setting:
    """The type, default and range of a setting; default, range and choices may be dicts by task."""

    name: str
    kind: type
    tasks: tuple
    default: object
    least: object = None
    most: object = None
    choices: object = None
    optional: bool = False  # may be None
    group: str | None = None  # of the options of the command line
    metavar: str | None = None
    help: str | None = None  # None: not an option of the command line

    def of(self, field, task):
        """Return the value of a field for a task."""
        value = getattr(self, field)
        return value.get(task) if isinstance(value, dict) else value

    def check(self, value, task):
        """Refuse a value that has the wrong type, is out of range, or is not one of the choices."""
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
    Setting("net", str, BOTH, COMPUTED, group="net", metavar="NAME",
            help=f"{', '.join([*PAPERS, *LATER])}, mlp:UNITS,... or "
            "conv:CHANNELS,.../.../UNITS,... for images; rnn:, lstm: or gru:UNITS,... for texts; "
            "default: mlp:512,512 for embedded and your own files, mlp:512,512,512 for mnist and "
            "fashion-mnist, conv:32,32/64,64/256 for other images, "
            "lstm:300 for texts"),
    Setting("data", str, BOTH, {"images": "embedded", "texts": "embedded-text"}, group="data",
            metavar="SET|FILE",
            help=f"data set: {', '.join((*DATASETS, *TEXTS))}; or your own file: NAME.csv, "
            "NAME.npz, or images in IDX format; or a folder of pictures"),
    Setting("target", str, IMAGES, BY_DATA, choices=TARGETS, group="data",
            help="what the labels of your own data are: classes, numbers, or several labels that "
            "are 0 or 1; default: what they look like"),
    Setting("label", list, IMAGES, None, optional=True, group="data", metavar="COLUMN,...",
            help="columns of a table with the labels; default: label, class, target or y, or else "
            "the last one"),
    Setting("drop", list, IMAGES, None, optional=True, group="data", metavar="COLUMN,...",
            help="columns of a table to leave out"),
    Setting("folder", str, BOTH, None, optional=True, group="data", metavar="FOLDER",
            help="folder of the data set; for --data folder, one with train/CLASS/*.png and "
            "val/CLASS/*.png; default: where `bitnet data` lists it"),
    Setting("size", int, IMAGES, None, 1, 4096, optional=True, group="data", metavar="N",
            help="scale the pictures of --data folder to N x N pixels; default: 32"),
    Setting("channels", int, IMAGES, None, choices=(1, 3), optional=True, group="data",
            help="read the pictures of --data folder as grey (1) or in colour (3); default: 3"),
    Setting("recipe", str, BOTH, "default", group="optimizer",
            choices={"images": recipes.RECIPES, "texts": texts.RECIPES},
            help="a named set of optimizer, learning rate, loss, epochs and batch size; theano and "
            "torch are the papers' recipes for images, zaremba-* those of arXiv 1409.2329 for "
            "texts"),
    Setting("loss", str, IMAGES, BY_DATA, group="optimizer",
            choices=tuple(name for names in targets.LOSSES.values() for name in names),
            help="default: the recipe's (squared-hinge, cross-entropy with --float), squared-error "
            "for target regression, binary-cross-entropy for multilabel"),
    Setting("class_weights", str, IMAGES, None, optional=True, group="optimizer",
            metavar="W,...|balanced",
            help="weights of the classes in the loss, in their order, or of the images that have "
            "each label; balanced: the inverse of their frequency"),
    Setting("label_smoothing", float, IMAGES, 0.0, 0, 0.99, group="optimizer", metavar="E",
            help="share of each label that the cross-entropy spreads over all classes"),
    Setting("optimizer", str, BOTH, COMPUTED, group="optimizer",
            choices={"images": tuple(recipes.OPTIMIZERS), "texts": tuple(texts.OPTIMIZERS)},
            help="shift-adamax is the papers' algorithm; bop flips signs and has no latent "
            "weights; sgd has momentum 0.9 for images and none for texts; default: the recipe's "
            "(default and theano: adam; torch: shift-adamax-code; zaremba-*: sgd)"),
    Setting("moments", str, BOTH, "float32", choices=tuple(MOMENTS), group="optimizer",
            help="type of the optimizer's moments between steps; bfloat16 takes half the memory "
            "and is rounded stochastically; not for bop"),
    Setting("norm", str, IMAGES, COMPUTED, choices=tuple(recipes.NORMS), group="optimizer",
            help="batch norm, or shift-based batch norm with the backward pass of the paper or of "
            "its code; default: the recipe's (default and theano: batch; torch: shift-code)"),
    Setting("schedule", str, BOTH, COMPUTED, group="optimizer",
            choices={"images": recipes.SCHEDULES, "texts": texts.SCHEDULES},
            help="how the learning rate falls; plateau (texts) halves it when the validation loss "
            "does not fall, delayed (texts) lowers it after some epochs; default: the recipe's "
            "(default: cosine, for texts plateau; theano: exponential; torch: step; zaremba-*: "
            "delayed)"),
    Setting("float", bool, BOTH, False, group="net",
            help="train the float twin: for images the same sizes and epochs with ReLU, "
            "cross-entropy and Adam; for texts the same net without quantizers"),
    Setting("epochs", int, BOTH, COMPUTED, 1, 10**6, group="optimizer", metavar="N",
            help="passes over the training set; default: the recipe's (default: 20; for MNIST, "
            "CIFAR, SVHN theano: 1000, 500, 200 and torch: 100, 500, 200; zaremba-*: "
            f"{', '.join(str(regime.epochs) for regime in REGIMES)})"),
    Setting("batch", int, BOTH, COMPUTED, {"images": 2, "texts": 1}, 10**6, metavar="N",
            group="optimizer",
            help="images per batch, or streams of text; default: the recipe's (default: 100, 50 "
            "for the nets cifar10 and svhn, 20 for words, 32 for characters)"),
    Setting("lr", float, BOTH, COMPUTED, 1e-9, 1e3, group="optimizer", metavar="RATE",
            help="first learning rate; default: the recipe's (default: 0.003, 0.001 with --float, "
            "0.002 for words, 0.001 for characters), or that of another --optimizer (sgd: 0.1, 1 "
            "for texts; adamax: 0.003; shift-adamax: 2^-10; shift-adamax-code: 2^-6; bop: 0.0001)"),
    Setting("warmup", float, BOTH, 0.0, 0, 10**6, group="optimizer", metavar="EPOCHS",
            help="raise the learning rate linearly from 1%% of the schedule's rate over the first "
            "EPOCHS, which may be a fraction"),
    Setting("weight_decay", float, BOTH, 0.0, 0, 1e3, group="optimizer", metavar="RATE",
            help="before each update multiply weights by 1 - RATE times the learning rate; gammas, "
            "betas and biases do not decay"),
    Setting("accumulate", int, BOTH, 1, 1, 10**4, group="optimizer", metavar="N",
            help="batches per step of the optimizer, whose gradients are averaged"),
    Setting("patience", int, BOTH, None, 1, 10**6, optional=True, group="optimizer", metavar="N",
            help="stop after N epochs without a better figure on the validation part; for images "
            "with --validation; default: train for all epochs"),
    Setting("init", str, BOTH, None, optional=True, group="net", metavar="FILE",
            help="begin with the weights in this checkpoint that fit: of the same net, its float "
            "twin, or a net with other classes or another first layer"),
    Setting("unit", str, TEXT, COMPUTED, choices=UNITS, group="language models",
            help="what the net predicts; default: characters with rnn:, otherwise words"),
    Setting("vocabulary", int, TEXT, None, 3, 10**6, optional=True, metavar="N",
            group="language models",
            help="keep the N most frequent words; default: all, 2000 for words of embedded-text"),
    Setting("width", int, TEXT, COMPUTED, 1, 10**5, group="language models", metavar="N",
            help="length of the vector of a token; default: the UNITS of the net"),
    Setting("steps", int, TEXT, COMPUTED, 1, 10**5, group="language models", metavar="N",
            help="steps of truncated backpropagation through time; default: the recipe's "
            "(default: 35 for words, 25 for characters)"),
    Setting("clip", float, TEXT, COMPUTED, 1e-6, 1e6, group="language models", metavar="NORM",
            help="largest norm of all gradients; default: the recipe's (zaremba-large: 10, "
            "others: 5)"),
    Setting("dropout", float, TEXT, COMPUTED, 0, 0.95, group="language models", metavar="P",
            help="probability of dropping an activation that is not recurrent; default: the "
            "recipe's (zaremba-medium: 0.5, zaremba-large: 0.65, others: 0)"),
    Setting("seed", int, BOTH, 0, 0, 2**32, group="optimizer", metavar="N",
            help="seed of the random weights, the order of batches, dropout, flips and crops"),
    Setting("weights", str, BOTH, {"images": "1", "texts": "4"}, group="bits", metavar="BITS",
            help="bits of each weight, 1 to 8, or the name of a quantizer, such as log:4 or "
            "ternary, see `bitnet plot quantizers`"),
    Setting("activations", str, BOTH, {"images": "1", "texts": "4"}, group="bits", metavar="BITS",
            help="bits of each activation, 1 to 8, or the name of a quantizer"),
    Setting("input_planes", int, IMAGES, 8, 1, 8, group="bits", metavar="K",
            help="bits of each pixel or number that the net sees, from the highest on"),
    Setting("grad_format", str, BOTH, {"images": COMPUTED, "texts": "float32"},
            choices=tuple(GRADIENTS), optional=True, group="bits", metavar="FORMAT",
            help="number format of the gradients in the products of the backward pass: "
            f"{', '.join(GRADIENTS)}; default: int8 for images, or float32 without Numba, where it "
            "is faster; float32 for texts"),
    Setting("rounding", str, BOTH, "nearest", choices=ROUNDINGS, optional=True, group="bits",
            help="how gradients are rounded to integers"),
    Setting("balance", bool, IMAGES, False, group="bits",
            help="subtract the mean of each row or filter from the weights before taking signs"),
    Setting("widen", float, IMAGES, None, 1e-3, 1e3, optional=True, group="bits", metavar="VALUE",
            help="during the training, raise the clip value of the activations to VALUE; no "
            "gradient passes beyond it"),
    Setting("widen_after", float, IMAGES, 0.7, 0, 1, group="bits", metavar="SHARE",
            help="fraction of the epochs after which --widen applies"),
    Setting("teacher", str, IMAGES, None, optional=True, group="distillation", metavar="FILE",
            help="also learn from the scores of this trained net, such as the float twin, on the "
            "same images"),
    Setting("temperature", float, IMAGES, 4.0, 1e-3, 1e3, group="distillation", metavar="T",
            help="divide the scores of both nets by T"),
    Setting("teacher_weight", float, IMAGES, 0.5, 0, 1, group="distillation", metavar="SHARE",
            help="weight of the teacher in the loss, from 0 to 1"),
    Setting("validation", int, IMAGES, 0, 0, 10**9, group="data", metavar="N",
            help="hold back the last N training images and keep the epoch that is best on them; "
            "0: keep the last epoch"),
    Setting("flip", bool, IMAGES, False, group="data",
            help="mirror half of the training images, left to right"),
    Setting("crop", int, IMAGES, 0, 0, 64, group="data", metavar="PAD",
            help="pad training images by PAD pixels and crop them at random"),
    Setting("prepare", list, IMAGES, COMPUTED, group="data", metavar="STEPS",
            help=f"none, or some of {', '.join(STEPS)}, separated by commas; default: the "
            "recipe's (default and theano: none; torch: zca for CIFAR, gcn,lcn for SVHN)"),
    Setting("limit", int, BOTH, 0, 0, 10**9, group="data", metavar="N",
            help="use only the first N training and the first N test images, or tokens of each "
            "text; 0: all"),
    Setting("picture", list, IMAGES, BY_DATA),
    Setting("input", str, IMAGES, BY_DATA, choices=("pixels", "numbers")),
    Setting("classes", list, IMAGES, BY_DATA),
    Setting("columns", list, IMAGES, BY_DATA),
    Setting("tokens", int, TEXT, BY_DATA, 1, 10**7),
    Setting("crc32", int, BOTH, BY_DATA, 0, 2**32),
    Setting("teacher_crc32", int, IMAGES, None, 0, 2**32, optional=True),
    Setting("init_crc32", int, BOTH, None, 0, 2**32, optional=True),
)
# fmt: on
SETTINGS = {setting.name: setting for setting in TABLE}


def task_of(settings):
    """Return the task of a training, "images" or "texts", from its data, net or recipe."""
    data, recipe = settings.get("data"), settings.get("recipe")
    is_text = data in TEXTS or is_language_net(settings.get("net"))
    return "texts" if is_text or recipe in texts.RECIPES[1:] else "images"


def settings_of(task):
    """Return the settings of a task by name."""
    return {name: setting for name, setting in SETTINGS.items() if task in setting.tasks}


def check_value(name, value, task):
    """Refuse a value that is not valid for a setting of a task."""
    SETTINGS[name].check(value, task)
    if name == "net":
        if (net := net_named(value)).task != task:
            if net.task == "pixels":
                came = "has no scores of classes, so it is trained in Python"
                raise InputError(f"net {net.name:.80} {came}: nn.models.autoencoder(...).loss(x)")
            known = "rnn:512, lstm:300 or gru:256,256" if task == "texts" else "mlp: or conv:"
            raise InputError(f"net is {net.name!r:.80}; expected {known} for {task}")
    elif name in ARGUMENTS:
        bits_or_name(name, value)
    elif name == "picture":
        if len(value) != 3 or not all(type(n) is int and 0 < n <= MAX_SIDE for n in value):
            raise InputError(f"picture is {value!r:.60}; expected [rows, columns, channels]")
    elif name == "classes" and not 0 < len(value) <= MAX_CLASSES:
        raise InputError(f"classes has {len(value)} names; expected 1 to {MAX_CLASSES}")
    elif name == "data":
        _check_data(value, task)
    elif name == "class_weights" and value not in (None, "balanced"):
        _check_weights(value)
    is_names = isinstance(value, list) and name != "picture"
    if is_names and not all(type(text) is str for text in value):
        raise InputError(f"{name} is {value!r:.60}; expected names")


def _check_data(value, task):
    """Refuse a data set that there is not; the name of a file is one of images."""
    known = DATASETS if task == "images" else TEXTS
    if value in known:
        return
    if task == "texts" or not is_own(value):
        raise InputError(f"data is {value!r:.60}; for {task} expected one of {', '.join(known)}")
    if value != pathlib.PurePath(value).name or len(value) > MAX_NAME:
        raise InputError(f"data is {value!r:.60}; expected the name of a file in the folder")


def _check_weights(value):
    """Refuse what is not a list of weights."""
    try:
        fits = all(0 <= float(text) < math.inf for text in value.split(","))
    except ValueError:
        fits = False
    if not fits:
        raise InputError(
            f"class_weights is {value!r:.60}; expected balanced, or a number of 0 or more for each "
            "class, separated by commas"
        )


def check_settings(settings, known=True):
    """Refuse incomplete, unknown or invalid settings, before anything is built from them.

    With `known=False` the settings that follow from the data may be missing.
    """
    task = task_of(settings)
    table = settings_of(task)
    for name, setting in table.items():
        if name not in settings and (known or setting.default != BY_DATA):
            raise InputError(f"the settings lack {name}; expected all of them")
    if unknown := sorted(settings.keys() - table.keys()):
        raise InputError(f"the settings have an unknown {unknown[0]!r:.60}; remove it")
    for name in settings:
        check_value(name, settings[name], task)
    if "target" in settings and "loss" in settings:
        targets.check_losses(settings)
    if settings.get("input") == "numbers" and settings["prepare"]:
        raise InputError("prepare applies to pixels, and the inputs are numbers; remove it")


def bits_or_name(name, text):
    """Return "weights" or "activations" as an int from 1 to 8, or the name of a quantizer."""
    if type(text) is str and re.fullmatch("[1-8]", text):
        return int(text)
    try:
        quantizer = quantizer_named(text)
    except InputError as error:
        quantizer = f"the name of a quantizer, such as log:4 ({error})"
        raise InputError(f"{name} is {text!r:.60}; expected 1 to 8, or {quantizer}") from None
    if name == "activations" and not quantizer.elementwise:
        raise InputError(
            f"activations is {text!r:.60}, which quantizes weights only; expected 1 to 8, or a "
            "quantizer such as uniform:2, linear:4:0.25 or log:3"
        )
    return text
