"""What a training learns from: images with labels, or texts; their batches, loss and figures.

`fit` asks a source for `check(model)`, `passes(rng)`, `loss(model, batch, state)` and
`figures(model, losses, seconds)`; `item` is its word for a batch, `clip` bounds the gradients.
"""

import dataclasses

import numpy as np

from bitnet.autograd.tensor import Tensor
from bitnet.data import Corpus, batches, load_dataset, scale_pixels, sequences
from bitnet.devices import full_memory_named, to_cpu
from bitnet.errors import InputError
from bitnet.nn import detach
from bitnet.nn.functional import cross_entropy, squared_hinge
from bitnet.nn.models import net_named
from bitnet.training import metrics

MEASURED = 10_000  # training images on which the accuracy is measured, by default
AHEAD = 2  # batches that are turned and cut while another is trained on
SAMPLE = 500  # images that show saturated and dead units


@dataclasses.dataclass(frozen=True)
class Split:
    """The images of a training: what it learns from, chooses by, and is measured on.

    Parameters
    ----------
    train, test : (numpy.ndarray, numpy.ndarray)
        Images (count, ...) and integer labels (count,).
    validation : pair, optional
        The same, held back from the training set.
    classes : tuple of str, optional
        The names of the classes.

    Examples
    --------
    >>> pair = np.zeros((5, 4), np.uint8), np.zeros(5, np.uint8)
    >>> Split(pair, pair).validation is None
    True
    """

    train: tuple
    test: tuple
    validation: tuple | None = None
    classes: tuple = ()

    @property
    def parts(self):
        """The parts that there are, by name."""
        named = {name: getattr(self, name) for name in ("train", "test", "validation")}
        return {name: part for name, part in named.items() if part is not None}

    def with_images(self, change):
        """The same with `change(images)` in place of the images of each part."""
        changed = {name: (change(images), labels) for name, (images, labels) in self.parts.items()}
        return dataclasses.replace(self, **changed)


