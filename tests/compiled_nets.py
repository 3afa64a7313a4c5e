"""Nets that need every operation of the compiled loop, and its comparison with the walk."""

import importlib

import numpy as np
from own_modules import Apply, Shortcut

from bitnet import kernels, nn


def contents(x):
    """Return the type, the alignment, the shape and the bytes of a value."""
    if isinstance(x, kernels.BitPlanes):
        return x.coefficients, x.offset, x.unit, x.scale, contents(x.bits)
    own = x.words if isinstance(x, kernels.Bits) else x
    return type(x), own.dtype, own.flags.aligned, x.shape, own.tobytes()


def assert_at_once(graph, *inputs):
    """Compare the loop at all levels with the walk, also the signs of 0."""
    jit = importlib.import_module("bitnet.kernels.cpu.jit")  # which needs Numba
    expected = graph._fused(inputs)
    for level in (name for name in jit.LEVELS if not jit.missing(name)):
        with jit.using_level(level):
            found = graph.loop(*inputs)
        for own, other in zip(found, expected, strict=True):
            assert contents(own) == contents(other), level


def small_nets():
    """Return models and inputs that need every operation."""
    rng = np.random.default_rng(0)
    pixels, floats = rng.integers(0, 256, (5, 6, 5, 3), dtype=np.uint8), rng.standard_normal((5, 7))
    floats, images = floats.astype(np.float32), (pixels / np.float32(100) - 1).astype(np.float32)

    def conv(c, m, **own):
        return nn.QuantConv2d(c, m, 3, rng=rng, **own)

    def signs_of(n, m):
        return nn.QuantLinear(n, m, rng=rng), nn.BatchNorm(m), nn.Sign()

    def tail(n):
        return nn.Flatten(), nn.QuantLinear(n, 4, rng=rng), nn.BatchNorm(4)

    first = conv(3, 33, padding="same", border=1), nn.MaxPool2d(2), nn.BatchNorm(33), nn.Sign()
    yield "pooled signs", nn.Sequential(*first, *tail(6 * 33)), pixels
    first = conv(3, 8), nn.BatchNorm(8), nn.Quantize(2)
    second = conv(8, 4, padding="same", border=-1, groups=2), nn.BatchNorm(4), nn.Quantize(1)
    pools = nn.AvgPool2d(2, 1), nn.MaxPool2d(2, 1), nn.BatchNorm(4), nn.PReLU(4)
    yield "planes, groups", nn.Sequential(*first, nn.MaxPool2d(2, 1), *second, *tail(24)), pixels
    yield "pooled integers", nn.Sequential(*first, *second[:1], *pools, nn.Flatten()), pixels
    ends = (
        nn.Conv2d(3, 5, 3, padding=1, rng=rng),
        nn.MaxPool2d(2),
        nn.AvgPool2d(2, 1),
        nn.HardTanh(),
    )
    yield "floats", nn.Sequential(*ends, nn.ReLU(), nn.Flatten()), images
    wide = nn.QuantLinear(7, 7, rng=rng, weight_quantizer=2), nn.BatchNorm(7), nn.Shift(7)
    inner = Shortcut(nn.Sequential(nn.Sign(), *wide))
    ends = (
        Apply("halved"),
        nn.Scale(7),
        inner,
        nn.Quantize(3),
        Apply("unpack"),
        nn.Linear(7, 3, rng=rng),
    )
    yield "arithmetic", nn.Sequential(*ends), floats
    rows = rng.integers(0, 256, (5, 70), dtype=np.uint8)
    yield "widened", nn.Sequential(nn.BatchNorm(70), nn.Linear(70, 3, rng=rng)), rows
    own = nn.Branches(*(nn.Sequential(*signs_of(70, 65)) for _ in range(2)))
    yield "joined", nn.Sequential(own, *signs_of(130, 33), nn.QuantLinear(33, 4, rng=rng)), rows
