"""Language models from settings to a training and its file, which keeps the vocabulary too."""

import dataclasses
import zlib

import numpy as np

from bitnet.archive import header_of
from bitnet.data import load_corpus, sequences
from bitnet.data.vocabulary import Vocabulary
from bitnet.errors import InputError
from bitnet.nn import Module
from bitnet.nn.models.language_names import language_net_named
from bitnet.nn.module import check_state
from bitnet.training.checkpoint import KIND, load_checkpoint, read_checkpoint, save_checkpoint
from bitnet.training.language.settings import (
    check_language_settings,
    language_defaults,
    language_model_of,
    optimizer_of,
    schedule_of,
)
from bitnet.training.language.training import fit_language

__all__ = ["LanguageExperiment", "TrainedLanguage", "load_language", "read_corpus", "says_language"]


@dataclasses.dataclass(frozen=True)
class TrainedLanguage:
    """A trained language model with its vocabulary.

    Attributes
    ----------
    model : Module
        As `bitnet.training.language.measures` describes it.
    vocabulary : Vocabulary
        Of its tokens.
    settings : dict
        Those of the training, see `bitnet.training.language.settings`.
    epoch : int
        Epochs done.

    Examples
    --------
    >>> vocabulary = Vocabulary.of("abc", "characters")
    >>> settings = language_defaults({"net": "rnn:4"})
    >>> model = language_model_of(settings, len(vocabulary), np.random.default_rng(0))
    >>> TrainedLanguage(model, vocabulary, settings).unit
    'characters'
    """

    model: Module
    vocabulary: Vocabulary
    settings: dict
    epoch: int = 0

    def to(self, device):
        """Move the model; returns the TrainedLanguage."""
        self.model.to(device)
        return self

    @property
    def unit(self):
        """What a token is: "words" or "characters"."""
        return self.vocabulary.unit


class LanguageExperiment:
    """The training of a language model, as `Experiment` is one of a classifier.

    Parameters
    ----------
    settings : dict
        As `bitnet.training.language.settings` describes them; what has a default may be left out.
    vocabulary : Vocabulary, optional
        That of the training which is gone on with; by default the training text's.

    Attributes
    ----------
    settings : dict
        Complete.
    corpus : Corpus
        The texts.
    model, optimizer, schedule, rng
        The training's.
    done : int
        Epochs done.
    best : dict or None
        The epoch with the least loss on the validation text, and its losses.

    Raises
    ------
    InputError
        If the settings are none, the text is not there, too short for the streams, or another
        than before.

    Examples
    --------
    >>> settings = {"net": "rnn:8", "epochs": 1, "batch": 5, "steps": 20, "limit": 1000}
    >>> experiment = LanguageExperiment(settings)
    >>> [epoch.epoch for epoch in experiment.epochs()]
    [1]
    """

    def __init__(self, settings, vocabulary=None):
        settings = language_defaults(settings)
        self.corpus = read_corpus(settings, vocabulary)
        crc32 = zlib.crc32(np.ascontiguousarray(self.corpus.train))
        self.settings = {"crc32": crc32, **settings}
        check_language_settings(self.settings)
        if self.settings["crc32"] != crc32:
            raise InputError(
                f"the training text of {settings['data']} is another than that which the training "
                "began with; give the folder of the same files"
            )
        sequences(self.corpus.train, settings["batch"], settings["steps"])  # refuses too short ones
        self.rng = np.random.default_rng(settings["seed"])
        self.model = language_model_of(self.settings, len(self.corpus.vocabulary), self.rng)
        self.optimizer = optimizer_of(self.settings, self.model)
        self.schedule = schedule_of(self.settings)
        self.done, self.best = 0, None

    @classmethod
    def resume(cls, path, folder=None, epochs=None):
        """The training whose file this is, as it was after its last epoch.

        Parameters
        ----------
        path : str or path
            What `save` wrote.
        folder : str, optional
            Where the text is now.
        epochs : int, optional
            Train longer, or less long; only where the learning rate does not depend on it.

        Returns
        -------
        LanguageExperiment

        Raises
        ------
        InputError
            If the file is none, damaged, or of another text.
        """
        trained, file = _read(path)
        moved = {"folder": folder} if folder else {}
        experiment = cls(trained.settings | moved, trained.vocabulary)
        same = {"language": file.settings["language"]}  # without what is moved
        experiment.done = load_checkpoint(path, *experiment._parts(), same)
        experiment.best = _best(path, file.notes.get("best"))
        if epochs is not None and epochs != trained.settings["epochs"]:
            if trained.settings["schedule"] == "cosine":
                raise InputError(
                    f"epochs is {epochs}, but the learning rate of {path} falls over "
                    f"{trained.settings['epochs']} epochs; leave it out, or begin anew"
                )
            experiment.settings["epochs"] = epochs
        return experiment

    def to(self, device):
        """Train on the "cpu" or the "gpu" from now on; returns the LanguageExperiment."""
        self.model.to(device)
        return self

    def _parts(self):
        """What a checkpoint holds."""
        return self.model, self.optimizer, self.schedule, self.rng

    def epochs(self, progress=lambda pieces: pieces):
        """Train on, and yield a `LanguageEpoch` after each; `progress` as for `fit_language`."""
        settings = self.settings
        numbers = (settings[name] for name in ("epochs", "batch", "steps"))
        parts = self.model, self.corpus, self.optimizer, self.schedule, *numbers, self.rng
        for epoch in fit_language(*parts, settings["clip"], self.done, progress):
            self.done = epoch.epoch
            if not self.best or epoch.valid_loss < self.best["valid"]:
                losses = {"valid": epoch.valid_loss, "test": epoch.test_loss}
                self.best = {"epoch": self.done, **losses}
            yield epoch

    def save(self, path):
        """Write all that `resume` and `load_language` need, whole or not at all."""
        notes = {"vocabulary": self.corpus.vocabulary.header(), "best": self.best}
        save_checkpoint(path, self.done, *self._parts(), {"language": self.settings}, notes)


