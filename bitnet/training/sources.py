"""Sources of training data: images with labels, or texts, with their batches, loss and figures.

`fit` calls `check(model)`, `passes(rng)`, `loss(model, batch, state)` and
`figures(model, losses, seconds)` of a source.  `item` is the name of a batch in messages, and
`clip` the largest norm of the gradients.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from bitnet.arrays import plain
from bitnet.autograd.tensor import Tensor
from bitnet.data import Corpus, batches, load_dataset, read_dataset, sequences
from bitnet.data.datasets import DATASETS
from bitnet.data.targets import TARGETS, check_targets
from bitnet.devices import full_memory_named, to_cpu
from bitnet.errors import InputError, check_choice
from bitnet.nn import Module, detach
from bitnet.nn.functional import cross_entropy, squared_hinge
from bitnet.training import metrics, targets

MEASURED = 10_000  # training images for the training accuracy
AHEAD = 2  # batches prepared by a thread while another is trained on
SAMPLE = 500  # images for the fractions of saturated and dead units
# the settings that `read_data` takes, in its order
OF_DATA = "data", "folder", "limit", "validation", "size", "channels", "target", "label", "drop"


@dataclasses.dataclass(frozen=True)
class Split:
    """The images of a training: a training, a test and perhaps a validation part.

    Parameters
    ----------
    train, test : (numpy.ndarray, numpy.ndarray)
        Images (count, ...), or rows of numbers, and their labels: integers (count,); for a
        regression numbers, for several labels 0 or 1, (count, outputs).
    validation : pair, optional
        Images and labels held back from the training set.
    classes : tuple of str, optional
        The names of the classes, of the numbers of a regression, or of the labels.
    target : {"classification", "regression", "multilabel"}, optional
        What the labels are.
    columns : tuple of str, optional
        The names of the inputs of a table.
    notes : list of str, optional
        What to tell a user about the data.

    Examples
    --------
    >>> pair = np.zeros((5, 4), np.uint8), np.zeros(5, np.uint8)
    >>> Split(pair, pair)
    Split(5 train, 5 test images of 4)
    """

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray] | None = None
    classes: tuple[str, ...] = ()
    target: str = TARGETS[0]
    columns: tuple[str, ...] = ()
    notes: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        check_choice("Split", TARGETS, target=self.target)
        for name, (images, labels) in self.parts.items():
            pair = plain(images, f"{name} images"), plain(labels, f"{name} labels")
            object.__setattr__(self, name, pair)

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(images)} {name}" for name, (images, _) in self.parts.items())
        shape = "x".join(map(str, np.shape(self.train[0])[1:]))
        outputs = "classes" if self.target == TARGETS[0] else f"outputs, {self.target}"
        classes = f", {len(self.classes)} {outputs}" if self.classes else ""
        return f"Split({counts} images of {shape}{classes})"

    @property
    def parts(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The existing parts by name."""
        named = {name: getattr(self, name) for name in ("train", "test", "validation")}
        return {name: part for name, part in named.items() if part is not None}

    def with_images(self, change: Callable[[np.ndarray], np.ndarray]) -> "Split":
        """Return a Split with `change(images)` in place of the images of each part."""
        changed: dict[str, Any] = {
            name: (change(images), labels) for name, (images, labels) in self.parts.items()
        }
        return dataclasses.replace(self, **changed)


