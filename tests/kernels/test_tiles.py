"""Products on tiles, emulated on any processor, and those of the processor where it has them.

The fixture `implementation` runs the other tests of kernels with tiles too; here are the sizes and
values at which tiles differ: 16 rows, 32 columns, 64 elements, blocks of 8 tiles, rooms of 512 KB.
"""

import concurrent.futures
import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds, signs

from bitnet import InputError, kernels
from bitnet.kernels import BitPlanes, Quantized, Thresholds, Window, reference

if importlib.util.find_spec("numba") is None:
    pytest.skip("Numba is not installed", allow_module_level=True)

from bitnet.kernels import threads
from bitnet.kernels.cpu import (
    jit,
    products,
    tile_choice,
    tile_layouts,
    tile_loops,
    tile_products,
    tiles,
)

pytestmark = pytest.mark.skipif(
    bool(jit.config.DISABLE_JIT), reason="tiles are compiled, and NUMBA_DISABLE_JIT is set"
)

ROWS = st.sampled_from([1, 2, 15, 16, 17, 31, 32, 33, 65])
COLUMNS = st.sampled_from([1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97])
ELEMENTS = st.sampled_from([1, 3, 4, 5, 63, 64, 65, 127, 128, 129, 512, 513, 640])


@pytest.fixture(params=["emulated", "amx"], autouse=True)
def form(request, monkeypatch):
    """Compute all products in one form of the tiles, whatever their size."""
    if request.param == "emulated":
        with tiles.emulated():
            yield request.param
        return
    if lacks := jit.missing("amx"):
        pytest.skip(f"the level amx needs {', '.join(lacks)}")
    for kind in tile_choice.FASTER_FROM:
        monkeypatch.setitem(tile_choice.FASTER_FROM, kind, ((0, 0),))
    with jit.using_level("amx"):
        yield request.param


def bits(seed, *shape):
    return kernels.pack(signs(seed, shape))


def planes(seed, coefficients, *shape, offset=0, scale=1.0):
    return BitPlanes(bits(seed, len(coefficients), *shape), coefficients, scale, offset)


def same(name, *operands):
    """Compare a kernel with the definition."""
    found, expected = (getattr(where, name)(*operands) for where in (kernels, reference))
    if isinstance(expected, np.ndarray):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        np.testing.assert_array_equal(found, expected)
    else:
        assert found == expected


@given(ROWS, COLUMNS, ELEMENTS, seeds)
def test_signs(rows, m, n, seed):
    x, weight = bits(seed, rows, n), bits(seed + 1, m, n)
    same("xnor_gemm", x, weight)
    rng = np.random.default_rng(seed)
    ends = np.iinfo(np.int32)
    z = reference.xnor_gemm(x, weight)[0]  # ties with the first row
    choices = np.stack([z, z + 1, z - 1, np.full(m, ends.min), np.full(m, ends.max)])
    values = choices[rng.integers(0, 5, m), np.arange(m)].astype(np.int32)
    same("xnor_sign", x, weight, Thresholds(values, rng.random(m) < 0.5))


COEFFICIENTS = st.sampled_from(
    [(1,), (1, 2), (2, 1, 1), (1, 2, 4, 8), (3, 6, 9), tuple(1 << i for i in range(8)), (255,)]
)
OFFSETS = st.sampled_from([0, 1, -7])


@given(ROWS, COLUMNS, ELEMENTS, seeds, COEFFICIENTS, COEFFICIENTS, OFFSETS, OFFSETS)
def test_integers_of_few_bits(rows, m, n, seed, left, right, first, second):
    x, weight = planes(seed, left, rows, n, offset=first), bits(seed + 1, m, n)
    numbers = planes(seed + 2, right, m, n, offset=second)
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, n), dtype=np.uint8)
    for a, b in ((x, weight), (pixels, weight), (x, numbers), (pixels, numbers)):
        assert tile_choice.pay("bytes", rows, m, n)
        same("plane_gemm", a, b)
    same("plane_gemm", bits(seed, rows, n), numbers)


