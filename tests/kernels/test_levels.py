"""Selection of a kernel level, on this processor and, with Numba's overrides, on others."""

import importlib.util
import os
import pathlib
import platform
import shutil
import subprocess
import sys

import pytest

import bitnet
from bitnet import InputError

if importlib.util.find_spec("numba") is None:
    pytest.skip("Numba is not installed", allow_module_level=True)

from bitnet.kernels import threads
from bitnet.kernels.cpu import jit

AVX2 = "+64bit,+avx,+avx2,+bmi,+bmi2,+cx16,+f16c,+fma,+lzcnt,+movbe,+popcnt,+sse2,+sse3,+sse4.1,"
AVX2 += "+sse4.2,+ssse3"
OVERRIDES = {
    "avx2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": AVX2},
    "portable": {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+64bit,+sse2"},
    "portable, not compiled": {"NUMBA_DISABLE_JIT": "1"},
}
on_x86 = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="an x86-64 processor is needed"
)

# compares every kernel with the definition, at a level that the environment forces
EVERY_KERNEL = """
import numpy as np
from bitnet import kernels
from bitnet.kernels import reference
from bitnet.kernels.cpu import jit, level, level_reason, tiles

rng = np.random.default_rng(0)
pack = kernels.pack
B, M, N = 7, 37, 131
x, weight = pack(rng.standard_normal((B, N))), pack(rng.standard_normal((M, N)))
steps = kernels.Thresholds(np.arange(M, dtype=np.int32) - 20, np.arange(M) % 2 > 0)
pixels = rng.integers(0, 256, (B, N), dtype=np.uint8)
grad = rng.standard_normal((B, M)).astype(np.float32)
rows, columns = kernels.round_gradient(grad, 6), kernels.round_gradient(grad.T, 8)
assert (columns.values == reference.round_gradient(grad.T, 127, None).values).all()
assert (kernels.xnor_gemm(x, weight) == reference.xnor_gemm(x, weight)).all()
assert kernels.xnor_sign(x, weight, steps) == reference.xnor_sign(x, weight, steps)
assert (kernels.plane_gemm(pixels, weight) == reference.plane_gemm(pixels, weight)).all()
if not jit.config.DISABLE_JIT:
    with tiles.emulated():
        assert (kernels.xnor_gemm(x, weight) == reference.xnor_gemm(x, weight)).all()
        assert kernels.xnor_sign(x, weight, steps) == reference.xnor_sign(x, weight, steps)
        assert (kernels.plane_gemm(pixels, weight) == reference.plane_gemm(pixels, weight)).all()
for left, right in ((rows, weight), (columns, x), (columns, pixels)):
    expected = reference.signed_gemm(left, right)
    assert (kernels.signed_gemm(left, right) == expected).all()
y = kernels.signed_gemm(grad, weight)
assert np.allclose(y, reference.signed_gemm(grad, weight), atol=1e-4)
z, c = kernels.xnor_gemm(x, weight), grad[0]
for R in (2, B, 21):
    own = np.tile(x.signs().astype(np.float32), (3, 1))[:R] * 0.3
    across = np.ascontiguousarray(weight.signs().T.astype(np.float32))
    assert (kernels.ordered_gemm(own, across) == reference.ordered_gemm(own, across, None)).all()
assert kernels.normalize_sign(z, c, c, c, 1.0) == reference.normalize_sign(z, c, c, c, 1.0)
for a, b in zip(kernels.batch_norm_backward(grad, None, z, c, c, c),
                reference.batch_norm_backward(grad, None, z, c, c, c), strict=True):
    assert (a == b).all()
w, m, v = grad.copy(), abs(grad), abs(grad)
kernels.update("adam", w, grad, [m, v], [0.1, 0.1, 0.001, 1.0, 1e-8, 1.0], 1.0)
u, m, v = grad.copy(), abs(grad), abs(grad)
reference.update("adam", u, grad, [m, v], [0.1, 0.1, 0.001, 1.0, 1e-8, 1.0], 1.0, None)
assert (w == u).all()
for rule, constants in (("shift_adamax", [0.1, 0.125, 0.999, 0]),
                        ("shift_adamax_code", [0.1, 0.1, 0.999, 1e-8]), ("bop", [0.5, 0.1])):
    results = []
    for module in (kernels, reference):
        w, state = grad.copy(), [grad.copy(), abs(grad)][: 1 if rule == "bop" else 2]
        module.update(rule, w, grad, state, constants, 1.0, None)
        results.append(w)
    assert (results[0] == results[1]).all()
assert (kernels.ap2(grad) == reference.ap2(grad)).all()
window = kernels.Window((3, 2), padding=((1, 1), (0, 1)))
x, filters = pack(rng.standard_normal((2, 6, 5, 70))), pack(rng.standard_normal((40, 3, 2, 70)))
photos = rng.integers(0, 256, (2, 6, 5, 3), np.uint8)
first = pack(rng.standard_normal((40, 3, 2, 3)))
grad = rng.standard_normal((2, 6, 5, 40)).astype(np.float32)
assert (kernels.xnor_conv(x, filters, window) == reference.xnor_conv(x, filters, window)).all()
assert (kernels.plane_conv(photos, first, window)
        == reference.plane_conv(photos, first, window)).all()
assert (kernels.gradient_of_images(grad, filters, window, (6, 5), 8)
        == reference.gradient_of_images(grad, filters, window, (6, 5), 127, None)).all()
for images in (x, photos):
    assert (kernels.gradient_of_filters(grad, images, window, 8)
            == reference.gradient_of_filters(grad, images, window, 127, None)).all()
few = kernels.Codebook.uniform(3)
x, weight = (few.planes(rng.integers(0, 8, shape, np.uint8)) for shape in ((5, 70), (9, 70)))
assert (kernels.plane_gemm(x, weight) == reference.plane_gemm(x, weight)).all()
one = np.eye(9, dtype=np.float32)  # the rows of the planes as floats
assert (kernels.signed_gemm(one, weight) == weight.numbers()).all()
x = few.planes(rng.integers(0, 8, (2, 6, 5, 7), np.uint8))
weight = few.planes(rng.integers(0, 8, (9, 3, 2, 7), np.uint8))
assert (kernels.plane_conv(x, weight, window) == reference.plane_conv(x, weight, window)).all()
a = rng.standard_normal((8, 3, 12)).astype(np.float32)
for name, arrays in (("lstm_step", (a[0], a[1], np.float32(0.1), *a[2:5, :, :3].copy())),
                     ("lstm_back", (a[5], *a[2:6, :, :3].copy(), a[6])),
                     ("gru_back", (a[0, :, :9].copy(), *a[2:5, :, :3].copy(),
                                   *a[6:, :, :9].copy()))):
    results = []
    for module in (kernels.cells, reference):
        own = [x.copy() for x in arrays]
        getattr(module, name)(*own)
        results.append(np.concatenate([x.ravel() for x in own]))
    assert (results[0] == results[1]).all()
print(level(), "|", level_reason())
"""