@dataclasses.dataclass(frozen=True)
class Images:
    """A source for `fit`: images with labels.

    Parameters
    ----------
    data : Split
        Images and labels, in CPU memory.
    loss_of : callable, optional
        Maps scores and labels to a Tensor with one number; default: `functional.squared_hinge`.
    batch : int, optional
        Images per batch; default: 100.
    to_input : callable, optional
        Maps a batch of images to the input of the model.
    flip : bool, optional
        Mirror half of the training images, left to right.
    crop : int, optional
        Pad training images by this many pixels and cut out a random part of the original size.
    border : int, optional
        The value of the padding pixels; default: 0, black.
    teacher : callable, optional
        Maps a batch of flipped and cropped images to the scores of a teacher; `loss_of` then takes
        them after the labels, like `functional.distillation`.
    measured : int, optional
        Number of training images, from the first, for the training accuracy; default: 10 000.

    Examples
    --------
    >>> pair = np.zeros((5, 4), np.uint8), np.zeros(5, np.uint8)
    >>> len(Images(Split(pair, pair), batch=2).passes(np.random.default_rng(0)))
    2
    """

    data: Split
    loss_of: Callable = squared_hinge
    batch: int = 100
    to_input: Callable | None = None
    flip: bool = False
    crop: int = 0
    border: int | None = None
    teacher: Callable | None = None
    measured: int = MEASURED

    item, clip, mode = "batch", None, "max"  # of `EarlyStopping`

    def __repr__(self) -> str:
        options = f"batch={self.batch}, flip={self.flip}, crop={self.crop}"
        return f"Images({self.data}, {options}{', with a teacher' if self.teacher else ''})"

    def check(self, model: Module) -> None:
        """Refuse data that do not fit the model or each other."""
        parts, shape = self.data.parts, self.data.train[0].shape[1:]
        for name, (images, labels) in parts.items():
            axes = 1 if self.data.target == TARGETS[0] else 2
            if len(images) == 0 or len(labels) != len(images) or np.ndim(labels) != axes:
                expected = "one label" if axes == 1 else f"a row of labels ({self.data.target})"
                raise InputError(
                    f"the {name} part has {len(images)} images and labels of shape "
                    f"{np.shape(labels)}; expected {expected} per image, and at least one image"
                )
            if images.shape[1:] != shape:
                raise InputError(
                    f"the {name} images have shape {images.shape[1:]}; expected {shape}, that of "
                    "the train images"
                )
        if self.crop and (len(shape) < 2 or self.crop >= min(shape[:2])):
            raise InputError(
                f"crop is {self.crop}; expected fewer pixels than the images have, "
                f"{' x '.join(map(str, shape[:2]))}"
            )
        self.passes(np.random.default_rng(0))  # checks the options of the batches
        image = self.data.train[0][:1]
        image = self.to_input(image) if self.to_input else image
        n_classes = n_scores(model, f"an image of shape {shape}", image)
        for name, (images, labels) in parts.items():
            if self.data.target != TARGETS[0]:
                check_targets(f"the {name} part", images, labels, self.data.target, n_classes)
                continue
            least, most = labels.min(), labels.max()
            if labels.dtype.kind not in "iu" or least < 0 or most >= n_classes:
                raise InputError(
                    f"the {name} labels are {labels.dtype} from {least} to {most}; expected "
                    f"integers from 0 to {n_classes - 1}, because the model has {n_classes} scores"
                )

    def passes(self, rng: np.random.Generator) -> Any:
        """Return the batches (images, labels) of an epoch; each iteration draws a new order."""
        changes: dict[str, Any] = {"flip": self.flip, "pad": self.crop, "border": self.border}
        changes["prefetch"] = AHEAD if self.flip or self.crop else 0
        return batches(*self.data.train, self.batch, rng, **changes)

    def loss(self, model: Module, batch: Any, state: Any) -> tuple[Tensor, Any, Any]:
        """Return the loss of a batch, its gradient (None: 1) and the state after it (None)."""
        x, labels = batch
        targets = (labels, self.teacher(x)) if self.teacher else (labels,)
        x = self.to_input(x) if self.to_input else x
        return self.loss_of(model(x), *targets), None, None

    def figures(self, model: Module, losses: list[float], seconds: float) -> dict:
        """Return the figures of an epoch, by the names of `Epoch`, from its losses and seconds."""
        target, figures = self.data.target, {}
        for name, (images, labels) in self.data.parts.items():
            n = self.measured if name == "train" else len(images)
            scores, labels = metrics.scores(model, images[:n], self.to_input), labels[:n]
            figures[f"{name}_{targets.FIGURES[target]}"] = targets.figure(scores, labels, target)
            if target == "regression" and name == "test":
                figures["test_error"] = targets.mean_absolute_error(scores, labels)
        images = self.data.train[0][:SAMPLE]
        saturated, dead = metrics.activity(model, images, self.to_input)
        return figures | {
            "loss": float(np.mean(losses)),
            "saturated": saturated,
            "dead": dead,
            "images_per_second": metrics.per_second(len(losses) * self.batch, seconds),
            "histograms": metrics.histograms(model),
        }

    def state_like(self, model: Module) -> None:
        """Return None: images leave no state."""
        return None

    def better(self, epoch: Any, best: dict | None) -> dict | None:
        """Return the better of two epochs by accuracy, R^2 or F1; the later one if equal."""
        name = targets.FIGURES[self.data.target]
        held, test = (getattr(epoch, f"{part}_{name}") for part in ("validation", "test"))
        if held is None or (best and held < best["validation"]):
            return best
        return {"epoch": epoch.epoch, "validation": held, "test": test}


