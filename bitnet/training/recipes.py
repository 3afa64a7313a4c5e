"""Recipes: optimizer, learning rates, loss and further settings, by name and data set.

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

`default` multiplies the learning rate of gamma and beta by 10, and uses batches of 50 for the
papers' ConvNets.  The other recipes follow section 2 of the papers and the authors' code.  The
paper halves the rate of MNIST every 10 epochs, the code every 20.  The papers hold back training
images, 10 000 of MNIST, 5 000 of CIFAR-10 and 6 000 of SVHN, and keep the epoch that is best on
them, like --validation.

The Torch recipes use shift-based AdaMax and shift-based batch norm with the constants and the
backward pass of the authors' code, which differ from the papers' (`optim.ShiftAdaMax`,
`functional.shift_norm`).  As in the code, the lr_scale of all parameters is rounded to powers of
two for CIFAR-10 and SVHN, and the lr_scale of the gammas is sqrt(features / 1.5) for MNIST.  With
another norm neither applies.

Other differences from the Torch code:

* It has plain batch norm after the output layer.  Here all norms are shift-based, so that the
  frozen net needs no multiplication.
* The papers state no number of epochs for MNIST.  Here it is 100.
* It standardizes MNIST images with the mean and deviation of all pixels.  The batch norm after the
  first layer cancels this, so it is omitted here.
* It whitens CIFAR-10 twice, here once.
* Its prepared images are floats.  Here they are rounded to 8 bits, see `data.Preparation`.
* For CIFAR-10 it clips gammas and betas to [-1, 1].  The papers do not mention this, and it is
  omitted here.

The float twin of each recipe has the same sizes, batches and epochs in float32, with ReLU,
cross-entropy, no dropout, and Adam with a cosine schedule from 1e-3.
"""

import dataclasses
import math
from functools import partial

from bitnet.errors import InputError, check_choice
from bitnet.nn import BatchNorm, functional
from bitnet.nn.shift import NORMS
from bitnet.optim import SGD, Adam, AdaMax, Bop, ShiftAdaMax, schedules
from bitnet.optim.binary import ap2

FAMILIES = {
    "mnist": ("mnist", "embedded", "fashion-mnist"),
    "cifar10": ("cifar10", "cifar100"),
    "svhn": ("svhn", "svhn-extra"),
}
HELD_BACK = {"mnist": 10_000, "cifar10": 5_000, "svhn": 6_000}  # images for validation
OPTIMIZERS = {  # name: class, first learning rate
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
    "shift-based AdaMax and batch norm follow the papers' Torch code, whose constants and rounding "
    "differ from the papers; for the papers' own use --optimizer shift-adamax --norm shift"
)
NO_END = "the papers state no number of epochs for MNIST with Torch; here it is 100"
ON_8_BITS = "the papers' prepared images are floats; here they are rounded to 8 bits"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a training: `start` and `end` are learning rates, `fall` is the schedule.

    `every` is the number of epochs between two halvings of the schedule "step".  `lr_scale`
    multiplies the learning rate of gamma and beta.  `dropout` has the probabilities for inputs and
    hidden activations.  With `stochastic` the activations are drawn at random in training.  `eps`
    and `momentum` belong to the norm.  `as_torch` follows the authors' Torch code: "rounded"
    rounds each lr_scale to a power of two, "gammas" sets the lr_scale of the gammas.  `notes` list
    the differences from the papers.
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
    loss: str = "squared-hinge"
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
        """Return the recipe with some settings changed; `end` is scaled with the first rate `lr`.

        Another optimizer has its own first rate, a shift-based norm its own eps and momentum.
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
        """Return the Schedule of the learning rate."""
        more = {"cosine": [self.epochs], "exponential": [self.end, self.epochs]}
        more |= {"constant": [], "step": [0.5, self.every]}
        return getattr(schedules, self.fall.title())(self.start, *more[self.fall])

    def model(self, net, image, n_classes, rng, **backward):
        """Return the model of a `Net` for images (rows, columns, channels) and this recipe."""
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

    def optimizer_of(self, model, **own):
        """Return the optimizer for the parameters of a model; own: `moments`, `weight_decay`."""
        kind = OPTIMIZERS[self.optimizer][0]
        if kind is not Bop:
            return kind(model.parameters(), self.start, **own)
        if own.get("weight_decay"):
            raise InputError(
                f"weight_decay is {own['weight_decay']:g}, but bop has no latent weights that "
                "decay; remove weight_decay, or choose another optimizer"
            )
        if own.get("moments", "float32") != "float32":
            raise InputError(
                f"moments is {own['moments']!r}; bop expects float32; choose another optimizer, "
                "such as adam"
            )
        return kind(model.parameters(), self.start)

    @property
    def loss_of(self):
        """The loss function, which maps scores and labels to a Tensor."""
        return getattr(functional, self.loss.replace("-", "_"))


def _torch(start, epochs, batch, every, note, as_torch, prepare=()):
    """Return a recipe of the papers' Torch experiments."""
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
    """Return the named recipe for a data set and a Net, or that of its float twin.

    "theano" and "torch" are the recipes of the papers' experiments with Theano and Torch.  They
    exist for the embedded digits, MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100 and SVHN.
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
        parts = {"loss": "cross-entropy", "prepare": recipe.prepare, "is_float": True}
        return Recipe(recipe.name, 1e-3, recipe.epochs, recipe.batch, **parts)
    notes, dropout = recipe.notes, recipe.dropout
    if net is not None and net.is_conv and any(dropout):
        notes = (*notes, "the papers use dropout only in MLPs; this ConvNet has none")
        dropout = (0.0, 0.0)
    if name != "default":
        held = HELD_BACK[family]
        note = (
            f"the papers hold back {held} training images and keep the epoch that is best on "
            f"them; use --validation {held} for the same"
        )
        notes = (*notes, note)
    return dataclasses.replace(recipe, dropout=dropout, notes=notes)
