"""The portable product of signs, compiled for Arm processors with NEON.

LLVM compiles the loop of Numba for another processor.  Its machine code must contain the byte-wise
popcount `cnt`.  Where a cross compiler and qemu are installed (in Debian: gcc-aarch64-linux-gnu,
qemu-user-static), the integers that it computes are compared with the reference.
"""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from bitnet.kernels import pack, reference

pytest.importorskip("numba", reason="nothing is compiled without Numba")
llvm = pytest.importorskip("llvmlite.binding")

# prints the intermediate code of the loop, not yet optimized for any processor
SOURCE = """
from numba import types
from bitnet.kernels.cpu import xnor

words, z = types.Array(types.uint64, 2, "C"), types.Array(types.int32, 2, "C")
xnor._integers_portable.compile((words, words, types.int64, z))
[compiled] = xnor._integers_portable.overloads.values()
print(compiled.library._final_module)
"""
# calls it with arrays as Numba passes them: owner (2), size, bytes per item, data, shape, strides
CALLER = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#define ARRAY void *, void *, int64_t, int64_t, void *, int64_t, int64_t, int64_t, int64_t
#define PASS(x, b, k, size) 0, 0, b * k, size, x, b, k, k * size, size
int product(void **result, void **error, ARRAY, ARRAY, int64_t n, ARRAY);

void NRT_MemInfo_call_dtor(void *owner) { abort(); } /* the arrays have no owner */

int main(void) {
    int64_t s[4]; /* B, M, K, n */
    if (fread(s, 8, 4, stdin) != 4) return 1;
    uint64_t *x = malloc(8 * s[0] * s[2]), *weight = malloc(8 * s[1] * s[2]);
    int32_t *z = malloc(4 * s[0] * s[1]);
    void *result, *error;
    if (fread(x, 8, s[0] * s[2], stdin) != s[0] * s[2]) return 1;
    if (fread(weight, 8, s[1] * s[2], stdin) != s[1] * s[2]) return 1;
    if (product(&result, &error, PASS(x, s[0], s[2], 8), PASS(weight, s[1], s[2], 8), s[3],
                PASS(z, s[0], s[1], 4))) return 2;
    return fwrite(z, 4, s[0] * s[1], stdout) != s[0] * s[1];
}
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Return the module for aarch64, optimized, and the target machine."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_CPU")}
    cache = str(tmp_path_factory.mktemp("cache"))  # no other process may load what is not optimized
    environment |= {"NUMBA_OPT": "0", "NUMBA_DISABLE_JIT": "0", "NUMBA_CACHE_DIR": cache}
    words = [sys.executable, "-W", "ignore", "-c", SOURCE]
    ran = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        target = llvm.Target.from_triple("aarch64-linux-gnu")
    except RuntimeError as error:
        pytest.skip(f"this llvmlite does not compile for aarch64 ({error})")
    machine = target.create_target_machine(features="+neon", opt=3, reloc="pic")
    source = re.sub(r"(target triple = ).*", r'\1"aarch64-linux-gnu"', ran.stdout)
    source = re.sub(r"(target datalayout = ).*", rf'\1"{machine.target_data}"', source)
    module = llvm.parse_assembly(source)
    for function in module.functions:
        if re.match(r"_ZN6bitnet7kernels3cpu4xnor\d+_integers_portable", function.name):
            function.name = "product"
        elif not function.is_declaration:  # such as the entry for Python
            function.linkage = "internal"
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module, machine


def test_the_loop_counts_bits_in_vectors(compiled):
    module, machine = compiled
    code = machine.emit_assembly(module)
    blocks = re.split(r"\n\.\w+:", code)
    [loop] = [block for block in blocks if re.search(r"\tcnt\tv\d+\.16b", block)]
    assert re.search(r"\teor\tv\d+\.16b", loop)
    assert re.search(r"\tuadalp\tv\d+\.2d", loop)
    # the words after the last whole vector
    assert re.search(r"\tcnt\tv\d+\.8b", code)


def test_it_computes_the_integers_of_the_reference(compiled, tmp_path):
    tools = "aarch64-linux-gnu-gcc", "qemu-aarch64-static"
    if absent := [name for name in tools if shutil.which(name) is None]:
        pytest.skip(f"{' and '.join(absent)} not installed")
    module, machine = compiled
    (tmp_path / "product.o").write_bytes(machine.emit_object(module))
    (tmp_path / "caller.c").write_text(CALLER)
    program = tmp_path / "program"
    build = [tools[0], "-static", "-O1", "-o", program, *sorted(tmp_path.glob("*.[co]"))]
    subprocess.run(build, check=True)
    rng = np.random.default_rng(0)
    for b, m, n in ((1, 1, 1), (3, 5, 63), (2, 7, 64), (7, 4, 65), (5, 9, 300), (4, 33, 4096)):
        x, weight = (pack(rng.standard_normal((rows, n))) for rows in (b, m))
        sizes = np.array([b, m, x.words.shape[1], n], "<i8")
        given = sizes.tobytes() + x.words.tobytes() + weight.words.tobytes()
        ran = subprocess.run([tools[1], program], input=given, capture_output=True, check=True)
        z = np.frombuffer(ran.stdout, "<i4").reshape(b, m)
        np.testing.assert_array_equal(z, reference.xnor_gemm(x, weight))
