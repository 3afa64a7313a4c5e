"""Texts for language models: the files of the Penn Treebank, and three embedded plays.

`ptb.train.txt`, `ptb.valid.txt` and `ptb.test.txt` are the Penn Treebank in the version of Mikolov:
one sentence per line, words in lower case separated by spaces, no punctuation, N for numbers, and
<unk> for all but the 10 000 most frequent words.  Any text in files with these names can be used.
"""

import dataclasses
import pathlib

import numpy as np

from bitnet.data.catalogue import data_folder
from bitnet.data.display import grouped
from bitnet.data.vocabulary import END, UNITS, Vocabulary, words_of
from bitnet.errors import InputError, check_choice
from bitnet.files import opened, size_of

TEXTS = ("embedded-text", "ptb")
EMBEDDED = pathlib.Path(__file__).parent / "plays"
EMBEDDED_SIZE = 2000  # words; each of the others occurs once or twice
PARTS = ("train", "valid", "test")
MAX_BYTES = 1 << 28  # per file
MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Training, validation and test text as token numbers of a vocabulary.

    Attributes
    ----------
    name : str
        One of `TEXTS`.
    train, valid, test : numpy.ndarray
        Token numbers, int32 of shape (count,), 2 or more.
    vocabulary : Vocabulary
        The vocabulary of the training text.

    Examples
    --------
    >>> corpus = load_corpus("embedded-text", unit="characters")
    >>> corpus  # doctest: +ELLIPSIS
    Corpus('embedded-text', 235 193 + 29 433 + 29 093 characters, Vocabulary(74 characters: ...))
    >>> corpus.vocabulary.join(corpus.vocabulary.decode(corpus.train[:7]))
    'ACT I.\\n'
    """

    name: str
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    vocabulary: Vocabulary

    def __repr__(self):
        counts = " + ".join(grouped(len(part)) for part in (self.train, self.valid, self.test))
        return f"Corpus({self.name!r}, {counts} {self.vocabulary.unit}, {self.vocabulary!r})"

    def first(self, n_train: int, n_test: int) -> "Corpus":
        """Return the corpus with only the first tokens of each text."""
        valid, test = self.valid[:n_test], self.test[:n_test]
        return dataclasses.replace(self, train=self.train[:n_train], valid=valid, test=test)


def load_corpus(
    name: str,
    folder: pathlib.Path | str | None = None,
    unit: str = "words",
    size: int | None = None,
    vocabulary: Vocabulary | None = None,
) -> Corpus:
    """Load a text as words or as characters.

    Words: those of "ptb" are separated by spaces, with `<eos>` after each line; "embedded-text" is
    plain text (see `Vocabulary.split`).  Characters: one space between two words, and a newline
    after each line; `<unk>` is spelled out.  The files `ptb.char.*.txt` of Mikolov have the same
    characters, written with spaces between them and `_` for a space; the bits per character are
    the same.

    Parameters
    ----------
    name : str
        "embedded-text", three plays by Shakespeare (294 kB) in the package; or "ptb", the files
        `ptb.train.txt`, `ptb.valid.txt` and `ptb.test.txt`.
    folder : str or path, optional
        The folder of these files (default: `text` inside BITNET_DATA or inside the user cache).
    unit : {"words", "characters"}, optional
        The token that a model predicts.
    size : int, optional
        The number of words to keep: the most frequent ones of the training text, including `<unk>`
        and `<eos>` (default: all words of "ptb", 2000 of "embedded-text").
    vocabulary : Vocabulary, optional
        The vocabulary of an earlier training, instead of that of the training text.

    Returns
    -------
    Corpus

    Raises
    ------
    InputError
        If the name is unknown, a file is missing, too large, empty or not text, or the text has
        fewer than two different words.

    Examples
    --------
    >>> corpus = load_corpus("embedded-text")
    >>> corpus.vocabulary.decode(corpus.valid[:5])
    ['quince', '<eos>', 'let', 'us', 'hear']
    """
    check_choice("load_corpus", TEXTS, name=name)
    check_choice("load_corpus", UNITS, unit=unit)
    if vocabulary is not None and (vocabulary.unit != unit or size is not None):
        what = f"load_corpus: {vocabulary} was given with unit={unit!r} and size={size}"
        raise InputError(f"{what}; expected unit={vocabulary.unit!r} and no size")
    if name == "embedded-text":
        if folder is not None:
            raise InputError("the text 'embedded-text' is part of the package; remove folder=")
        folder, words, form = EMBEDDED, words_of, "{}.txt"
        size = EMBEDDED_SIZE if size is None and unit == "words" else size
    else:
        folder, words, form = pathlib.Path(folder or folder_of_texts()), str.split, "ptb.{}.txt"
    paths = [folder / form.format(part) for part in PARTS]
    if missing := [path.name for path in paths if not path.is_file()]:
        names = ", ".join(path.name for path in paths)
        what = f"put {names} there (the Penn Treebank as Mikolov prepared it, or any text)"
        how = f"{what}, or set BITNET_DATA to the folder that contains text"
        raise InputError(f"no {missing[0]} in {folder}; {how}")
    parts = [_tokens(read_text(path), unit, words) for path in paths]
    try:
        vocabulary = vocabulary or Vocabulary.of(parts[0], unit, size)
    except InputError as error:
        raise InputError(f"{paths[0]}: {error}") from None
    train, valid, test = (vocabulary.encode(tokens) for tokens in parts)
    for path, own in zip(paths, (train, valid, test), strict=True):
        if len(own) < 2:
            raise InputError(f"{path}: {len(own)} {unit}; expected 2 or more")
    return Corpus(name, train, valid, test, vocabulary)


def folder_of_texts():
    """Return the folder of the files of "ptb"."""
    return data_folder() / "text"


def available_texts() -> list[tuple[str, str]]:
    """Return where each text is, or what is missing, without opening files.

    Returns
    -------
    list of (str, str)
        The name of each text, and its folder or the missing file.

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
    """Return the text of a UTF-8 file of at most 256 MiB; an error names the invalid byte."""
    path = pathlib.Path(path)
    with opened(path, "a text file") as file:
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
        where = f"{path}, line {line}: byte {error.start} is 0x{byte:02x}, which is not UTF-8"
        how = "save the text as UTF-8 (it may be in Latin-1 or Windows-1252)"
        raise InputError(f"{where}; {how}") from None
    if not text.strip():  # only white space, or only a byte order mark
        raise InputError(f"{path}: the file is empty; expected a text")
    return text


def _tokens(text, unit, words):
    """Return the words of all lines with their ends, or the characters."""
    lines = text.rstrip().split("\n")
    if unit == "characters":
        return "".join(" ".join(line.split()) + "\n" for line in lines)
    return [word for line in lines if (own := words(line)) for word in [*own, END]]