def python(code, cwd=None, **environment):
    words = [sys.executable, "-W", "error::RuntimeWarning", "-c", code]
    environment = {**os.environ, **environment}
    ran = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=cwd)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("name", OVERRIDES)
def test_every_kernel_at_a_level_that_is_forced(name):
    if "NUMBA_CPU_NAME" in OVERRIDES[name] and platform.machine().lower() not in (
        "x86_64",
        "amd64",
    ):
        pytest.skip("an x86-64 processor is needed")
    if name == "avx2" and jit.missing("avx2"):
        pytest.skip("the processor has no AVX2")
    level, _, reason = python(EVERY_KERNEL, **OVERRIDES[name]).partition(" | ")
    assert level == name.partition(",")[0]
    assert ("avx512 lacks" in reason) == (name == "avx2")
    assert ("NUMBA_DISABLE_JIT" in reason) == ("not compiled" in name)


MACHINE_CODE = """
import numba
from numba import types
from bitnet.kernels.cpu import dots, jit, octets, pixels, tables, xnor

def code(function, *arrays):
    kinds = {"u8": types.uint64, "i4": types.int32, "i2": types.int16, "u2": types.uint16,
             "i8": types.int64, "f4": types.float32, "i1": types.int8, "u1": types.uint8,
             "u4": types.uint32}
    others = {"n": types.int64, "p": types.UniTuple(types.int64, 2)}
    signature = tuple(
        a if isinstance(a, types.Type) else others.get(a)
        or types.Array(kinds[a[:2]], int(a[2:]), "C") for a in arrays)
    function.compile(signature)
    return "".join(function.inspect_asm().values())

assert "vpopcntq" in code(xnor.INTEGERS["avx512"], "u82", "u83", "n", "i42")
assert "vpopcntq" in code(xnor.SIGNS["avx512"], "u82", "u83", "u81", "u41", "u82")
lookups = code(tables.multiply_integers, "i22", "u23", "i24", "i42")
assert "vpermi2w" in lookups or "vpermt2w" in lookups
lookups = code(tables._multiply_floats, "f42", "u43", "f44", "f42")
assert "vpermi2ps" in lookups or "vpermt2ps" in lookups
assert "vpdpbusd" in code(octets.CONVOLUTIONS[dots.FOURS512], "i13", "p", "p", "n", "u14", "n",
                          "p", "i42", "i82", "i12", "i42", "i43", "n", "n")
assert "vpdpbusd" in code(dots.PRODUCTS[dots.FOURS512], "i12", "u14", "n", "n", "i42", "u13", "p",
                          "i41", "f41", "f41", "i42")
assert "vfmadd" in code(pixels._multiply, "f42", "f42", "f42", "f42")
"""


