"""The papers' baseline on a GPU: a plain product of floats, and a frozen MLP that uses it."""

import numpy as np
from numba import cuda

from bitnet import kernels
from bitnet.arrays import array_module
from bitnet.devices import to_gpu
from bitnet.kernels.cuda.launch import launch

SIDE = 16  # of a square of outputs, and numbers per step
SQUARE = SIDE, SIDE + 1  # padded, so that no two lanes read from one bank


@cuda.jit
def _product(x, w, rows, columns, inner, z):
    """Multiply in blocks of 16 x 16 outputs, which share 16 numbers of rows x (B N) and w (M N)."""
    mine = cuda.shared.array(SQUARE, np.float32)
    other = cuda.shared.array(SQUARE, np.float32)
    right, down = cuda.threadIdx.x, cuda.threadIdx.y
    i, j = cuda.blockIdx.x * SIDE + down, cuda.blockIdx.y * SIDE + right
    total, column = np.float32(0), cuda.blockIdx.y * SIDE + down  # of w, while it is copied
    for first in range(0, inner, SIDE):
        k = first + right
        mine[down, right] = x[i * inner + k] if i < rows and k < inner else np.float32(0)
        there = column < columns and k < inner
        other[down, right] = w[column * inner + k] if there else np.float32(0)
        cuda.syncthreads()
        for k in range(SIDE):
            total += mine[down, k] * other[right, k]
        cuda.syncthreads()
    if i < rows and j < columns:
        z[i * columns + j] = total


def naive(x, w):
    """Multiply x (B, N) with w (M, N), float32 on the GPU, with one thread per output: (B, M)."""
    (rows, inner), columns = x.shape, len(w)
    z = array_module(x).empty((rows, columns), np.float32)
    blocks = -(-rows // SIDE), -(-columns // SIDE)
    operands, threads = (x.reshape(-1), w.reshape(-1)), (SIDE, SIDE)
    launch(_product, blocks, threads, *operands, rows, columns, inner, z.reshape(-1))
    return z


def cublas(x, w):
    """Multiply like `naive` with CuPy, which calls cuBLAS."""
    return x @ w.T


class FloatNet:
    """A frozen MLP on the GPU whose signs are floats, with a selectable product.

    All sums are below 2^24, so that its floats equal the integers of the frozen net.
    """

    def __init__(self, net, product):
        self.product, self.last = product, to_gpu(net.layers[-1].affine)
        self.weights = [to_gpu(kernels.unpack(layer.bits, np.float32)) for layer in net.layers]
        self.steps = [to_gpu((layer.thresholds, layer.increasing)) for layer in net.layers[:-1]]

    def pre_activations(self, pixels):
        """Return the floats of each layer for pixels (B, N) on the GPU."""
        xp, floats = array_module(pixels), []
        x = 2 * pixels.astype(np.float32) - 255
        for weight, (values, increasing) in zip(self.weights, self.steps, strict=False):
            floats.append(self.product(x, weight))
            passed = xp.where(increasing, floats[-1] >= values, floats[-1] <= values)
            x = 2 * passed.astype(np.float32) - 1
        return [*floats, self.product(x, self.weights[-1])]

    def predict(self, pixels):
        """Return the classes of pixels (B, N) on the GPU."""
        return self.last.run({}, self.pre_activations(pixels)[-1]).argmax(axis=1)