@given(ROWS, COLUMNS, ELEMENTS, seeds, st.sampled_from([1, 7, 31, 127]), COEFFICIENTS, OFFSETS)
def test_gradients(rows, n, m, seed, largest, coefficients, offset):
    """Of m contracted rows of signs, of pixels, and of integers with and without a scale."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-largest, largest + 1, (rows, m)).astype(np.int16)
    values[rng.random((rows, m)) < 0.1] = -largest
    x = Quantized(values, rng.standard_normal(rows).astype(np.float32), largest)
    pixels = rng.integers(0, 256, (m, n), dtype=np.uint8)
    own = planes(seed, coefficients, m, n, offset=offset)
    scaled = planes(seed, coefficients, m, n, offset=offset, scale=0.3)
    for factor in (bits(seed, m, n), pixels, own, scaled):
        assert products.signed_on_tiles(x, factor)
        same("signed_gemm", x, factor)


WINDOWS = st.builds(
    Window,
    st.sampled_from([(1, 1), (3, 3), (2, 3)]),
    st.sampled_from([(1, 1), (2, 1)]),
    st.sampled_from([((0, 0), (0, 0)), ((1, 1), (1, 1)), ((0, 1), (2, 0))]),
    st.sampled_from([0, 1, -1]),
)


@given(WINDOWS, st.sampled_from([1, 3, 63, 64, 65, 128]), st.sampled_from([1, 31, 33, 64]), seeds)
def test_convolutions(window, channels, m, seed):
    rng, size = np.random.default_rng(seed), (2, 5, 4, channels)
    x, filters = bits(seed, *size), bits(seed + 1, m, *window.size, channels)
    same("xnor_conv", x, filters, window)
    z = reference.xnor_conv(x, filters, window)
    steps = Thresholds(z[1, 0, 0].copy(), rng.random(m) < 0.5)
    same("xnor_conv_sign", x, filters, window, steps)
    pixels = rng.integers(0, 256, size, dtype=np.uint8)
    numbers = planes(seed, (1, 2, 4), m, *window.size, channels, offset=1)
    few = planes(seed + 2, (2, 4), *size, offset=-3)
    for images in (pixels, few):
        for weight in (filters, numbers):
            assert products.convolution_on_tiles(images, weight, window)
            same("plane_conv", images, weight, window)


def test_gradients_of_convolutions():
    window, rng = Window((3, 2), padding=((1, 1), (0, 1))), np.random.default_rng(0)
    x, filters = bits(0, 3, 6, 5, 70), bits(1, 40, 3, 2, 70)
    grad = rng.standard_normal((3, 6, 5, 40)).astype(np.float32)
    pixels = rng.integers(0, 256, (3, 6, 5, 3), np.uint8)
    found = kernels.gradient_of_images(grad, filters, window, (6, 5), 8)
    expected = reference.gradient_of_images(grad, filters, window, (6, 5), 127, None)
    np.testing.assert_array_equal(found, expected)
    for images in (x, pixels):
        found = kernels.gradient_of_filters(grad, images, window, 8)
        expected = reference.gradient_of_filters(grad, images, window, 127, None)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("rows", "m", "n"), [(1100, 40, 70), (70, 33, 64 * 130), (33, 500, 520)])
def test_several_rooms_and_blocks(rows, m, n):
    """More rows than a room has: 1024, or 512 KB of bytes; and many panels."""
    x, weight = bits(0, rows, n), bits(1, m, n)
    same("xnor_gemm", x, weight)
    same("xnor_sign", x, weight, Thresholds(np.arange(m, dtype=np.int32), np.arange(m) % 2 > 0))
    values = np.random.default_rng(2).integers(-127, 128, (rows, m)).astype(np.int16)
    same("signed_gemm", Quantized(values, np.ones(rows, np.float32), 127), weight)


def test_results_past_the_caches(monkeypatch):
    """Also with columns that do not fill the last panel."""
    monkeypatch.setattr(tile_products, "PAST_BYTES", 0)
    for m in (96, 80, 70):
        x, weight = bits(0, 40, 200), bits(1, m, 200)
        same("xnor_gemm", x, weight)
        values = np.random.default_rng(2).integers(-127, 128, (40, 200)).astype(np.int16)
        same("signed_gemm", Quantized(values, np.ones(40, np.float32), 127), bits(3, 200, m))


def test_prepared_weights_are_laid_out_once(monkeypatch):
    weight, x, calls = kernels.prepare(bits(0, 33, 130)), bits(1, 9, 130), []
    arrange = tile_layouts._arrange_along
    monkeypatch.setattr(
        tile_layouts, "_arrange_along", lambda *own: calls.append(own) or arrange(*own)
    )
    for _ in range(3):
        same("xnor_gemm", x, weight)
        same("plane_gemm", planes(2, (1, 2), 9, 130), weight)
    assert len(calls) == 1


def test_layouts_begin_at_lines_of_the_cache():
    words = bits(0, 40, 130).words
    layouts = (
        tile_layouts.bits_along(words),
        tile_layouts.bits_across(words),
        tile_layouts.bytes_along(np.ones((40, 130), np.int8)),
        tile_layouts.bytes_across(np.ones((40, 130), np.uint8)),
    )
    assert [layout.ctypes.data % 64 for layout in layouts] == [0] * 4
    assert tiles.own_room(1).ctypes.data % (1 << 21) == 0
    assert len(tiles.own_room(1)) >= 1 << 22


@pytest.mark.parametrize("n_threads", [2, 3])
def test_threads_of_a_product(n_threads, monkeypatch):
    monkeypatch.setattr(threads, "LEAST_NS", 1)
    before = threads.num_threads()
    threads.set_num_threads(n_threads)
    try:
        x, weight = bits(0, 130, 200), bits(1, 70, 200)
        same("xnor_gemm", x, weight)
        same("xnor_sign", x, weight, Thresholds(np.zeros(70, np.int32), np.ones(70, bool)))
        same("plane_gemm", planes(2, (1, 2), 130, 200), weight)
    finally:
        threads.set_num_threads(before)


def test_threads_with_products_of_their_own():
    """Each has its own room."""
    operands = [(bits(i, 40 + i, 300), bits(i + 9, 50, 300)) for i in range(8)]
    expected = [reference.xnor_gemm(*own) for own in operands]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda own: [kernels.xnor_gemm(*own) for _ in range(20)], operands)
        for own, results in zip(expected, found, strict=True):
            assert all(np.array_equal(own, z) for z in results)


def test_nothing_is_left_configured(form):
    if form != "emulated":
        pytest.skip("the state of the processor's tiles cannot be read")
    same("xnor_gemm", bits(0, 3, 70), bits(1, 5, 70))
    assert not tiles.own_room(1)[tiles.STATE : tiles.STATE + 8].any()


def test_the_table_of_sizes(monkeypatch):
    monkeypatch.setattr(tile_choice, "form", lambda: "amx")
    pay = tile_choice.pay
    assert [pay("signs", rows, 4096, 2048) for rows in (31, 32)] == [False, True]
    assert [pay("signs", rows, 1024, 2048) for rows in (63, 64)] == [False, True]
    assert [pay("signs", 1000, m, 784) for m in (10, 512)] == [False, True]
    assert [pay("bytes", rows, 512, 784) for rows in (7, 8)] == [False, True]
    assert [pay("bytes", 1, m, 2048) for m in (2047, 2048)] == [False, True]
    assert not pay("bytes", 0, 2048, 2048)
    monkeypatch.setattr(tile_choice, "form", lambda: None)
    assert not pay("signs", 1000, 4096, 4096)


def test_what_tiles_cannot_multiply():
    wide = Quantized(np.full((9, 8), 200, np.int16), np.ones(9, np.float32), 255)
    assert not products.signed_on_tiles(wide, bits(0, 8, 70))
    negative = planes(0, (1, -2), 8, 70)
    assert not products._have_forms(negative, bits(0, 5, 70))
    assert not products.convolution_on_tiles(
        bits(0, 1, 3, 3, 2), planes(0, (100, 100), 1, 1, 1, 2), Window((1, 1))
    )


def test_tile_instructions_are_not_compiled_without_the_features(monkeypatch):
    """LLVM would end the process; the error names the features."""
    monkeypatch.setattr(jit, "_features", lambda: jit.AVX512)
    loop = tile_loops.loops.__wrapped__("amx", "ii", False, "integers")
    numbers = {name: np.zeros(1, name) for name in ("uint8", "int64", "int32", "float32", "uint32")}
    operands = numbers["uint8"], 0, np.zeros((1, 1, 2, 16, 16, 4), np.uint8), 1
    rest = np.zeros((1, 32), np.int32), numbers["int64"], 1, numbers["int32"], numbers["float32"]
    with pytest.raises(InputError, match="need a processor with amx-int8, amx-tile"):
        loop.compiled(*operands, *rest, numbers["uint32"], False, np.zeros((1, 32), np.int32))


def test_tile_instructions_do_not_run_without_permission(monkeypatch):
    monkeypatch.setattr(tiles, "_lacking", lambda: ["the tiles, which Linux refused"])
    loop = tile_loops.loops.__wrapped__("amx", "ii", False, "integers")
    with pytest.raises(InputError, match="need the tiles, which Linux refused"):
        loop()
