"""Experiments: build a training from settings, for images or for texts, and resume it from a file.

The checkpoint contains the settings and the preparation of the images, or the vocabulary of the
text, so the file is sufficient to resume, to evaluate and to freeze.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bitnet.data import Corpus
from bitnet.data.preparation import GREY, Preparation
from bitnet.data.vocabulary import Vocabulary
from bitnet.errors import InputError
from bitnet.nn import Module
from bitnet.nn.models.ends import fit_ends
from bitnet.optim.optimizers import Optimizer
from bitnet.optim.schedules import Schedule, Warmup, Widening
from bitnet.training import texts
from bitnet.training.building import complete, model_of, recipe_of
from bitnet.training.checkpoint import UNFIT_STATE, load_checkpoint, save_checkpoint
from bitnet.training.initial import Initial, copy_parameters, read_initial
from bitnet.training.log import check_records
from bitnet.training.loop import Begun, Epoch, fit
from bitnet.training.metrics import with_clip_value
from bitnet.training.recipes import Recipe
from bitnet.training.settings import check_settings
from bitnet.training.sources import OF_DATA, Images, Split, Texts, inputs_of, read_data
from bitnet.training.stopping import EarlyStopping
from bitnet.training.targets import LOSSES, loss_of
from bitnet.training.trained import Teacher, crc32_of, of_begun, read_trained


class Experiment:
    """A training that can be saved after each epoch and resumed.

    Parameters
    ----------
    settings : dict
        The settings, see `bitnet.training.settings`.  Settings with a default, and those that
        follow from the recipe or the data, may be missing.
    preparation : Preparation, optional
        The preparation of a resumed training; default: computed from the training images.
    vocabulary : Vocabulary, optional
        The vocabulary of a resumed training; default: that of the training text.

    Attributes
    ----------
    settings : dict
        The complete settings.
    source : Images or Texts
        The source of batches; `data` is its Split of prepared images, or its Corpus.
    model, optimizer, schedule, rng
        The model and the state of its training.
    recipe : Recipe or None
        The recipe, for images.
    done : int
        Number of completed epochs.
    begun : Begun or None
        The interrupted epoch after the completed ones.
    teacher : Teacher or None
        The net whose scores are learned too.
    initial : Initial or None
        Which parameters a new training took from the file `init`.
    stopping : EarlyStopping or None
        The state of early stopping, with `patience`.
    records : list of dict
        The figures of the best epoch, where there is one, and of the last, without times and
        histograms.
    best : dict or None
        The best epoch on the validation part, with its "validation" and "test" figures: accuracies
        for images, losses for texts.

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

    def __init__(
        self,
        settings: dict,
        preparation: Preparation | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        given, settings = settings, complete(settings)
        check_settings(settings, known=False)
        is_text = "steps" in settings
        self.preparation: Preparation | None = None
        self.teacher: Teacher | None = None
        self.recipe: Recipe | None = None
        self.initial: Initial | None = None
        start = read_initial(settings)
        if is_text:
            vocabulary = vocabulary or (start and start.vocabulary)
            data = texts.read_corpus(settings, vocabulary)
            found: dict = {"tokens": len(data.vocabulary), "crc32": crc32_of([data.train])}
        else:
            data = read_data(*map(settings.get, OF_DATA))
            found = _facts(data, recipe_of(settings).loss)
            found |= {"loss": settings["loss"]} if "loss" in settings else {}
            if "batch" not in given:
                settings["batch"] = min(settings["batch"], max(2, len(data.train[0])))
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
        if start:  # before the optimizer, which may take signs
            self.initial = copy_parameters(self.model, start, settings["init"])
            self.settings["init_crc32"] = crc32_of(start.arrays.values())
        own = {"moments": settings["moments"], "rng": self.rng}
        if settings["weight_decay"]:
            own["weight_decay"] = settings["weight_decay"]
        if is_text:
            optimizer = texts.OPTIMIZERS[settings["optimizer"]]
            self.optimizer = optimizer(self.model.parameters(), settings["lr"], **own)
            self.schedule = texts.schedule_of(settings)
            self.source: Images | Texts = Texts(
                data, settings["batch"], settings["steps"], settings["clip"]
            )
        else:
            self.recipe = recipe_of(settings)
            self.optimizer = self.recipe.optimizer_of(self.model, **own)
            self.schedule = self.recipe.schedule()
            fit_ends(self.model, inputs_of(self.model)(data.train[0]), data.train[1])
            self.source = self._images(data, preparation)
        if settings["warmup"]:
            self.schedule = Warmup(self.schedule, settings["warmup"])
        self.source.check(self.model)
        self.stopping: EarlyStopping | None = None
        if settings["patience"]:
            if not settings.get("validation", is_text):
                raise InputError(
                    f"patience is {settings['patience']}, but no images are held back; set "
                    "validation, such as to 1000, or remove patience"
                )
            self.stopping = EarlyStopping(settings["patience"], self.source.mode)
        self.records: list[dict] = []
        self.widening = _widening(self.settings, self.model)
        self.done = 0
        self.best: dict | None = None
        self.begun: Begun | None = None

    def __repr__(self) -> str:
        net, data, epochs = map(self.settings.get, ("net", "data", "epochs"))
        return f"Experiment({net!r}, {data!r}, {self.done} of {epochs} epochs done)"

    def _images(self, data, preparation):
        """Return the source of the images, prepared."""
        settings = self.settings
        if settings["prepare"]:
            train = np.ascontiguousarray(data.train[0])
            self.preparation = preparation or Preparation.fit(settings["prepare"], train)
            data = data.with_images(self.preparation)
        loss, border = loss_of(settings, data.train[1]), GREY if self.preparation else None
        loss = self.teacher.loss(loss) if self.teacher else loss
        more = {name: settings[name] for name in ("batch", "flip", "crop")}
        more |= {"to_input": inputs_of(self.model), "border": border, "teacher": self.teacher}
        return Images(data, loss, **more)

    @property
    def data(self) -> Split | Corpus:
        """The Split of prepared images, or the Corpus."""
        return self.source.data

    @classmethod
    def resume(
        cls,
        path: str | Path,
        folder: str | None = None,
        epochs: int | None = None,
        teacher: str | None = None,
    ) -> "Experiment":
        """Load a training from a file that `save` wrote.

        Parameters
        ----------
        path : str or path
            The file.
        folder : str, optional
            The folder of the data, if it has moved.
        epochs : int, optional
            A new number of epochs, if the learning rate does not depend on it.
        teacher : str, optional
            The file of the teacher, if it has moved.

        Returns
        -------
        Experiment
            The training in the state in which it was saved.

        Raises
        ------
        InputError
            If the file is not a checkpoint of `bitnet train`, is damaged, or has other data.
        """
        trained, file = read_trained(path)
        if teacher and not trained.settings.get("teacher"):
            raise InputError(f"{path} was started without a teacher; remove teacher, or start over")
        begun_with, falls = trained.settings["epochs"], ("cosine", "exponential")
        if epochs not in (None, begun_with) and trained.settings["schedule"] in falls:
            raise InputError(
                f"epochs is {epochs}, but the learning rate of {path} falls over {begun_with} "
                "epochs; remove epochs, or start over"
            )
        moved = {"folder": folder, "teacher": teacher, "epochs": epochs}
        moved = {name: value for name, value in moved.items() if value is not None}
        experiment = cls(trained.settings | moved, trained.preparation, trained.vocabulary)
        same = {"experiment": trained.settings}  # as saved, not as changed
        experiment.done = load_checkpoint(path, *experiment._parts(), same)
        experiment.best = _best(path, file.notes.get("best"))
        experiment._load_notes(path, file.notes)
        if "begun" in file.notes:
            model, source = experiment.model, experiment.source
            begun = file.notes["begun"], of_begun(file.extra), model, source
            sizes = len(source.passes(experiment.rng)), experiment.settings["accumulate"]
            try:
                experiment.begun = Begun.from_file(*begun, *sizes)
                np.random.default_rng(0).bit_generator.state = experiment.begun.rng
            except (InputError, *UNFIT_STATE) as error:
                raise InputError(f"{path}: {error}") from None
        return experiment

    def to(self, device: str) -> "Experiment":
        """Move the training to the "cpu" or the "gpu", and return it.

        Files are the same for both: a training may be resumed on the other device.
        """
        self.model.to(device)
        if self.teacher:
            self.teacher.trained.to(device)
        return self

    def _load_notes(self, path, notes):
        """Set the figures of epochs and the state of early stopping."""
        try:
            self.records = check_records(notes.get("records"))
            if self.stopping:
                self.stopping.load_state(notes.get("stopping"))
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    @property
    def is_done(self) -> bool:
        """Whether all epochs are done, or early stopping ended the training."""
        stopped = self.stopping is not None and self.stopping.is_over
        return stopped or self.done >= self.settings["epochs"]

    def _parts(self) -> tuple[Module, Optimizer, Schedule, np.random.Generator]:
        """Return the parts of the training that a checkpoint contains."""
        return self.model, self.optimizer, self.schedule, self.rng

    def epochs(
        self, progress: Callable = lambda passes: passes, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Epoch]:
        """Continue the training, and yield an `Epoch` after each; arguments as for `fit`.

        With `patience` it ends after that many epochs without a better figure.  If `stop` ends it
        between two batches, `begun` is the interrupted epoch, which `save` keeps.
        """
        more: dict = {"schedule": self.schedule, "clip_value": self.widening}
        more |= {"done": self.done, "begun": self.begun, "progress": progress, "stop": stop}
        more |= {"epochs": self.settings["epochs"], "rng": self.rng}
        more |= {"accumulate": self.settings["accumulate"]}
        if self.is_done:
            return
        for epoch in fit(self.model, self.optimizer, self.source, **more):
            self.begun = epoch if isinstance(epoch, Begun) else None
            if self.begun:
                return
            self.done = epoch.epoch
            self.best = self.source.better(epoch, self.best)
            best = self.best and self.best["epoch"]
            self.records = [record for record in self.records if record["epoch"] == best]
            self.records.append(epoch.record(times=False))
            if self.stopping and self.best:
                self.stopping(self.best["validation"])
            yield epoch
            if self.is_done:
                return

    def save(self, path: str | Path) -> None:
        """Write a checkpoint for `resume` and `bitnet.load`, completely or not at all."""
        notes: dict = {"best": self.best, "records": self.records}
        if self.stopping:
            notes["stopping"] = self.stopping.state()
        extra: dict = {}
        if self.preparation:
            notes["prepare"], extra = self.preparation.header, dict(self.preparation.arrays)
        if isinstance(self.source, Texts):
            notes["vocabulary"] = self.source.data.vocabulary.header()
        if self.begun:
            notes["begun"], extra = self.begun.notes(), extra | self.begun.arrays()
        save_checkpoint(
            path, self.done, *self._parts(), {"experiment": self.settings}, notes, extra
        )


def _facts(data, loss):
    """Return the settings that follow from a Split; `loss` is the recipe's for classes."""
    images, _ = data.train
    facts = {"picture": list(images.shape[1:]), "classes": list(data.classes)}
    facts |= {"columns": list(data.columns), "target": data.target}
    facts["input"] = "pixels" if images.dtype == np.uint8 else "numbers"
    facts["loss"] = loss if data.target == "classification" else LOSSES[data.target][0]
    return facts | {"crc32": crc32_of(data.train)}


def _widening(settings, model):
    """Return the schedule of the clip value of the activations, or None if it is constant."""
    if settings.get("widen") is None:
        return None
    layers = with_clip_value(model)
    if not layers:
        raise InputError(
            f"widen is {settings['widen']:g}, but activations {settings['activations']} have no "
            "clip value; remove widen, or use activations 1 to 8, sign or uniform"
        )
    after = settings["widen_after"] * settings["epochs"]
    return Widening(layers[0].clip_value, settings["widen"], after)


def _best(path, best):
    """Return the record of the best epoch in a checkpoint, checked."""
    kinds = {"epoch": int, "validation": float, "test": float}
    if best is None:
        return None
    if not isinstance(best, dict) or {name: type(v) for name, v in best.items()} != kinds:
        raise InputError(f"{path}: the best epoch is {best!r:.60}; expected its figures")
    return best
