"""Pieces of a text for truncated backpropagation through time: parallel streams of tokens."""

import typing
from collections.abc import Iterator

import numpy as np

from bitnet.arrays import check_on_cpu, plain
from bitnet.data.display import grouped
from bitnet.devices import check_generator
from bitnet.errors import InputError, check_count

LARGEST = np.iinfo(np.int32).max


class Piece(typing.NamedTuple):
    """T steps of B streams: int32 (T, B) input tokens x, and y, the token after each.

    If `continues`, each stream continues a stream of the previous piece, and the state is kept.
    """

    x: np.ndarray
    y: np.ndarray
    continues: bool

    def __repr__(self):
        steps, streams = self.x.shape
        return f"Piece({steps} steps of {streams} streams, continues={self.continues})"


def sequences(
    ids: np.ndarray, batch: int, steps: int, rng: np.random.Generator | None = None
) -> "Sequences":
    """Iterate over a text in `batch` parallel streams, `steps` tokens at a time.

    The text is cut into `batch` streams of equal length.  Piece i has `steps` steps of all streams
    from step `i * steps`; the last piece may be shorter.  A recurrent net is trained on each piece
    with the state, but not the gradient, from the previous piece (Zaremba et al., arXiv 1409.2329,
    section 4.1; Williams and Peng 1990).

    Parameters
    ----------
    ids : numpy.ndarray
        Token numbers, shape (count,), in the range of int32 and not negative; more than `batch`.
    batch, steps : int
        Streams, and steps per piece, 1 or more.
    rng : numpy.random.Generator, optional
        For training: the text is a ring that starts at a random token, drawn at the start of a
        pass, and the last `count % batch` predictions are dropped.  Without it, each token but the
        first is predicted exactly once; the tokens that do not fill the streams come last, in
        pieces of one stream.

    Returns
    -------
    iterable of Piece
        It has a length; each iteration is a new pass.

    Raises
    ------
    InputError
        If an argument is invalid, or the text is too short.

    Examples
    --------
    >>> for piece in sequences(np.arange(12), 2, 3):
    ...     print(piece.x.T.tolist(), piece.y.T.tolist(), piece.continues)
    [[0, 1, 2], [5, 6, 7]] [[1, 2, 3], [6, 7, 8]] False
    [[3, 4], [8, 9]] [[4, 5], [9, 10]] True
    [[10]] [[11]] False
    """
    check_on_cpu("sequences", ids)
    ids = plain(ids, "ids")
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        came = f"{ids.dtype} of shape {ids.shape}"
        raise InputError(f"sequences: ids are {came}; expected integers of shape (count,)")
    if len(ids) and not 0 <= ids.min() <= ids.max() <= LARGEST:
        span = f"from {ids.min()} to {ids.max()}"
        raise InputError(f"sequences: ids run {span}; expected 0 to {LARGEST}")
    check_count("sequences", batch=batch, steps=steps)
    batch, steps = int(batch), int(steps)
    if len(ids) <= batch:
        expected = "more tokens than streams; use a longer text or a smaller batch"
        raise InputError(f"sequences: {len(ids)} tokens for {batch} streams; expected {expected}")
    if rng is not None:
        check_generator("sequences", rng)
    return Sequences(ids, batch, steps, rng)


class Sequences:
    """The pieces of a text; each iteration is a pass with its own random start."""

    def __init__(self, ids, batch, steps, rng):
        self.ids, self.batch, self.steps, self.rng = ids, batch, steps, rng
        self.count = len(ids) if rng is not None else len(ids) - 1  # of predictions

    def __repr__(self):
        start = "" if self.rng is None else ", random start"
        size = f"batch={self.batch}, steps={self.steps}{start}: {grouped(len(self))} pieces"
        return f"sequences({grouped(len(self.ids))} tokens, {size})"

    def __len__(self) -> int:
        length, rest = divmod(self.count, self.batch)
        return -(-length // self.steps) + (self.rng is None) * -(-rest // self.steps)

    def __iter__(self) -> Iterator[Piece]:
        ids = self.ids
        if self.rng is not None:
            begin = int(self.rng.integers(len(ids)))
            ids = np.concatenate([ids[begin:], ids[: begin + 1]])
        ids, whole = ids.astype(np.int32), self.count // self.batch * self.batch
        yield from self._pieces(ids[: whole + 1], self.batch)
        if self.rng is None and whole < self.count:
            yield from self._pieces(ids[whole:], 1)

    def _pieces(self, ids, batch):
        """Yield pieces of `batch` streams that predict all tokens but the first."""
        x, y = (part.reshape(batch, -1).T for part in (ids[:-1], ids[1:]))  # (L, B)
        for i in range(0, len(x), self.steps):
            part = slice(i, i + self.steps)
            yield Piece(np.ascontiguousarray(x[part]), np.ascontiguousarray(y[part]), i > 0)