@dataclasses.dataclass(frozen=True)
class Images:
    """Images with labels as a source of `fit`.

    Parameters
    ----------
    data : Split
        Images and labels, in the memory of the processor.
    loss_of : callable, optional
        From scores and labels to a Tensor of one number; `functional.squared_hinge` by default.
    batch : int, optional
        Images in a batch, 100.
    to_input : callable, optional
        From a batch of images to what the model takes.
    flip : bool, optional
        Turn half of the training images, left to right.
    crop : int, optional
        Pad training images by so many pixels and cut out a random part of the first size.
    border : int, optional
        The value of those pixels: 0, black, by default.
    teacher : callable, optional
        From a batch of images, turned and cut, to the scores of a teacher; `loss_of` then takes
        them after the labels, as `functional.distillation`.
    measured : int, optional
        The accuracy in training is that of so many images, the first 10 000.

    Examples
    --------
    >>> pair = np.zeros((5, 4), np.uint8), np.zeros(5, np.uint8)
    >>> len(Images(Split(pair, pair), batch=2).passes(np.random.default_rng(0)))
    2
    """

    data: Split
    loss_of: object = squared_hinge
    batch: int = 100
    to_input: object = None
    flip: bool = False
    crop: int = 0
    border: int | None = None
    teacher: object = None
    measured: int = MEASURED

    item, clip = "batch", None

    def check(self, model):
        """Refuse what does not fit the model, or itself, before the first batch."""
        parts, shape = self.data.parts, self.data.train[0].shape[1:]
        for name, (images, labels) in parts.items():
            if len(images) == 0 or np.shape(labels) != (len(images),):
                raise InputError(
                    f"the {name} part has {len(images)} images and labels of shape "
                    f"{np.shape(labels)}; expected one label per image, and at least one image"
                )
            if images.shape[1:] != shape:
                raise InputError(
                    f"the {name} images have the shape {images.shape[1:]}; the train images have "
                    f"{shape}, expected the same"
                )
        if self.crop and (len(shape) < 2 or self.crop >= min(shape[:2])):
            raise InputError(
                f"crop is {self.crop}; expected fewer pixels than the images' "
                f"{' x '.join(map(str, shape[:2]))}"
            )
        self.passes(np.random.default_rng(0))  # refuses batches that cannot be made
        image = self.data.train[0][:1]
        image = self.to_input(image) if self.to_input else image
        n_classes = n_scores(model, f"an image of shape {shape}", image)
        for name, (_, labels) in parts.items():
            labels = np.asarray(labels)
            least, most = labels.min(), labels.max()
            if labels.dtype.kind not in "iu" or least < 0 or most >= n_classes:
                raise InputError(
                    f"the {name} labels are {labels.dtype} from {least} to {most}; expected "
                    f"integers from 0 to {n_classes - 1}, as the model has {n_classes} scores"
                )

    def passes(self, rng):
        """The batches of an epoch, (images, labels); each iteration draws their order anew."""
        changes = {"flip": self.flip, "pad": self.crop, "border": self.border}
        changes["prefetch"] = AHEAD if self.flip or self.crop else 0
        return batches(*self.data.train, self.batch, rng, **changes)

    def loss(self, model, batch, state):
        """The loss of a batch, its derivative (1 by default), and the state after it: none."""
        x, labels = batch
        targets = (labels, self.teacher(x)) if self.teacher else (labels,)
        x = self.to_input(x) if self.to_input else x
        return self.loss_of(model(x), *targets), None, None

    def figures(self, model, losses, seconds):
        """What an epoch tells, by the names of `Epoch`; `seconds` are those of its batches."""
        accuracies = {
            f"{name}_accuracy": metrics.evaluate(model, images[:n], labels[:n], self.to_input)
            for name, (images, labels) in self.data.parts.items()
            for n in [self.measured if name == "train" else len(images)]
        }
        images = self.data.train[0][:SAMPLE]
        saturated, dead = metrics.activity(model, images, self.to_input)
        return accuracies | {
            "loss": float(np.mean(losses)),
            "saturated": saturated,
            "dead": dead,
            "images_per_second": len(losses) * self.batch / seconds,
            "histograms": metrics.histograms(model),
        }

    def state_like(self, model):
        """A state of the form that the model's has after a batch: none."""
        return None

    def better(self, epoch, best):
        """The best epoch with another one: the last that is most accurate on images held back."""
        accuracy = epoch.validation_accuracy
        if accuracy is None or (best and accuracy < best["validation"]):
            return best
        return {"epoch": epoch.epoch, "validation": accuracy, "test": epoch.test_accuracy}


