"""Texts for language models: the Penn Treebank's files, and three embedded plays.

`ptb.train.txt`, `ptb.valid.txt` and `ptb.test.txt` are Mikolov's preparation of the Penn Treebank:
a sentence a line, words in lower case separated by blanks, no punctuation, numbers written as N,
the 10 000 most frequent words kept and the others written as <unk>.  Any text in files of these
names will do.
"""

import dataclasses
import pathlib

import numpy as np

from bitnet.archive import size_of
from bitnet.data.catalogue import data_folder
from bitnet.data.vocabulary import END, UNITS, Vocabulary, words_of
from bitnet.errors import InputError, check_choice

TEXTS = ("embedded-text", "ptb")
EMBEDDED = pathlib.Path(__file__).parent / "plays"
EMBEDDED_SIZE = 2000  # words; of the others each comes once or twice
PARTS = ("train", "valid", "test")
MAX_BYTES = 1 << 28  # of a file
MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Three texts as numbers of a vocabulary: to train on, to choose by, and to measure on.

    Attributes
    ----------
    name : str
        One of `TEXTS`.
    train, valid, test : numpy.ndarray
        int32 of shape (count,), 2 or more.
    vocabulary : Vocabulary
        That of the training text.

    Examples
    --------
    >>> corpus = load_corpus("embedded-text", unit="characters")
    >>> corpus.vocabulary.join(corpus.vocabulary.decode(corpus.train[:7]))
    'ACT I.\\n'
    """

    name: str
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    vocabulary: Vocabulary

    def first(self, n_train, n_test):
        """The first tokens of the training text, and of each of the two others."""
        others = {"valid": self.valid[:n_test], "test": self.test[:n_test]}
        return dataclasses.replace(self, train=self.train[:n_train], **others)


def load_corpus(name, folder=None, unit="words", size=None, vocabulary=None):
    """Read a text as words or as characters.

    Words: those of "ptb" are separated by blanks, with `<eos>` after each line; "embedded-text" is
    plain text (see `Vocabulary.split`).  Characters: Mikolov's `ptb.char.*.txt` are the same lines
    with a blank between characters and `_` for a blank; here a blank stays a blank, one between two
    words, and a newline ends a line, so that the bits per character are the same; `<unk>` is
    spelled out in both.

    Parameters
    ----------
    name : str
        "embedded-text", three plays by Shakespeare that are part of the package, 294 kB; or "ptb",
        the files `ptb.train.txt`, `ptb.valid.txt` and `ptb.test.txt`.
    folder : str or path, optional
        Where those are, if not in the folder `text` below BITNET_DATA or below the user's cache.
    unit : {"words", "characters"}, optional
        What a model predicts one by one.
    size : int, optional
        Keep so many words, the most frequent ones of the training text, `<unk>` and `<eos>` among
        them.  The default is all, but 2000 of "embedded-text", so that `<unk>` has a meaning.
    vocabulary : Vocabulary, optional
        That of an earlier training, instead of the training text's own.

    Returns
    -------
    Corpus

    Raises
    ------
    InputError
        If the name is unknown, a file is missing, too large, empty or no text, or there are fewer
        than two different words.

    Examples
    --------
    >>> corpus = load_corpus("embedded-text")
    >>> corpus.vocabulary.decode(corpus.valid[:5])
    ['quince', '<eos>', 'let', 'us', 'hear']
    """
    check_choice("load_corpus", TEXTS, name=name)
    check_choice("load_corpus", UNITS, unit=unit)
    if vocabulary is not None and (vocabulary.unit != unit or size is not None):
        what = f"{vocabulary} was given for {unit} of size {size}"
        raise InputError(f"{what}; leave the size out, and give its unit")
    if name == "embedded-text":
        if folder is not None:
            raise InputError("the text 'embedded-text' is part of the package; leave out folder=")
        folder, words, form = EMBEDDED, words_of, "{}.txt"
        size = EMBEDDED_SIZE if size is None and unit == "words" else size
    else:
        folder, words, form = pathlib.Path(folder or folder_of_texts()), str.split, "ptb.{}.txt"
    paths = [folder / form.format(part) for part in PARTS]
    if missing := [path.name for path in paths if not path.is_file()]:
        names = ", ".join(path.name for path in paths)
        what = f"put {names} there, of the Penn Treebank as Mikolov prepared it or of any text"
        how = f"{what}, or set BITNET_DATA to the folder above text"
        raise InputError(f"no {missing[0]} in {folder}; {how}")
    parts = [_tokens(read_text(path), unit, words) for path in paths]
    try:
        vocabulary = vocabulary or Vocabulary.of(parts[0], unit, size)
    except InputError as error:
        raise InputError(f"{paths[0]}: {error}") from None
    ids = [vocabulary.encode(tokens) for tokens in parts]
    for path, own in zip(paths, ids, strict=True):
        if len(own) < 2:
            raise InputError(f"{path}: {len(own)} {unit}; expected 2 or more")
    return Corpus(name, *ids, vocabulary)


def folder_of_texts():
    """Where the files of "ptb" belong."""
    return data_folder() / "text"


def available_texts():
    """Return where each text is, or what is missing, as pairs (name, words); no file is opened.

    Examples
    --------
    >>> available_texts()[0][0]
    'embedded-text'
    """
    folder = folder_of_texts()
    missing = [part for part in PARTS if not (folder / f"ptb.{part}.txt").is_file()]
    where = f"no ptb.{missing[0]}.txt in {folder}" if missing else str(folder)
    return [("embedded-text", str(EMBEDDED)), ("ptb", where)]


def read_text(path):
    """Return the text of a file in UTF-8, 256 MiB at most; else name the wrong byte."""
    path = pathlib.Path(path)
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: a folder or a device; expected a text file")
    with open(path, "rb") as file:
        size_of(path, file, MAX_BYTES)
        content = file.read(MAX_BYTES)
    if content[:2] in MARKS:
        raise InputError(f"{path}: the text is in {MARKS[content[:2]]}; save it as UTF-8")
    if (zero := content.find(b"\0")) >= 0:
        raise InputError(f"{path}: byte {zero} is 0, as in a binary file; expected a text in UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte, line = content[error.start], content.count(b"\n", 0, error.start) + 1
        where = f"{path}, line {line}: byte {error.start} is 0x{byte:02x}, which is no UTF-8"
        how = "save the text as UTF-8 (it may be in Latin-1 or Windows-1252)"
        raise InputError(f"{where}; {how}") from None
    if not text.strip():  # of other blanks, or behind the mark of UTF-8
        raise InputError(f"{path}: the file is empty; expected a text")
    return text


def _tokens(text, unit, words):
    """The words of all lines, each with its end; or the characters."""
    lines = text.rstrip().split("\n")
    if unit == "characters":
        return "".join(" ".join(line.split()) + "\n" for line in lines)
    return [word for line in lines if (own := words(line)) for word in [*own, END]]