def read_corpus(settings, vocabulary=None):
    """The texts of a training.

    Parameters
    ----------
    settings : dict
        With data, folder, unit, vocabulary and limit.
    vocabulary : Vocabulary, optional
        Of an earlier training.

    Returns
    -------
    Corpus

    Raises
    ------
    InputError
        If the text is not there.

    Examples
    --------
    >>> settings = language_defaults({"data": "embedded-text", "limit": 50})
    >>> len(read_corpus(settings).train)
    50
    """
    size = settings.get("vocabulary") if vocabulary is None else None
    corpus = load_corpus(settings["data"], settings["folder"], settings["unit"], size, vocabulary)
    limit = settings["limit"]
    return corpus.first(limit, limit) if limit else corpus


def says_language(path):
    """Whether a file says that it is the checkpoint of a language model; it is not read whole.

    Parameters
    ----------
    path : str or path
        A file of bitnet.

    Returns
    -------
    bool

    Raises
    ------
    InputError
        If it is no file of bitnet.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> try:
    ...     says_language(__file__)
    ... except InputError as error:
    ...     print(str(error).partition(": ")[2])
    not a file of bitnet, or its end is cut off; expected a net
    """
    header = header_of(path)
    settings = header.get("settings")
    return header["kind"] == KIND and isinstance(settings, dict) and "language" in settings


def load_language(path):
    """The language model of a training's checkpoint.

    Parameters
    ----------
    path : str or path
        What `bitnet train` wrote.

    Returns
    -------
    TrainedLanguage

    Raises
    ------
    InputError
        If the file is no checkpoint of a language model, is damaged, or its arrays are not those
        of the model that its settings describe.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> try:
    ...     load_language(__file__)
    ... except InputError as error:
    ...     print(str(error).partition(": ")[2])
    not a bitnet file, or its end is cut off; expected a training checkpoint
    """
    return _read(path)[0]


def _read(path):
    """The TrainedLanguage of a file, and its Checkpoint."""
    file = read_checkpoint(path)
    settings = file.settings.get("language")
    if not isinstance(settings, dict):
        raise InputError(f"{path}: a checkpoint of something else than a language model")
    try:
        check_language_settings(settings)
        vocabulary = Vocabulary.from_header(file.notes.get("vocabulary"))
        net, count = language_net_named(settings["net"]), len(vocabulary)
        expected = net.weights(count, settings["width"])
        there = sum(array.size for array in file.model.values())
        if not expected <= there <= 2 * expected + 10**6:
            raise InputError(
                f"{there} numbers in the file for a net of {expected} weights; is the file another "
                "net's?"
            )
        model = language_model_of(settings, count, np.random.default_rng(0))
        check_state("model", model.state_dict(), file.model)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    model.load_state_dict(file.model)
    return TrainedLanguage(model.eval(), vocabulary, settings, file.epoch), file


def _best(path, best):
    """What a file says about the best epoch, once it fits."""
    kinds = {"epoch": int, "valid": float, "test": float}
    if best is None:
        return None
    if not isinstance(best, dict) or {name: type(v) for name, v in best.items()} != kinds:
        raise InputError(f"{path}: the best epoch is {best!r:.60}; expected numbers")
    return best
