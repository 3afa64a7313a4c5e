"""Experiments: from settings to a training and its file.

A training's checkpoint keeps its settings and the preparation of its images, so that the file
alone is enough to go on, to evaluate and to freeze.
"""

import zlib

import numpy as np

from bitnet.data.preparation import GREY, Preparation
from bitnet.errors import InputError
from bitnet.optim.schedules import Widening
from bitnet.training.checkpoint import UNFIT_STATE, load_checkpoint, save_checkpoint
from bitnet.training.loop import Begun, fit
from bitnet.training.metrics import with_window
from bitnet.training.settings import (
    check_settings,
    complete,
    inputs_of,
    model_of,
    read_data,
    recipe_of,
)
from bitnet.training.trained import Teacher, of_begun, read_trained

__all__ = ["Experiment"]


class Experiment:
    """A training that can be begun, written to a file after each epoch, and gone on with.

    Parameters
    ----------
    settings : dict
        As `bitnet.settings` describes them; picture, classes and crc32, which the data say, and
        those with a default, and optimizer, norm and schedule, which the recipe says, may be left
        out.
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
    teacher : Teacher or None
        The net whose scores are learned too.
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
        self.settings = complete({**found, **own, **settings})
        check_settings(self.settings)
        if changed := [name for name in found if found[name] != self.settings[name]]:
            raise InputError(
                f"the training images of {settings['data']} are others than those that the "
                f"training began with ({changed[0]} differs); give the folder of the same files"
            )
        if settings["batch"] > len(images):
            raise InputError(
                f"batch is {settings['batch']}; there are only {len(images)} images "
                "to train on; expected at most as many"
            )
        if settings["crop"] >= min(images.shape[1:3]):
            raise InputError(
                f"crop is {settings['crop']}; expected fewer pixels than the images' "
                f"{images.shape[1]} x {images.shape[2]}"
            )
        self.teacher = Teacher.of(self.settings) if self.settings["teacher"] else None
        self.settings["teacher_crc32"] = self.teacher and self.teacher.crc32
        self.recipe = recipe
        self.rng = np.random.default_rng(settings["seed"])
        self.model = model_of(self.settings, self.rng)
        self.optimizer = self.recipe.optimizer_of(self.model)
        self.schedule = self.recipe.schedule()
        self.window = first_window(self.settings, self.model)
        self.done, self.best, self.begun, self.preparation = 0, None, None, preparation
        if settings["prepare"] and preparation is None:
            self.preparation = Preparation.fit(settings["prepare"], images)
        self.data = data.with_images(self.preparation) if self.preparation else data

    @classmethod
    def resume(cls, path, folder=None, epochs=None, teacher=None):
        """The training whose file this is, as it was after its last epoch.

        Parameters
        ----------
        path : str or path
            What `save` wrote.
        folder : str, optional
            Where the data are now.
        epochs : int, optional
            Train longer, or less long; only where the learning rate does not depend on it.
        teacher : str, optional
            Where the teacher's file is now.

        Returns
        -------
        Experiment

        Raises
        ------
        InputError
            If the file is none, damaged, or of other data.
        """
        trained, file = read_trained(path)
        if teacher and not trained.settings["teacher"]:
            raise InputError(f"{path} was begun without a teacher; leave it out, or begin anew")
        moved = {"folder": folder, "teacher": teacher}
        moved = {name: where for name, where in moved.items() if where}
        experiment = cls(trained.settings | moved, trained.preparation)
        parts = experiment.model, experiment.optimizer, experiment.schedule, experiment.rng
        same = {"experiment": file.settings["experiment"]}  # without what is moved or completed
        experiment.done = load_checkpoint(path, *parts, same)
        experiment.best = _best(path, file.notes.get("best"))
        if "begun" in file.notes:
            n_batches = len(experiment.data.train[0]) // experiment.settings["batch"]
            begun = file.notes["begun"], of_begun(file.extra), experiment.model, n_batches
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

    def to(self, device):
        """Train on the "cpu" or the "gpu" from now on; returns the Experiment.

        Files are the same for both: a training may be gone on with on the other one.
        """
        self.model.to(device)
        if self.teacher:
            self.teacher.trained.to(device)
        return self

    def epochs(self, progress=lambda passes: passes, stop=lambda: False):
        """Train on, and yield an `Epoch` after each; arguments as for `bitnet.training.loop.fit`.

        After a stop between two batches `begun` says so, and `save` keeps it.
        """
        settings, loss = self.settings, self.recipe.loss_of
        loss = self.teacher.loss(loss) if self.teacher else loss
        parts = self.model, self.optimizer, self.schedule, loss, self.data
        more = {"teacher": self.teacher, "window": widening(settings, self.window)}
        numbers = settings["epochs"], settings["batch"], self.rng, self.done
        border = GREY if self.preparation else None
        images = inputs_of(settings), settings["flip"], settings["crop"], border
        for epoch in fit(*parts, *numbers, *images, progress, self.begun, stop, **more):
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


def first_window(settings, model):
    """The window of the activations before it is widened, or None where it stays as it is."""
    if settings["widen"] is None:
        return None
    layers = with_window(model)
    if not layers:
        raise InputError(
            f"widen is {settings['widen']:g}, but activations {settings['activations']} have no "
            "window to widen; leave it out, or take activations 1 to 8, sign or uniform"
        )
    return layers[0].window


def widening(settings, start):
    """The schedule of the window of the activations, or None where it stays as it is."""
    after = settings["widen_after"] * settings["epochs"]
    return None if start is None else Widening(start, settings["widen"], after)


def _best(path, best):
    """What a file says about the best epoch, once it fits."""
    kinds = {"epoch": int, "validation": float, "test": float}
    if best is None:
        return None
    if not isinstance(best, dict) or {name: type(v) for name, v in best.items()} != kinds:
        raise InputError(f"{path}: the best epoch is {best!r:.60}; expected numbers")
    return best