@on_x86
def test_the_avx512_kernels_compile_to_the_instructions_meant(tmp_path):
    """They compile for a server of 2021, even if this processor cannot run them."""
    features = "+64bit,+avx,+avx2,+bmi,+bmi2,+cx16,+evex512,+f16c,+fma,+lzcnt,+movbe,+popcnt,"
    features += ",".join(f"+{name}" for name in sorted(jit.LEVELS["avx512"]))
    environment = {"NUMBA_CPU_NAME": "icelake-server", "NUMBA_CPU_FEATURES": features}
    python(MACHINE_CODE, NUMBA_CACHE_DIR=str(tmp_path), **environment)


DOTS_CODE = r"""
import re, sys
from numba import types
from bitnet.kernels.cpu import dots

def array(kind, axes):
    return types.Array(getattr(types, kind), axes, "C")

def code(product, left, right):
    n, two = types.int64, types.UniTuple(types.int64, 2)
    product.compile((array(left, 2), right, n, n, array("int32", 2), array("uint8", 3), two,
                     array("int32", 1), array("float32", 1), array("float32", 1),
                     array("int32", 2)))
    return "".join(product.inspect_asm().values())

instructions = {"fours256": "vpdpbusd", "pairs": "vpmaddubsw", "words": "vpmaddwd"}
for kind in (dots.FOURS256,) if sys.argv[1] == "alderlake" else (dots.PAIRS, dots.WORD_PAIRS):
    left, right = ("int16", "uint16") if kind is dots.WORD_PAIRS else ("int8", "uint8")
    products = [code(dots.PRODUCTS[kind], left, array(right, 4))]
    if kind in dots.OF_BITS:
        products.append(code(dots.OF_BITS[kind], left, array("uint64", 2)))
        assert "vpcmpeqb" in products[-1]
    for own in products:
        # a tile: each of 4 rows times 2 registers of columns, none of which is put aside
        blocks = re.split(r"\n\.?\w+:\n", own)
        tile_blocks = [block for block in blocks if instructions[kind.name] in block]
        assert any(block.count(instructions[kind.name]) == 8 for block in tile_blocks)
        for block in tile_blocks:
            assert block.count("vpbroadcastd") * 2 >= block.count(instructions[kind.name])
            assert not re.search(r"vmov\w+\s+%ymm\d+, -?\d*\(%rsp", block), block
        assert "zmm" not in own
"""


@on_x86
@pytest.mark.parametrize("name", ["haswell", "alderlake"])
def test_the_products_in_256_bits_compile_to_the_instructions_meant(name, tmp_path):
    """They compile for processors with AVX2, and with AVX-VNNI but without AVX-512."""
    features = AVX2 + (",+avxvnni" if name == "alderlake" else "")
    environment = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}
    code = DOTS_CODE.replace("sys.argv[1]", repr(name))
    python(code, NUMBA_CACHE_DIR=str(tmp_path), **environment)


