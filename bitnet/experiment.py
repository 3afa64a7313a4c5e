"""Experiments: from settings to a training, its file, and the trained net from the file.

A training's checkpoint keeps its settings and the preparation of its images, so that the file
alone is enough to go on, to evaluate and to freeze.  Before a model is allocated the arrays in
the file must be as large as the settings say.
"""

import dataclasses
import zlib

import numpy as np

from bitnet.archive import kind_of
from bitnet.checkpoint import KIND, UNFIT_STATE, load_checkpoint, read_checkpoint, save_checkpoint
from bitnet.deploy import file as frozen_file
from bitnet.errors import InputError
from bitnet.fit import Begun, fit
from bitnet.module import Module
from bitnet.nets import net_named
from bitnet.preparation import GREY, Preparation
from bitnet.settings import as_before, check_settings, inputs_of, model_of, read_data, recipe_of
from bitnet.train import scores

__all__ = ["Experiment", "Trained", "load_trained", "open_net", "raw_scores"]


def with_channels(images):
    """Images (count, H, W) as (count, H, W, 1); others as they are."""
    return images[..., None] if images.ndim == 3 else images


class Experiment:
    """A training that can be begun, written to a file after each epoch, and gone on with.

    Parameters
    ----------
    settings : dict
        As `bitnet.settings` describes them; picture, classes and crc32, which the data say, and
        optimizer, norm and schedule, which the recipe says, may be left out.
    preparation : Preparation, optional
        That of the training which is gone on with; by default it is learned anew.

    Attributes
    ----------
    settings : dict
        Complete.
    data : Split
        Prepared images.
    model, optimizer, schedule, rng
        The training's.
    recipe : Recipe
        Where they come from.
    done : int
        Epochs done.
    begun : Begun or None
        The epoch after those that are done, if it was stopped.
    best : dict or None
        The last epoch with the least error on the images held back, and its two accuracies.

    Raises
    ------
    InputError
        If the settings are none, the data are not there, or they are others than before.

    Examples
    --------
    >>> settings = {"net": "mlp:8", "data": "embedded", "folder": None, "recipe": "default"}
    >>> settings |= {"float": False, "epochs": 1, "batch": 100, "lr": 0.003, "seed": 0}
    >>> settings |= {"gradient": "int8", "rounding": "nearest", "validation": 0, "limit": 200}
    >>> settings |= {"flip": False, "crop": 0, "prepare": [], "size": None, "channels": None}
    >>> [epoch.epoch for epoch in Experiment(settings).epochs()]
    [1]
    """

    def __init__(self, settings, preparation=None):
        asked = "data", "folder", "limit", "validation", "size", "channels"
        data = read_data(*(settings[name] for name in asked))
        images, labels = np.ascontiguousarray(data.train[0]), data.train[1]
        found = {
            "picture": list(images.shape[1:]),
            "classes": list(data.classes),
            "crc32": zlib.crc32(np.ascontiguousarray(labels), zlib.crc32(images)),
        }
        recipe = recipe_of(settings)
        own = {"optimizer": recipe.optimizer, "norm": recipe.norm, "schedule": recipe.fall}
        self.settings = {**found, **own, **settings}
        check_settings(self.settings)
        if changed := [name for name in found if found[name] != self.settings[name]]:
            raise InputError(
                f"the training images of {settings['data']} are others than those that the "
                f"training began with ({changed[0]} differs); give the folder of the same files"
            )
        if settings["batch"] > len(images):
            raise InputError(f"batch is {settings['batch']}; there are only {len(images)} images "
                             "to train on; expected at most as many")  # fmt: skip
        if settings["crop"] >= min(images.shape[1:3]):
            raise InputError(
                f"crop is {settings['crop']}; expected fewer pixels than the images' "
                f"{images.shape[1]} x {images.shape[2]}"
            )
        self.recipe = recipe
        self.rng = np.random.default_rng(settings["seed"])
        self.model = model_of(self.settings, self.rng)
        self.optimizer = self.recipe.optimizer_of(self.model)
        self.schedule = self.recipe.schedule()
        self.done, self.best, self.begun, self.preparation = 0, None, None, preparation
        if settings["prepare"] and preparation is None:
            self.preparation = Preparation.fit(settings["prepare"], images)
        self.data = data.with_images(self.preparation) if self.preparation else data

    @classmethod
    def resume(cls, path, folder=None, epochs=None):
        """The training whose file this is, as it was after its last epoch.

        Parameters
        ----------
        path : str or path
            What `save` wrote.
        folder : str, optional
            Where the data are now.
        epochs : int, optional
            Train longer, or less long; only where the learning rate does not depend on it.

        Returns
        -------
        Experiment

        Raises
        ------
        InputError
            If the file is none, damaged, or of other data.
        """
        trained, file = _read(path)
        experiment = cls(trained.settings | ({"folder": folder} if folder else {}),
                         trained.preparation)  # fmt: skip
        parts = experiment.model, experiment.optimizer, experiment.schedule, experiment.rng
        experiment.done = load_checkpoint(path, *parts, {"experiment": file.settings["experiment"]})
        experiment.best = _best(path, file.notes.get("best"))
        if "begun" in file.notes:
            n_batches = len(experiment.data.train[0]) // experiment.settings["batch"]
            begun = file.notes["begun"], _begun(file.extra), experiment.model, n_batches
            try:
                experiment.begun = Begun.from_file(*begun)
                np.random.default_rng(0).bit_generator.state = experiment.begun.rng
            except (InputError, *UNFIT_STATE) as error:
                raise InputError(f"{path}: {error}") from None
        if epochs is not None and epochs != trained.settings["epochs"]:
            if experiment.recipe.fall in ("cosine", "exponential"):
                raise InputError(
                    f"epochs is {epochs}, but the learning rate of {path} falls over "
                    f"{trained.settings['epochs']} epochs; leave it out, or begin anew"
                )
            experiment.settings["epochs"] = epochs
        return experiment

    def epochs(self, progress=lambda passes: passes, stop=lambda: False):
        """Train on, and yield an `Epoch` after each; arguments as for `bitnet.fit.fit`.

        After a stop between two batches `begun` says so, and `save` keeps it.
        """
        parts = self.model, self.optimizer, self.schedule, self.recipe.loss_of, self.data
        settings = self.settings
        numbers = settings["epochs"], settings["batch"], self.rng, self.done
        border = GREY if self.preparation else None
        images = inputs_of(settings), settings["flip"], settings["crop"], border
        for epoch in fit(*parts, *numbers, *images, progress, self.begun, stop):
            self.begun = epoch if isinstance(epoch, Begun) else None
            if self.begun:
                return
            self.done = epoch.epoch
            accuracy = epoch.validation_accuracy
            if accuracy is not None and (not self.best or accuracy >= self.best["validation"]):
                self.best = {"epoch": self.done, "validation": accuracy}
                self.best["test"] = epoch.test_accuracy
            yield epoch

    def save(self, path):
        """Write all that `resume`, `load_trained` and `open_net` need, whole or not at all."""
        notes = {"best": self.best}
        if self.preparation:
            notes["prepare"] = self.preparation.header
        extra = dict(self.preparation.arrays) if self.preparation else {}
        if self.begun:
            notes["begun"], extra = self.begun.notes(), extra | self.begun.arrays()
        parts = self.model, self.optimizer, self.schedule, self.rng
        save_checkpoint(path, self.done, *parts, {"experiment": self.settings}, notes, extra)


