"""Benchmark of convolutions with repeated 2-D filters: the packed product, and the papers' reuse.

    python benchmarks/repetition.py                    one thread, about 10 s
    python benchmarks/repetition.py --threads 2

The contestants take turns in one process.  First, each is compared with the packed product.

packed   every filter is multiplied, 64 channels per word
2-D      the papers' reuse: 58 % of the 2-D filters of each channel repeat; the unique ones are
         multiplied by the 9 bits of the channel's patch, and the integers are loaded and added,
         one per filter and channel, in loops compiled by Numba
table    the same with the integers of all 512 patches and all filters in one table per channel:
         only a row of M bytes per pixel and channel is added

Reuse saves operations on single bits, but one XOR and one popcount of a word replace 64 of those,
while reuse must load and add one integer per channel and filter.  The last two contestants get the
9 bits of each channel for free; a net with packed channels would have to collect them first.
"""

import os

os.environ.pop("OPENBLAS_CORETYPE", None)  # a forced core type can halve the BLAS

import argparse

import machine
import numpy as np
from stopwatch import interleaved

import bitnet
from bitnet import kernels
from bitnet.kernels import Window

SIDE, TAPS = 28, 9
FLAT = [(16, 128), (64, 128), (128, 128), (256, 256)]
SHARE = 0.42  # share of unique 2-D filters, the papers' average


def some_of(kinds, m, rng):
    """Draw M filters (M, ...) from some kinds, each unchanged or negated."""
    chosen = np.concatenate([np.arange(len(kinds)), rng.integers(0, len(kinds), m - len(kinds))])
    return kinds[chosen] * rng.choice([-1.0, 1.0], (m, *[1] * (kinds.ndim - 1)))


def loops():
    """Compile the two forms of 2-D reuse: (codes, ...) to int32 (R, M)."""
    import numba

    @numba.njit(nogil=True)
    def once(codes, unique, counts, of, signs, values, z):
        for r in range(codes.shape[0]):
            z[r] = 0
            for c in range(codes.shape[1]):
                for u in range(counts[c]):
                    differ = codes[r, c] ^ unique[c, u]
                    n = 0
                    for _ in range(TAPS):
                        n += differ & 1
                        differ >>= 1
                    values[u] = TAPS - 2 * n
                for m in range(z.shape[1]):
                    z[r, m] += signs[c, m] * values[of[c, m]]

    @numba.njit(nogil=True)
    def table(codes, tables, sums, z):
        for r in range(codes.shape[0]):
            sums[:] = 0
            for c in range(codes.shape[1]):
                row = tables[c, codes[r, c]]
                for m in range(z.shape[1]):
                    sums[m] += row[m]
            z[r] = sums

    return once, table


def flat(channels, m, turns, rng, once, table):
    """Return the seconds of the packed product, of 2-D reuse, and of a table of patches."""
    n_kinds = round(SHARE * m)
    kinds = rng.choice([-1.0, 1.0], (channels, n_kinds, 3, 3))
    filters = np.stack([some_of(own, m, rng) for own in kinds], axis=-1)  # (M, 3, 3, C)
    window = Window((3, 3))
    images = rng.choice([-1.0, 1.0], (1, SIDE, SIDE, channels))
    x, weight = kernels.pack(images), kernels.prepare(kernels.pack(filters))
    powers = 1 << np.arange(TAPS)

    def codes_of(signs):  # (..., 9, C) to (..., C)
        return np.moveaxis(signs > 0, -1, -2) @ powers

    views = window.views(images).reshape(-1, TAPS, channels)
    codes = codes_of(views).astype(np.uint16)  # (R, C)
    own = codes_of(filters.reshape(m, TAPS, channels)).T  # (C, M)
    either = np.where(own & 1, own, 511 - own)
    unique, of = np.zeros((channels, m), np.uint16), np.zeros((channels, m), np.uint16)
    counts = np.zeros(channels, np.int64)
    for c in range(channels):
        found, of[c] = np.unique(either[c], return_inverse=True)
        unique[c, : len(found)], counts[c] = found, len(found)
    signs = np.where(own & 1, 1, -1).astype(np.int32)
    differ = np.bitwise_count(np.arange(512)[:, None] ^ own[:, None])  # (C, 512, M)
    tables = (TAPS - 2 * differ.astype(np.int8)).astype(np.int8)
    z = np.empty((len(codes), m), np.int32)
    values, sums = np.empty(m, np.int32), np.empty(m, np.int16)

    def papers():
        once(codes, unique, counts, of, signs, values, z)
        return z

    def patches():
        table(codes, tables, sums, z)
        return z

    expected = kernels.xnor_conv(x, weight, window).reshape(-1, m)
    assert np.array_equal(papers(), expected)
    assert np.array_equal(patches(), expected)
    return interleaved([lambda: kernels.xnor_conv(x, weight, window), papers, patches], turns)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--threads", type=machine.positive, default=1, help="threads of the kernels (default: 1)"
    )
    parser.add_argument(
        "--turns", type=machine.positive, default=7, help="timed turns (default: 7)"
    )
    args = parser.parse_args()
    if missing := machine.missing("numba"):
        raise bitnet.InputError(missing)
    bitnet.set_num_threads(args.threads)
    print("\n".join(machine.lines()))
    rng = np.random.default_rng(0)
    print(f"\n2-D filters, {SHARE:.0%} unique; 3x3, 1 image of {SIDE}x{SIDE}")
    print("   C     M  packed, ms   2-D, ms  table, ms       gains")
    compiled = loops()
    for channels, m in FLAT:
        seconds = flat(channels, m, args.turns, rng, *compiled)
        gains = np.median(seconds[:, :1] / seconds, axis=0)
        packed, papers, patches = 1e3 * np.median(seconds, axis=0)
        times = f"{packed:11.3f} {papers:9.3f} {patches:10.3f}"
        print(f"{channels:4} {m:5} {times} {gains[1]:5.3f} {gains[2]:5.3f}", flush=True)


if __name__ == "__main__":
    bitnet.cli.run(main)