TILE_CODE = r"""
import re
from numba import types
from bitnet.kernels.cpu import jit, tile_layouts, tile_loops

def array(kind, axes):
    return types.Array(getattr(types, kind), axes, "C")

def code(kinds, of_bits, kind):
    panels = array("uint64", 4) if of_bits else array("uint8", 6)
    results = {"integers": "int32", "floats": "float32", "signs": "uint64"}
    n = types.int64
    loop = tile_loops.loops("amx", kinds, of_bits, kind).compiled
    loop.compile((array("uint8", 1), n, panels, n, array("int32", 2), array("int64", 1), n,
                  array("int32", 1), array("float32", 1), array("uint32", 1), types.boolean,
                  array(results[kind], 2)))
    return "".join(loop.inspect_asm().values())

assert jit.lacking("amx") == []
products = {"ii": "tdpbssd", "ui": "tdpbusd", "iu": "tdpbsud"}
for kinds, of_bits, kind in (("ii", True, "integers"), ("ii", True, "signs"),
                             ("ii", True, "floats"), ("ui", True, "integers"),
                             ("ui", False, "integers"), ("iu", False, "floats")):
    own = code(kinds, of_bits, kind)
    assert set(re.findall("tdp[a-z]+", own)) == {products[kinds]}, (kinds, own)
    for name in ("ldtilecfg", "tileloadd", "tileloaddt1", "tilestored", "tilerelease"):
        assert name in own, (kinds, of_bits, kind, name)
    assert ("vmovnt" in own) == (kind != "signs")
    # 64 bits become 64 bytes by a load of a mask, a blend and a store, four times in a step
    assert own.count("kmovq") == own.count("vpblendmb") == (6 if of_bits else 0)
    assert "vpmovm2b" not in own and "vpinsrb" not in own
    # no register of a vector is put aside and no tile is loaded again
    assert not re.search(r"vmov\w+\s+%zmm\d+, -?\d*\(%rsp", own)
    if not of_bits:  # a step is four loads and four products
        found = re.findall("tileload[a-z1]*|tdp[a-z]+", own)
        row, column, product = "tileloaddt1", "tileloadd", products[kinds]
        one = [row, column, product, column, product, row, product, product]
        assert any(found[i : i + 16] == one + one for i in range(len(found)))
words = array("uint64", 2)
tile_layouts._arrange_across.compile((words, words, array("uint64", 4)))
across = "".join(tile_layouts._arrange_across.inspect_asm().values())
assert "vpermb" in across and "vpmovb2m" in across
tile_layouts._arrange_along.compile((words, words, array("uint64", 4)))
along = "".join(tile_layouts._arrange_along.inspect_asm().values())
assert "vpermi2b" in along or "vpermt2b" in along
"""


@on_x86
def test_the_tile_kernels_compile_to_the_instructions_meant(tmp_path):
    """They compile for a server of 2023, which few processors can run."""
    features = "+64bit,+avx,+avx2,+bmi,+bmi2,+cx16,+evex512,+f16c,+fma,+lzcnt,+movbe,+popcnt,"
    features += ",".join(f"+{name}" for name in sorted(jit.LEVELS["amx"]))
    environment = {"NUMBA_CPU_NAME": "sapphirerapids", "NUMBA_CPU_FEATURES": features}
    python(TILE_CODE, NUMBA_CACHE_DIR=str(tmp_path), **environment)


COUNT = """
import numba.core.event as event

seen = []


class Seen(event.Listener):
    def on_start(self, event):
        seen.append(event)

    def on_end(self, event):
        pass


event.register("numba:compile", Seen())
"""


def test_a_second_process_compiles_nothing():
    code = COUNT + EVERY_KERNEL + "\nprint(len(seen))"
    python(code)  # compiles what no test has compiled yet
    assert int(python(code).split()[-1]) == 0


def test_a_change_of_any_file_of_the_kernels_compiles_anew(tmp_path):
    package = pathlib.Path(bitnet.__file__).parent
    shutil.copytree(package, tmp_path / "bitnet", ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        COUNT + "import numpy as np\nfrom bitnet import kernels\nkernels.pack(np.ones((1, 64)))\n"
    )
    code += "print(len(seen), kernels.__file__)"

    def compiled():
        words = python(code, cwd=tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "cache")).split()
        assert words[1].startswith(str(tmp_path))
        return int(words[0])

    assert compiled() > 0
    assert compiled() == 0
    os.utime(tmp_path / "bitnet" / "kernels" / "cpu" / "emit.py", (1, 1))
    assert compiled() > 0


def test_a_level_that_there_is_not():
    with pytest.raises(InputError, match="name is 'neon'"), jit.using_level("neon"):
        pass


