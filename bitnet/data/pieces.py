"""Pieces of a text for truncated backpropagation through time: parallel streams, cut in steps."""

import typing

import numpy as np

from bitnet.arrays import check_on_cpu
from bitnet.devices import check_generator
from bitnet.errors import InputError, check_count

LARGEST = np.iinfo(np.int32).max


class Piece(typing.NamedTuple):
    """Some steps of some streams: int32 (T, B) tokens x that are read, and y, each the one after x.

    `continues` says whether each stream continues that of the previous piece, so that the state is
    kept.
    """

    x: np.ndarray
    y: np.ndarray
    continues: bool


def sequences(ids, batch, steps, rng=None):
    """Go once through a text, in as many streams as a batch has, some steps at a time.

    The text is cut into `batch` streams of equal length; piece number i has the steps from
    `i * steps` on of all streams, the last one what is left of them.  A recurrent net is trained on
    a piece with the state, not the gradient, that the previous piece left (Zaremba et al., arXiv
    1409.2329, section 4.1; Williams and Peng 1990).

    Parameters
    ----------
    ids : numpy.ndarray
        Integers of shape (count,) from 0 on, that int32 holds, more of them than `batch`.
    batch, steps : int
        Streams, and steps of a piece, 1 or more.
    rng : numpy.random.Generator, optional
        For training: the text is a ring that begins at a random token, drawn when a pass begins,
        and the last `count % batch` of its predictions are left out.  Without it each token but the
        first is predicted exactly once: what does not fill the streams comes last, in pieces of one
        stream.

    Returns
    -------
    iterable of Piece
        With a length; each iteration is a new pass.

    Raises
    ------
    InputError
        If the arguments do not fit.

    Examples
    --------
    >>> for piece in sequences(np.arange(12), 2, 3):
    ...     print(piece.x.T.tolist(), piece.y.T.tolist(), piece.continues)
    [[0, 1, 2], [5, 6, 7]] [[1, 2, 3], [6, 7, 8]] False
    [[3, 4], [8, 9]] [[4, 5], [9, 10]] True
    [[10]] [[11]] False
    """
    check_on_cpu("sequences", ids)
    ids = np.asarray(ids)
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        came = f"{ids.dtype} of shape {ids.shape}"
        raise InputError(f"sequences: ids are {came}; expected integers of (count,)")
    if len(ids) and not 0 <= ids.min() <= ids.max() <= LARGEST:
        span = f"from {ids.min()} to {ids.max()}"
        raise InputError(f"sequences: ids run {span}; expected 0 to {LARGEST}")
    check_count("sequences", batch=batch, steps=steps)
    batch, steps = int(batch), int(steps)
    if len(ids) <= batch:
        expected = "more tokens than streams, that is a longer text or a smaller batch"
        raise InputError(f"sequences: {len(ids)} tokens for {batch} streams; expected {expected}")
    if rng is not None:
        check_generator("sequences", rng)
    return _Sequences(ids, batch, steps, rng)


class _Sequences:
    """The pieces of a pass; what is random is drawn when it begins."""

    def __init__(self, ids, batch, steps, rng):
        self.ids, self.batch, self.steps, self.rng = ids, batch, steps, rng
        self.count = len(ids) if rng is not None else len(ids) - 1  # of predictions

    def __len__(self):
        length, rest = divmod(self.count, self.batch)
        return -(-length // self.steps) + (self.rng is None) * -(-rest // self.steps)

    def __iter__(self):
        ids = self.ids
        if self.rng is not None:
            begin = int(self.rng.integers(len(ids)))
            ids = np.concatenate([ids[begin:], ids[: begin + 1]])
        ids, whole = ids.astype(np.int32), self.count // self.batch * self.batch
        yield from self._pieces(ids[: whole + 1], self.batch)
        if self.rng is None and whole < self.count:
            yield from self._pieces(ids[whole:], 1)

    def _pieces(self, ids, batch):
        """The pieces of so many streams that predict all but the first token."""
        x, y = (part.reshape(batch, -1).T for part in (ids[:-1], ids[1:]))  # (L, B)
        for i in range(0, len(x), self.steps):
            part = slice(i, i + self.steps)
            yield Piece(np.ascontiguousarray(x[part]), np.ascontiguousarray(y[part]), i > 0)