def _begun(extra, begun=True):
    """The arrays of an epoch that is begun, or the others."""
    return {name: a for name, a in extra.items() if name.startswith("begun.") == begun}


def _best(path, best):
    """What a file says about the best epoch, once it fits."""
    kinds = {"epoch": int, "validation": float, "test": float}
    if best is None:
        return None
    if not isinstance(best, dict) or {name: type(v) for name, v in best.items()} != kinds:
        raise InputError(f"{path}: the best epoch is {best!r:.60}; expected numbers")
    return best


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained model with all that is needed to use it on images as they are in files.

    Attributes
    ----------
    model : Sequential
        In evaluation mode.
    settings : dict
        Those of the training, see `bitnet.settings`.
    epoch : int
        Epochs done.
    preparation : Preparation or None
        What happens to images before the model.
    batch : int or None
        How many images `scores` takes at once; None for a usual number.

    Examples
    --------
    >>> settings = {"net": "mlp:8", "data": "mnist", "recipe": "default", "float": False}
    >>> settings |= {"epochs": 7, "batch": 10, "lr": 0.003, "gradient": None, "rounding": None}
    >>> settings |= {"picture": [28, 28, 1], "classes": ["a", "b"]}
    >>> trained = Trained(model_of(settings, np.random.default_rng(0)), settings)
    >>> trained.scores(np.zeros((3, 28, 28), np.uint8)).shape
    (3, 2)
    """

    model: Module
    settings: dict
    epoch: int = 0
    preparation: Preparation | None = None
    batch: int | None = None

    @property
    def classes(self):
        """The names of the classes."""
        return tuple(self.settings["classes"])

    @property
    def picture(self):
        """Rows, columns and channels of the images."""
        return tuple(self.settings["picture"])

    @property
    def image(self):
        """The same, if the model takes images; None if it takes rows of pixels."""
        return self.picture if net_named(self.settings["net"]).is_conv else None

    def prepare(self, images):
        """uint8 images (count, H, W[, C]) as prepared uint8 images (count, H, W, C)."""
        images = with_channels(np.asarray(images))
        if images.dtype != np.uint8 or images.shape[1:] != self.picture:
            raise InputError(
                f"images are {images.dtype} of shape {images.shape}; expected uint8 of shape "
                f"(count, {', '.join(map(str, self.picture))})"
            )
        return images if self.preparation is None else self.preparation(images)

    def scores(self, images):
        """The outputs, float32 (count, C), for uint8 images (count, H, W[, C]) as in files."""
        return self.scores_of_prepared(self.prepare(images))

    def scores_of_prepared(self, images):
        """The outputs for what `prepare` returned."""
        return scores(self.model, images, inputs_of(self.settings), self.batch)

    def predict(self, images):
        """The classes, int64 (count,), for uint8 images (count, H, W[, C]) as in files."""
        return self.scores(images).argmax(axis=1)


def load_trained(path):
    """The model of a training's checkpoint.

    Parameters
    ----------
    path : str or path
        What `bitnet train` wrote.

    Returns
    -------
    Trained

    Raises
    ------
    InputError
        If the file is no checkpoint of a training, is damaged, or its arrays are not those of
        the model that its settings describe.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> try:
    ...     load_trained(__file__)
    ... except InputError as error:
    ...     print(str(error).partition(": ")[2])
    not a bitnet file, or its end is cut off; expected a training checkpoint
    """
    return _read(path)[0]


def _read(path):
    """The Trained of a file, and its Checkpoint."""
    file = read_checkpoint(path)
    settings = file.settings.get("experiment")
    if not isinstance(settings, dict):
        raise InputError(f"{path}: a checkpoint of another program than `bitnet train`")
    settings = as_before(settings)
    try:
        check_settings(settings)
        net, n_classes = net_named(settings["net"]), len(settings["classes"])
        expected = net.weights(settings["picture"], n_classes)
        there = sum(a.size for name, a in file.model.items() if name.endswith(".weight"))
        if there != expected:
            raise InputError(f"{there} weights; the net {net.name} has {expected}")
        model = model_of(settings, np.random.default_rng(0))
        model.load_state_dict(file.model)
        preparation = None
        if settings["prepare"]:
            preparation = Preparation.from_arrays(
                file.notes.get("prepare"), _begun(file.extra, False)
            )
            header = preparation.header
            if [header["steps"], header["image"]] != [settings["prepare"], settings["picture"]]:
                raise InputError(f"{preparation!r} is of other images or steps than the settings")
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return Trained(model.eval(), settings, file.epoch, preparation), file


def open_net(path):
    """A trained or a frozen net from its file, whichever it is.

    Parameters
    ----------
    path : str or path
        What `bitnet train` or `bitnet freeze` wrote.

    Returns
    -------
    Trained or FrozenNet

    Raises
    ------
    InputError
        If it is neither, or damaged.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> try:
    ...     open_net(__file__)
    ... except InputError as error:
    ...     print(str(error).partition(": ")[2])
    not a file of bitnet, or its end is cut off; expected a net
    """
    return load_trained(path) if kind_of(path) == KIND else frozen_file.load(path)


def raw_scores(net, images):
    """The outputs of a trained or frozen net for images as they are in files.

    Parameters
    ----------
    net : Trained or FrozenNet
        As `open_net` gives it.
    images : numpy.ndarray
        uint8 of shape (count, H, W) or (count, H, W, C).

    Returns
    -------
    numpy.ndarray
        float32 of shape (count, C).

    Raises
    ------
    InputError
        If the images do not fit.

    Examples
    --------
    >>> import bitnet
    >>> net = bitnet.freeze(bitnet.models.binary_mlp([4, 3], np.random.default_rng(0)))
    >>> raw_scores(net, np.zeros((5, 2, 2), np.uint8)).shape
    (5, 3)
    """
    return prepared_scores(net, net.prepare(images))


def prepared_scores(net, images):
    """The outputs of a trained or frozen net for what its `prepare` returned."""
    return net.scores_of_prepared(images) if isinstance(net, Trained) else net.scores(images)