@dataclasses.dataclass(frozen=True)
class Texts:
    """A source for `fit`: texts, for truncated backpropagation through time.

    See `data.sequences`.  The loss of a piece is summed over its steps and averaged over its
    streams, so that learning rates and norms equal those of Zaremba et al. (arXiv 1409.2329).

    Parameters
    ----------
    data : Corpus
        The texts.
    batch, steps : int, optional
        Number of streams, default: 20, and steps per piece, default: 35.
    clip : float or None, optional
        The largest norm of all gradients together, default: 5; larger gradients are scaled down.

    Examples
    --------
    >>> from bitnet.data import load_corpus
    >>> corpus = load_corpus("embedded-text", unit="characters").first(700, 100)
    >>> len(Texts(corpus, batch=10, steps=20).passes(np.random.default_rng(0)))
    4
    """

    data: Corpus
    batch: int = 20
    steps: int = 35
    clip: float | None = 5.0

    item, mode = "piece", "min"  # of `EarlyStopping`

    def __repr__(self) -> str:
        counts = f"{len(self.data.train)} + {len(self.data.valid)} + {len(self.data.test)}"
        options = f"batch={self.batch}, steps={self.steps}, clip={self.clip}"
        return f"Texts({counts} {self.data.vocabulary.unit}, {options})"

    def check(self, model: Callable) -> None:
        """Refuse data that do not fit the model or each other."""
        sequences(self.data.train, self.batch, self.steps)
        parts = {name: getattr(self.data, name) for name in ("train", "valid", "test")}
        for name, ids in parts.items():
            if len(ids) < 2:
                raise InputError(
                    f"the {name} text has {len(ids)} tokens; expected 2 or more, because the first "
                    "is not predicted"
                )
        n_tokens = n_scores(model, "a token", np.zeros((1, 1), np.int32), None)
        for name, ids in parts.items():
            if ids.min() < 0 or ids.max() >= n_tokens:
                raise InputError(
                    f"the {name} text has tokens from {ids.min()} to {ids.max()}; expected 0 to "
                    f"{n_tokens - 1}, because the model has {n_tokens} scores"
                )

    def passes(self, rng: np.random.Generator) -> Any:
        """Return the pieces of an epoch; each iteration draws the beginning of the text."""
        return sequences(self.data.train, self.batch, self.steps, rng)

    def loss(self, model: Callable, piece: Any, state: Any) -> tuple[Tensor, Any, Any]:
        """Return the loss of a piece, its gradient and the state after it."""
        scores, state = model(piece.x, state if piece.continues else None)
        seed = np.asarray(len(piece.x), scores.data.dtype)  # the sum over the steps
        return cross_entropy(scores, piece.y.reshape(-1)), seed, detach(state)

    def figures(self, model: Callable, losses: list[float], seconds: float) -> dict:
        """Return the figures of an epoch, by the names of `Epoch`, from its losses and seconds."""
        length = len(self.data.train) // self.batch
        starts = range(0, length, self.steps)
        sizes = [min(self.steps, length - start) * self.batch for start in starts]
        total = sum(loss * size for loss, size in zip(losses, sizes, strict=True))
        figures = {
            "loss": total / sum(sizes),
            "tokens_per_second": metrics.per_second(sum(sizes), seconds),
        }
        for name in ("valid", "test"):
            ids = getattr(self.data, name)
            loss = metrics.evaluate_language(model, ids, self.batch, self.steps)
            figures |= {f"{name}_{k}": v for k, v in metrics.measures(loss).items()}
        return figures

    def state_like(self, model: Callable) -> Any:
        """Return a state with the structure and shapes of the model's state after a piece."""
        with metrics.evaluating_if_module(model):
            return model(np.zeros((1, self.batch), np.int32), None)[1]

    def better(self, epoch: Any, best: dict | None) -> dict:
        """Return the better of two epochs by validation loss; the earlier one if equal."""
        if best and epoch.valid_loss >= best["validation"]:
            return best
        return {"epoch": epoch.epoch, "validation": epoch.valid_loss, "test": epoch.test_loss}


