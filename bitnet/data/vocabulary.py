"""Vocabularies: the numbers of the words or characters of a text."""

import collections
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bitnet.data.display import grouped
from bitnet.errors import InputError, check_choice

UNITS = ("words", "characters")
UNKNOWN, END = "<unk>", "<eos>"
MAX_WORDS, MAX_LENGTH = 1_000_000, 1000  # words, and characters per word
PIECES = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")


def words_of(text):
    """Return the words of plain text in lower case; each punctuation mark is a word."""
    return PIECES.findall(text.lower())


class Vocabulary:
    """The words or characters of a text, numbered from 0.

    Parameters
    ----------
    words : sequence of str
        The words in the order of their numbers, each once.  They include "<unk>", which stands for
        all other words, and the end of a line: "<eos>" for words, a newline for characters.
    unit : {"words", "characters"}, optional
        The kind of token.

    Attributes
    ----------
    words : tuple of str
        The words in the order of their numbers.

    Raises
    ------
    InputError
        If there are too few words or more than a million, or a word is invalid or a duplicate.

    Examples
    --------
    >>> vocabulary = Vocabulary.of(["the", "sea", "the", "<eos>"])
    >>> vocabulary
    Vocabulary(4 words: 'the', '<eos>', 'sea', ...)
    >>> vocabulary.words
    ('the', '<eos>', 'sea', '<unk>')
    >>> vocabulary.encode(["the", "storm"])
    array([0, 3], dtype=int32)
    """

    def __init__(self, words: Sequence[str], unit: str = "words") -> None:
        check_choice("Vocabulary", UNITS, unit=unit)
        listed = isinstance(words, (list, tuple))
        if not listed or not 2 < len(words) <= MAX_WORDS:
            count = len(words) if listed else f"{words!r:.40}"
            expected = f"3 to {MAX_WORDS}, including <unk> and the end of a line"
            raise InputError(f"Vocabulary: words are {count}; expected {expected}")
        self.words, self.unit = tuple(words), unit
        for word in self.words:
            self._check(word)
        self._ids = {word: i for i, word in enumerate(self.words)}
        if len(self._ids) < len(self.words):
            twice = collections.Counter(self.words).most_common(1)[0][0]
            raise InputError(f"Vocabulary: {twice!r:.40} occurs twice; expected each word once")
        if missing := [word for word in (UNKNOWN, self.end) if word not in self._ids]:
            raise InputError(f"Vocabulary: there is no {missing[0]!r}; add it to the words")

    def _check(self, word):
        """Raise InputError for an invalid word or character."""
        if type(word) is not str or not 0 < len(word) <= MAX_LENGTH:
            expected = f"expected text of 1 to {MAX_LENGTH} characters"
            raise InputError(f"Vocabulary: a word is {word!r:.40}; {expected}")
        one = len(word) == 1 or word == UNKNOWN
        if not (word.split() == [word] if self.unit == "words" else one):
            expected = "a word without spaces" if self.unit == "words" else "one character"
            raise InputError(f"Vocabulary: got {word!r:.40} in {self.unit}; expected {expected}")

    @classmethod
    def of(
        cls, tokens: Iterable[str], unit: str = "words", size: int | None = None
    ) -> "Vocabulary":
        """Return the vocabulary of a text, ordered by decreasing count, then alphabetically.

        With `size`, only the `size` most frequent words are kept; the others count as "<unk>".
        """
        end = "\n" if unit == "characters" else END
        counts = collections.Counter(tokens)
        if (count := len(counts.keys() - {UNKNOWN, end})) < 2:
            came = f"the text has {count} different {unit}, not counting ends of lines"
            raise InputError(f"{came}; expected 2 or more")
        if size is not None and (type(size) is not int or size < 3):
            raise InputError(f"Vocabulary: size is {size!r:.40}; expected 3 or more")
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        own = [word for word in ranked if word not in (UNKNOWN, end)]
        if size is not None and len(own) > size - 2:
            counts[UNKNOWN] += sum(counts[word] for word in own[size - 2 :])
            own = own[: size - 2]
        words = sorted([*own, UNKNOWN, end], key=lambda word: (-counts[word], word))
        return cls(words, unit)

    @property
    def end(self) -> str:
        """The token that ends a line: "<eos>", or a newline."""
        return "\n" if self.unit == "characters" else END

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.header() == other.header()

    def __repr__(self):
        words = ", ".join(repr(word[:20]) for word in self.words[:3]) + ", ..." * (len(self) > 3)
        return f"Vocabulary({grouped(len(self))} {self.unit}: {words})"

    def encode(self, words: Iterable[str]) -> np.ndarray:
        """Return the numbers of words, or of the characters of a text, int32 of shape (count,)."""
        unknown, number_of = self._ids[UNKNOWN], self._ids.get
        return np.array([number_of(word, unknown) for word in words], np.int32)

    def decode(self, ids: np.ndarray | Sequence[int]) -> list[str]:
        """Return the words or characters with these numbers."""
        ids = np.asarray(ids).reshape(-1)
        whole = ids.dtype.kind in "iu"
        if ids.size and (not whole or ids.min() < 0 or ids.max() >= len(self)):
            span = f"range from {ids.min()} to {ids.max()}" if whole else f"are {ids.dtype}"
            expected = f"expected whole numbers from 0 to {len(self) - 1}"
            raise InputError(f"Vocabulary: the numbers {span}; {expected}")
        return [self.words[i] for i in ids.tolist()]

    def split(self, text: str) -> list[str]:
        """Return the tokens of a typed text; a newline ends a line.

        Words are separated by spaces; a word that is not in the vocabulary is split as plain text
        (lower case, punctuation marks as words).
        """
        if self.unit == "characters":
            return list(text)
        lines = []
        for line in text.split("\n"):
            words = ([w] if w in self else words_of(w) for w in line.split())
            lines.append([word for own in words for word in own])
        return [word for i, line in enumerate(lines) for word in [END] * (i > 0) + line]

    def join(self, words: Iterable[str]) -> str:
        """Return the text of tokens: spaces between words, a newline for each end of a line."""
        if self.unit == "characters":
            return "".join(words)
        ends = (("\n" if word == END else f"{word} ") for word in words)
        return "".join(ends).replace(" \n", "\n").removesuffix(" ")

    def header(self) -> dict[str, Any]:
        """Return the vocabulary as a dict that JSON can store, for `from_header`."""
        return {"unit": self.unit, "words": list(self.words)}

    @classmethod
    def from_header(cls, header: dict[str, Any]) -> "Vocabulary":
        """Return the vocabulary in the header of a file; the header is checked."""
        if not isinstance(header, dict) or header.keys() != {"unit", "words"}:
            raise InputError(f"the vocabulary is {header!r:.60}; expected its unit and its words")
        return cls(header["words"], header["unit"])
