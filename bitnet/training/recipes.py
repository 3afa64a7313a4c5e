"""Recipes: the optimizer, its rates, the loss and the rest of a training, by name and data set.

=======  ========  ==========================  =====  ======  ============  ===========  =========
recipe   data      rate                        batch  epochs  dropout       activations  prepared
=======  ========  ==========================  =====  ======  ============  ===========  =========
default  any       Adam, cosine from 3e-3      100    20      none          sign
theano   MNIST     Adam, 3e-3 to 3e-7          100    1000    0.2, 0.5      sign
theano   CIFAR-10  Adam, 1e-3 to 3e-7          50     500     none          sign
theano   SVHN      Adam, 1e-3 to 1e-6          50     200     none          sign
torch    MNIST     shifts, 2^-6, halved in 10  100    100     none          drawn
torch    CIFAR-10  shifts, 2^-6, halved in 50  200    500     none          drawn        zca
torch    SVHN      shifts, 2^-7, halved in 20  200    200     none          drawn        gcn, lcn
=======  ========  ==========================  =====  ======  ============  ===========  =========

`default` has a ten times larger step for gamma and beta, and batches of 50 for the papers'
ConvNets.  Section 2 of the papers and the authors' code state the others; MNIST's rate is halved
in 10 epochs by the paper, in 20 by the code.  All hold back training images, 10 000 of MNIST,
5 000 of CIFAR-10 and 6 000 of SVHN, and take the epoch that is best on them, as --validation does.

The Torch experiments use shift-based AdaMax and shift-based batch norm, here with the constants
and the backward pass of the authors' code, which differ from the papers' (`bit_optimizers`,
`functional.shift_norm`).  As there, the step scales of CIFAR-10 and SVHN are rounded to powers of
two, and the steps of MNIST's gammas are scaled by sqrt(features / 1.5); with another norm they
are not.

What else differs is in them. Their code has plain batch norm behind the output layer; here all
norms are shift-based, so that the frozen net needs no multiplication. They state no end for
MNIST: 100 epochs are this package's. Their MNIST images are shifted and scaled by the mean and
standard deviation of all pixels, which the batch norm behind the first layer undoes, and which
is left out. CIFAR-10 is whitened twice by their code, here once. Their prepared images are
floats; here they are rounded to 8 bits, see `data.Preparation`. Their code for CIFAR-10 clips
gammas and betas to [-1, 1], which the papers do not mention and which is left out.

The float twin of each has the same sizes, batches and epochs in float32, with ReLU,
cross-entropy, no dropout, and Adam with a cosine from 1e-3.
"""

import dataclasses
import math
from functools import partial

from bitnet.errors import InputError, check_choice
from bitnet.nn import BatchNorm, functional
from bitnet.nn.norm import NORMS
from bitnet.optim import SGD, Adam, AdaMax, Bop, ShiftAdaMax, schedules
from bitnet.optim.binary import ap2