def n_scores(model, what, *example):
    """Return the number of scores that a model gives to an example, which `what` describes."""
    with full_memory_named(), metrics.evaluating_if_module(model):
        try:
            y = model(*example)
        except InputError as error:
            raise InputError(f"the model rejects {what}: {error}") from None
    shape = (y[0] if isinstance(y, tuple) else y).shape
    if len(shape) != 2 or shape[0] != 1:
        raise InputError(f"the model's scores for {what} have shape {shape}; expected (1, count)")
    return shape[1]


def state_arrays(state, name="state"):
    """Return the arrays of a recurrent state, nested tuples of Tensors or None, by name."""
    if not isinstance(state, tuple):
        return {} if state is None else {name: np.array(to_cpu(state.data))}
    parts = (state_arrays(part, f"{name}.{i}") for i, part in enumerate(state))
    return {key: array for part in parts for key, array in part.items()}


def state_from(state, arrays, name="state"):
    """Return a recurrent state with the structure of another one and the named arrays."""
    if isinstance(state, tuple):
        return tuple(state_from(part, arrays, f"{name}.{i}") for i, part in enumerate(state))
    return None if state is None else Tensor(arrays[name])


def state_for(model, state):
    """Return a recurrent state on the device of a model."""
    if isinstance(state, tuple):
        return tuple(state_for(model, part) for part in state)
    return None if state is None else model.brought(state)


def inputs_of(model):
    """Return the function from images (B, H, W, C) to what a model `takes`, such as rows."""
    _, shape = model.takes
    return lambda images: images.reshape(len(images), *shape)


def read_data(
    name,
    folder=None,
    limit=0,
    validation=0,
    size=None,
    channels=None,
    target=None,
    label=None,
    drop=None,
):
    """Return a data set as a Split, cut to `limit` images per part (0: all).

    A name that is none of `DATASETS` is that of a file in the folder.
    """
    if name in DATASETS:
        data = load_dataset(name, folder, size, channels)
        if label or drop or target not in (None, TARGETS[0]):
            option = "label" if label else "drop" if drop else "target"
            raise InputError(f"{option} applies to your own data, not to the set {name}; remove it")
    else:
        path = pathlib.Path(folder or ".", name)
        if not path.is_file():
            raise InputError(f"there is no file {path}; give its path, or its folder by folder")
        data = read_dataset(path, target, label or (), drop or ())
    data = data.with_channels()
    data = data.first(limit, limit) if limit else data
    train = data.train_images, data.train_labels
    test = data.test_images, data.test_labels
    held, count = None, len(train[0])
    if validation >= count:
        raise InputError(f"validation is {validation}; expected fewer than the {count} images")
    if validation:
        train, held = zip(*((a[:-validation], a[-validation:]) for a in train), strict=True)
    more = {"target": data.target, "columns": tuple(data.columns), "notes": data.notes}
    return Split(train, test, held, tuple(data.classes), **more)