@dataclasses.dataclass(frozen=True)
class Texts:
    """A text as a source of `fit`, learned by truncated backpropagation through time.

    See `data.sequences`.  What a step lowers is the sum over a piece's steps of the mean over its
    streams, so that rates and norms are those of the literature (Zaremba et al., arXiv 1409.2329).

    Parameters
    ----------
    data : Corpus
        The texts.
    batch, steps : int, optional
        Streams, 20, and steps of a piece, 35.
    clip : float or None, optional
        The largest norm of all gradients together, 5; a larger one is scaled down to it.

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

    item = "piece"

    def check(self, model):
        """Refuse what does not fit the model, or itself, before the first piece."""
        sequences(self.data.train, self.batch, self.steps)
        parts = {name: getattr(self.data, name) for name in ("train", "valid", "test")}
        for name, ids in parts.items():
            if len(ids) < 2:
                raise InputError(
                    f"the {name} text has {len(ids)} tokens; expected 2 or more: the first is not "
                    "predicted"
                )
        n_tokens = n_scores(model, "a token", np.zeros((1, 1), np.int32), None)
        for name, ids in parts.items():
            if ids.min() < 0 or ids.max() >= n_tokens:
                raise InputError(
                    f"the {name} text has tokens from {ids.min()} to {ids.max()}; expected 0 to "
                    f"{n_tokens - 1}, as the model has {n_tokens} scores"
                )

    def passes(self, rng):
        """The pieces of an epoch; each iteration draws where the text begins."""
        return sequences(self.data.train, self.batch, self.steps, rng)

    def loss(self, model, piece, state):
        """The loss of a piece, its derivative, and the state after it."""
        scores, state = model(piece.x, state if piece.continues else None)
        seed = np.asarray(len(piece.x), scores.data.dtype)  # the sum over the steps
        return cross_entropy(scores, piece.y.reshape(-1)), seed, detach(state)

    def figures(self, model, losses, seconds):
        """What an epoch tells, by the names of `Epoch`; `seconds` are those of its pieces."""
        length = len(self.data.train) // self.batch
        starts = range(0, length, self.steps)
        sizes = [min(self.steps, length - start) * self.batch for start in starts]
        total = sum(loss * size for loss, size in zip(losses, sizes, strict=True))
        figures = {"loss": total / sum(sizes), "tokens_per_second": sum(sizes) / seconds}
        for name in ("valid", "test"):
            ids = getattr(self.data, name)
            loss = metrics.evaluate_language(model, ids, self.batch, self.steps)
            figures |= {f"{name}_{k}": v for k, v in metrics.measures(loss).items()}
        return figures

    def state_like(self, model):
        """A state of the form that the model's has after a piece."""
        with metrics.evaluating_if_module(model):
            return model(np.zeros((1, self.batch), np.int32), None)[1]

    def better(self, epoch, best):
        """The best epoch with another one: the first with the least loss on the valid text."""
        if best and epoch.valid_loss >= best["validation"]:
            return best
        return {"epoch": epoch.epoch, "validation": epoch.valid_loss, "test": epoch.test_loss}


def n_scores(model, what, *example):
    """How many scores a model in evaluation mode gives to one example, which `what` names."""
    with full_memory_named(), metrics.evaluating_if_module(model):
        try:
            y = model(*example)
        except InputError as error:
            raise InputError(f"the model refuses {what}: {error}") from None
    shape = (y[0] if isinstance(y, tuple) else y).shape
    if len(shape) != 2 or shape[0] != 1:
        raise InputError(f"the model's scores for {what} have shape {shape}; expected (1, count)")
    return shape[1]


def state_arrays(state, name="state"):
    """The arrays of a recurrent state, nested tuples of Tensors or None, by name."""
    if not isinstance(state, tuple):
        return {} if state is None else {name: np.array(to_cpu(state.data))}
    parts = (state_arrays(part, f"{name}.{i}") for i, part in enumerate(state))
    return {key: array for part in parts for key, array in part.items()}


def state_from(state, arrays, name="state"):
    """A recurrent state of the same form as another one, with arrays by name."""
    if isinstance(state, tuple):
        return tuple(state_from(part, arrays, f"{name}.{i}") for i, part in enumerate(state))
    return None if state is None else Tensor(arrays[name])


def state_for(model, state):
    """A recurrent state where a model is: on the GPU if the model is there."""
    if isinstance(state, tuple):
        return tuple(state_for(model, part) for part in state)
    return None if state is None else model.brought(state)


def inputs_of(settings):
    """The function from prepared uint8 images (B, H, W, C) to what a training's model takes.

    Rows of pixels for an MLP, and floats from -1 to 1 for a float twin.
    """
    is_conv, is_float = net_named(settings["net"]).is_conv, settings["float"]

    def inputs(images):
        images = images if is_conv else images.reshape(len(images), -1)
        return scale_pixels(images) if is_float else images

    return inputs


def read_data(name, folder=None, limit=0, validation=0, size=None, channels=None):
    """The Split of a data set: its first images, 0 for all, of which the last are held back."""
    data = load_dataset(name, folder, size, channels).with_channels()
    data = data.first(limit, limit) if limit else data
    train = data.train_images, data.train_labels
    test = data.test_images, data.test_labels
    held, count = None, len(train[0])
    if validation >= count:
        raise InputError(f"validation is {validation}; expected fewer than the {count} images")
    if validation:
        train, held = zip(*((a[:-validation], a[-validation:]) for a in train), strict=True)
    return Split(train, test, held, tuple(data.classes))
