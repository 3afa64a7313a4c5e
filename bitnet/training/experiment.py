"""Experiments: from settings to a training and its file, whether on images or on a text.

A training's checkpoint keeps its settings and the preparation of its images, or the vocabulary of
its text, so that the file alone is enough to resume, to evaluate and to freeze.
"""

import zlib

import numpy as np

from bitnet.data.preparation import GREY, Preparation
from bitnet.errors import InputError
from bitnet.optim.schedules import Widening
from bitnet.training import texts
from bitnet.training.checkpoint import UNFIT_STATE, load_checkpoint, save_checkpoint
from bitnet.training.loop import Begun, fit
from bitnet.training.metrics import with_clip_value
from bitnet.training.settings import check_settings, complete, model_of, recipe_of
from bitnet.training.sources import Images, Texts, inputs_of, read_data
from bitnet.training.trained import Teacher, of_begun, read_trained


class Experiment:
    """A training that can be started, written to a file after each epoch, and resumed.

    Parameters
    ----------
    settings : dict
        As `bitnet.training.settings` describes them.  What has a default, is computed from the
        recipe or said by the data may be left out.
    preparation : Preparation, optional
        That of the training that is resumed; by default it is learned from the training images.
    vocabulary : Vocabulary, optional
        That of the training that is resumed; by default the training text's.

    Attributes
    ----------
    settings : dict
        Complete.
    source : Images or Texts
        What is learned from; `data` is its Split of prepared images, or its Corpus.
    model, optimizer, schedule, rng
        The training's.
    recipe : Recipe or None
        Where they come from, for images.
    done : int
        Epochs done.
    begun : Begun or None
        The epoch after those that are done, if it was stopped.
    teacher : Teacher or None
        The net whose scores are learned too.
    best : dict or None
        The best epoch on what is held back, its figure there ("validation") and on the "test"
        part: accuracies, or losses of a text.

    Raises
    ------
    InputError
        If the settings are invalid, or the data are missing, do not fit, or have changed.

    Examples
    --------
    >>> settings = {"net": "mlp:8", "data": "embedded", "epochs": 1, "limit": 200}
    >>> [epoch.epoch for epoch in Experiment(settings).epochs()]
    [1]
    >>> settings = {"net": "rnn:8", "epochs": 1, "batch": 5, "steps": 20, "limit": 1000}
    >>> [epoch.epoch for epoch in Experiment(settings).epochs()]
    [1]
    """

    def __init__(self, settings, preparation=None, vocabulary=None):
        settings = complete(settings)
        check_settings(settings, known=False)
        is_text = "steps" in settings
        self.preparation, self.teacher, self.recipe = None, None, None
        if is_text:
            data = texts.read_corpus(settings, vocabulary)
            crc32 = zlib.crc32(np.ascontiguousarray(data.train))
            found = {"tokens": len(data.vocabulary), "crc32": crc32}
        else:
            names = "data", "folder", "limit", "validation", "size", "channels"
            data = read_data(*map(settings.get, names))
            images, labels = map(np.ascontiguousarray, data.train)
            found = {"picture": list(images.shape[1:]), "classes": list(data.classes)}
            found["crc32"] = zlib.crc32(labels, zlib.crc32(images))
        self.settings = {**found, **settings}
        check_settings(self.settings)
        if changed := [name for name in found if found[name] != self.settings[name]]:
            raise InputError(
                f"the training data {settings['data']} have changed since the training began "
                f"({changed[0]} differs); give the folder of the same files"
            )
        if self.settings.get("teacher"):
            self.teacher = Teacher.of(self.settings)
            self.settings["teacher_crc32"] = self.teacher.crc32
        self.rng = np.random.default_rng(settings["seed"])
        self.model = model_of(self.settings, self.rng)
        if is_text:
            optimizer = texts.OPTIMIZERS[settings["optimizer"]]
            self.optimizer = optimizer(self.model.parameters(), settings["lr"])
            self.schedule = texts.schedule_of(settings)
            self.source = Texts(data, *map(settings.get, ("batch", "steps", "clip")))
        else:
            self.recipe = recipe_of(settings)
            self.optimizer = self.recipe.optimizer_of(self.model)
            self.schedule = self.recipe.schedule()
            self.source = self._images(data, preparation)
        self.source.check(self.model)
        self.widening = _widening(self.settings, self.model)
        self.done, self.best, self.begun = 0, None, None

    def _images(self, data, preparation):
        """The source of the images, prepared."""
        settings = self.settings
        if settings["prepare"]:
            train = np.ascontiguousarray(data.train[0])
            self.preparation = preparation or Preparation.fit(settings["prepare"], train)
            data = data.with_images(self.preparation)
        loss, border = self.recipe.loss_of, GREY if self.preparation else None
        loss = self.teacher.loss(loss) if self.teacher else loss
        more = {name: settings[name] for name in ("batch", "flip", "crop")}
        more |= {"to_input": inputs_of(settings), "border": border, "teacher": self.teacher}
        return Images(data, loss, **more)

    @property
    def data(self):
        """The Split of prepared images, or the Corpus."""
        return self.source.data

    @classmethod
    def resume(cls, path, folder=None, epochs=None, teacher=None):
        """The training whose file this is, as it was when it was saved.

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
            If the file is no training's, is damaged, or is of other data.
        """
        trained, file = read_trained(path)
        if teacher and not trained.settings.get("teacher"):
            raise InputError(f"{path} was begun without a teacher; leave it out, or start over")
        begun_with, falls = trained.settings["epochs"], ("cosine", "exponential")
        if epochs not in (None, begun_with) and trained.settings["schedule"] in falls:
            raise InputError(
                f"epochs is {epochs}, but the learning rate of {path} falls over {begun_with} "
                "epochs; leave it out, or start over"
            )
        moved = {"folder": folder, "teacher": teacher, "epochs": epochs}
        moved = {name: value for name, value in moved.items() if value is not None}
        experiment = cls(trained.settings | moved, trained.preparation, trained.vocabulary)
        same = {"experiment": trained.settings}  # without what is moved
        experiment.done = load_checkpoint(path, *experiment._parts(), same)
        experiment.best = _best(path, file.notes.get("best"))
        if "begun" in file.notes:
            model, source = experiment.model, experiment.source
            begun = file.notes["begun"], of_begun(file.extra), model, source
            try:
                experiment.begun = Begun.from_file(*begun, len(source.passes(experiment.rng)))
                np.random.default_rng(0).bit_generator.state = experiment.begun.rng
            except (InputError, *UNFIT_STATE) as error:
                raise InputError(f"{path}: {error}") from None
        return experiment

    def to(self, device):
        """Train on the "cpu" or the "gpu" from now on; returns the Experiment.

        Files are the same for both: a training may be resumed on the other one.
        """
        self.model.to(device)
        if self.teacher:
            self.teacher.trained.to(device)
        return self

    def _parts(self):
        """What a checkpoint holds."""
        return self.model, self.optimizer, self.schedule, self.rng

    def epochs(self, progress=lambda passes: passes, stop=lambda: False):
        """Continue the training, and yield an `Epoch` after each; arguments as for `fit`.

        After a stop between two batches `begun` says so, and `save` keeps it.
        """
        more = {"done": self.done, "begun": self.begun, "progress": progress, "stop": stop}
        more |= {"schedule": self.schedule, "clip_value": self.widening}
        numbers = {"epochs": self.settings["epochs"], "rng": self.rng}
        for epoch in fit(self.model, self.optimizer, self.source, **numbers, **more):
            self.begun = epoch if isinstance(epoch, Begun) else None
            if self.begun:
                return
            self.done = epoch.epoch
            self.best = self.source.better(epoch, self.best)
            yield epoch

    def save(self, path):
        """Write all that `resume` and `bitnet.load` need, whole or not at all."""
        notes, extra = {"best": self.best}, {}
        if self.preparation:
            notes["prepare"], extra = self.preparation.header, dict(self.preparation.arrays)
        if isinstance(self.source, Texts):
            notes["vocabulary"] = self.data.vocabulary.header()
        if self.begun:
            notes["begun"], extra = self.begun.notes(), extra | self.begun.arrays()
        save_checkpoint(
            path, self.done, *self._parts(), {"experiment": self.settings}, notes, extra
        )


def _widening(settings, model):
    """The schedule of the clip_value of the activations, or None where it stays as it is."""
    if settings.get("widen") is None:
        return None
    layers = with_clip_value(model)
    if not layers:
        raise InputError(
            f"widen is {settings['widen']:g}, but activations {settings['activations']} have no "
            "clip_value to widen; leave it out, or take activations 1 to 8, sign or uniform"
        )
    after = settings["widen_after"] * settings["epochs"]
    return Widening(layers[0].clip_value, settings["widen"], after)


def _best(path, best):
    """What a file says about the best epoch, once it fits."""
    kinds = {"epoch": int, "validation": float, "test": float}
    if best is None:
        return None
    if not isinstance(best, dict) or {name: type(v) for name, v in best.items()} != kinds:
        raise InputError(f"{path}: the best epoch is {best!r:.60}; expected numbers")
    return best