FAMILIES = {
    "mnist": ("mnist", "embedded", "fashion-mnist"),
    "cifar10": ("cifar10", "cifar100"),
    "svhn": ("svhn", "svhn-extra"),
}
HELD_BACK = {"mnist": 10_000, "cifar10": 5_000, "svhn": 6_000}  # training images
OPTIMIZERS = {  # with the first rate of each
    "adam": (Adam, 3e-3),
    "adamax": (AdaMax, 3e-3),
    "sgd": (partial(SGD, momentum=0.9), 0.1),
    "shift-adamax": (ShiftAdaMax, 2.0**-10),
    "shift-adamax-code": (partial(ShiftAdaMax, variant="code"), 2.0**-6),
    "bop": (Bop, 1e-4),
}
LOW_BIT_ONLY = ("bop", "shift", "shift-code")
SCHEDULES = ("constant", "cosine", "exponential", "step")
THE_CODE = (
    "shift-based AdaMax and batch norm are those of the papers' Torch code, whose constants and "
    "rounding differ from the papers'; --optimizer shift-adamax --norm shift are the papers'"
)
NO_END = "the papers state no number of epochs for MNIST with Torch; 100 is this package's"
ON_8_BITS = "the papers' prepared images are floats; here they are rounded to 8 bits"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a net is trained: `start` and `end` are rates, `fall` is the name of the schedule.

    `every` is the number of epochs between two halvings of "step"; `lr_scale` scales the rate of
    gamma and beta; `dropout` holds the probabilities for inputs and hidden activations;
    `stochastic` says whether activations are drawn in training; eps and momentum belong to the
    norm.  `as_torch` is what the authors' Torch code changes: it rounds the step scales to powers
    of two ("rounded"), or scales the steps of gammas ("gammas").  `notes` say what differs from
    the papers.
    """

    name: str
    start: float
    epochs: int
    batch: int
    optimizer: str = "adam"
    norm: str = "batch"
    fall: str = "cosine"
    end: float = 0.0
    every: int = 10
    loss: str = "squared_hinge"
    lr_scale: float = 1.0
    dropout: tuple = (0.0, 0.0)
    stochastic: bool = False
    eps: float = 1e-4
    momentum: float = 0.1
    as_torch: str = ""
    prepare: tuple = ()
    is_float: bool = False
    notes: tuple = ()

    def changed(self, epochs=None, batch=None, lr=None, optimizer=None, norm=None, schedule=None):
        """The recipe with some parts in place of its own; `end` is scaled with the first rate `lr`.

        Another optimizer brings its own first rate, a shift-based norm its own eps and momentum.
        """
        parts = {"optimizer": optimizer, "norm": norm, "schedule": schedule}
        for (what, name), known in zip(parts.items(), (OPTIMIZERS, NORMS, SCHEDULES), strict=True):
            if name is not None:
                check_choice(None, known, **{what: name})
            if name in LOW_BIT_ONLY and self.is_float:
                raise InputError(f"{what} {name} needs low-bit weights; a float twin has none")
        given = {"epochs": epochs, "batch": batch, "start": lr, "fall": schedule}
        given |= {"optimizer": optimizer, "norm": norm}
        given = {name: value for name, value in given.items() if value is not None}
        if norm in ("shift", "shift-code"):
            given |= {"eps": 1e-5, "momentum": 0.125}
        other_norm, other = norm not in (None, self.norm), optimizer not in (None, self.optimizer)
        if other_norm:
            given["as_torch"] = ""
        if other_norm or other:
            given["notes"] = tuple(note for note in self.notes if note != THE_CODE)
        start = given.setdefault("start", OPTIMIZERS[optimizer][1] if other else self.start)
        end = (self.end or self.start * 1e-4) * (start / self.start)
        return dataclasses.replace(self, **given, end=end)

    def schedule(self):
        """The Schedule of the learning rate."""
        more = {"cosine": [self.epochs], "exponential": [self.end, self.epochs]}
        more |= {"constant": [], "step": [0.5, self.every]}
        return getattr(schedules, self.fall.title())(self.start, *more[self.fall])

    def model(self, net, image, n_classes, rng, **backward):
        """The model of a `Net` for images (rows, columns, channels), set up for this recipe."""
        options = {"lr_scale": self.lr_scale, "stochastic": self.stochastic, **backward}
        if self.is_float:
            return net.build(image, n_classes, rng, is_float=True)
        model = net.build(image, n_classes, rng, dropout=self.dropout, norm=self.norm, **options)
        for layer in model.modules():
            if isinstance(layer, BatchNorm):
                layer.eps, layer.momentum = self.eps, self.momentum
                if self.as_torch == "gammas":
                    layer.gamma.lr_scale = math.sqrt(layer.num_features / 1.5)
        if self.as_torch == "rounded":
            for parameter in model.parameters():
                parameter.lr_scale = ap2(parameter.lr_scale)
        return model

    def optimizer_of(self, model):
        """The optimizer of a model's parameters."""
        return OPTIMIZERS[self.optimizer][0](model.parameters(), self.start)

    @property
    def loss_of(self):
        """The loss, from scores and labels to a Tensor."""
        return getattr(functional, self.loss)


def _torch(start, epochs, batch, every, note, as_torch, prepare=()):
    """A recipe of the papers' Torch experiments."""
    parts = {"optimizer": "shift-adamax-code", "norm": "shift-code", "fall": "step"}
    parts |= {"stochastic": True, "eps": 1e-5, "momentum": 0.125, "notes": (THE_CODE, note)}
    parts |= {"every": every, "as_torch": as_torch, "prepare": prepare}
    return Recipe("torch", start, epochs, batch, **parts)


DEFAULT = Recipe("default", 3e-3, 20, 100, lr_scale=10.0)
THEANO = {
    "mnist": Recipe("theano", 3e-3, 1000, 100, fall="exponential", end=3e-7, dropout=(0.2, 0.5)),
    "cifar10": Recipe("theano", 1e-3, 500, 50, fall="exponential", end=3e-7),
    "svhn": Recipe("theano", 1e-3, 200, 50, fall="exponential", end=1e-6),
}
TORCH = {
    "mnist": _torch(2**-6, 100, 100, 10, NO_END, "gammas"),
    "cifar10": _torch(2**-6, 500, 200, 50, ON_8_BITS, "rounded", ("zca",)),
    "svhn": _torch(2**-7, 200, 200, 20, ON_8_BITS, "rounded", ("gcn", "lcn")),
}
RECIPES = ("default", "theano", "torch")


def recipe_for(name, data, net=None, is_float=False):
    """The recipe of a name for a data set and a Net, or that of its float twin.

    "theano" and "torch" are those of the papers' experiments with these two, for the embedded
    digits, MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100 and SVHN.
    """
    family = next((family for family, names in FAMILIES.items() if data in names), None)
    check_choice(None, RECIPES, recipe=name)
    if name == "default":
        large = net is not None and net.name in ("cifar10", "svhn")
        recipe = dataclasses.replace(DEFAULT, batch=50) if large else DEFAULT
    elif family is None:
        raise InputError(f"the papers have no recipe for data {data!r:.40}; use recipe default")
    else:
        recipe = {"theano": THEANO, "torch": TORCH}[name][family]
    if is_float:
        parts = {"loss": "cross_entropy", "prepare": recipe.prepare, "is_float": True}
        return Recipe(recipe.name, 1e-3, recipe.epochs, recipe.batch, **parts)
    notes, dropout = recipe.notes, recipe.dropout
    if net is not None and net.is_conv and any(dropout):
        notes = (*notes, "the papers' dropout is of MLPs; this ConvNet has none")
        dropout = (0.0, 0.0)
    if name != "default":
        held = HELD_BACK[family]
        note = (
            f"the papers hold back {held} training images and take the epoch that is best on "
            f"them; so does --validation {held}"
        )
        notes = (*notes, note)
    return dataclasses.replace(recipe, dropout=dropout, notes=notes)