def test_a_level_that_the_processor_lacks(monkeypatch):
    monkeypatch.setattr(jit, "_features", lambda: {"avx2"})
    with pytest.raises(InputError, match="which needs avx512bw, "), jit.using_level("avx512"):
        pass
    monkeypatch.setattr(jit, "_level", None)
    assert jit.level() == "avx2"
    assert "avx512 lacks avx512bw" in jit.level_reason()


AMX = jit.LEVELS["amx"]


def test_tiles_need_a_permission(monkeypatch):
    """All features are not enough; forcing the level names the reason."""
    monkeypatch.setattr(jit, "_features", lambda: AMX)
    monkeypatch.setattr(jit.permission, "refusal", lambda: "the tiles, which Linux refused (why)")
    monkeypatch.setattr(jit, "_level", None)
    assert jit.level() == "avx512"
    assert jit.level_reason().endswith("; amx lacks the tiles, which Linux refused (why)")
    with pytest.raises(InputError, match="needs the tiles, which Linux"), jit.using_level("amx"):
        pass


def test_the_level_of_tiles_includes_that_of_vectors(monkeypatch):
    monkeypatch.setattr(jit, "_features", lambda: AMX | {"avx2"})
    monkeypatch.setattr(jit.permission, "refusal", lambda: None)
    monkeypatch.setattr(jit, "_level", None)
    expected = {"amx": (True, "avx512"), "avx512": (True, "avx512"), "avx2": (False, "avx2")}
    assert jit.level() == "amx"
    assert "amx-tile" in jit.level_reason()
    for name, (includes, vectors) in expected.items():
        with jit.using_level(name):
            assert (jit.at_least("avx512"), jit.vector_level()) == (includes, vectors)
            assert jit.at_least("portable")


def test_no_permission_is_asked_for_without_the_features(monkeypatch):
    monkeypatch.setattr(jit, "_features", lambda: AMX - {"amx-int8"})
    monkeypatch.setattr(jit.permission, "refusal", lambda: pytest.fail("asked"))
    assert jit.missing("amx") == ["amx-int8"]


@on_x86
def test_tiles_that_only_the_environment_claims():
    """Compiled for tiles, but not run where Linux grants none: on processors that have none."""
    code = "from bitnet.kernels.cpu import level, level_reason\nprint(level(), '|', level_reason())"
    features = "+64bit," + ",".join(f"+{name}" for name in sorted(AMX))
    level, _, reason = python(code, NUMBA_CPU_FEATURES=features).strip().partition(" | ")
    refused = jit.permission.refusal()
    assert level == ("avx512" if refused else "amx")
    assert reason.endswith(f"amx lacks {refused}" if refused else "avx512vpopcntdq")


ASKED = """
import ctypes
from bitnet.kernels.cpu import permission

class Kernel:
    granted, asked = {granted}, []

    def syscall(self, number, request, argument):
        self.asked.append((number.value, request.value))
        ctypes.set_errno(28)
        if request.value == 0x1022:
            argument._obj.value = self.granted
        return {answer} if request.value == 0x1023 else 0

class Library:
    def __init__(self, *_, **options):
        self.syscall = lambda *own: Kernel().syscall(*own)

ctypes.CDLL = Library
permission.platform.machine = lambda: "x86_64"
permission.sys.platform = "linux"
print(permission.refusal(), permission.refusal(), Kernel.asked)
"""


@pytest.mark.parametrize(
    ("granted", "answer", "reason"),
    [
        (1 << 18 | 7, 0, "None"),
        (7, 0, "the tiles, which Linux did not grant"),
        (7, -1, "the tiles, which Linux refused (No space left on device)"),
    ],
)
def test_linux_is_asked_once(granted, answer, reason):
    """For the tiles (158 is arch_prctl), and whether it granted them if it did not refuse."""
    asked = [(158, 0x1023), (158, 0x1022)][: 2 + answer]
    expected = f"{reason} {reason} {asked}"
    assert python(ASKED.format(granted=granted, answer=answer)).strip() == expected


def test_this_system_answers():
    """Whatever the answer is, it is a reason or None, and the same the second time."""
    first = jit.permission.refusal()
    assert first is None or first.startswith(("the tiles", "a permission", "a C library"))
    assert jit.permission.refusal() == first


def test_threads_are_the_processors_unless_told_otherwise():
    before = threads.num_threads()
    threads.set_num_threads(3)
    assert threads.num_threads() == 3
    threads.set_num_threads(before)
