"""A language model for tests: a fading mean of the embeddings of the tokens so far."""

import numpy as np

from bitnet.autograd import Parameter
from bitnet.nn import Module
from bitnet.nn import functional as F  # noqa: N812


class Fading(Module):
    """scores = h @ decoder.T, h = fade * h + table[token]: it has a state and needs no rng."""

    def __init__(self, count, width, rng, fade=0.5):
        self.table = Parameter(rng.standard_normal((count, width)).astype(np.float32))
        self.decoder = Parameter(rng.standard_normal((count, width)).astype(np.float32) * 0.1)
        self.count, self.fade = count, fade

    def __call__(self, ids, state):
        state = (
            np.zeros((ids.shape[1], self.table.shape[1]), np.float32) if state is None else state[0]
        )
        scores = []
        for row in ids:
            one_hot = (row[:, None] == np.arange(self.count)).astype(np.float32)
            state = state * self.fade + F.arithmetic.matmul(one_hot, self.table)
            scores.append((state @ F.shapes.transpose(self.decoder)).reshape(1, -1))
        return F.concatenate(*scores).reshape(-1, self.count), (state,)
