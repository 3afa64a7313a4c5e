"""Compile CUDA kernels to machine code without a GPU and print the instructions of each.

    python machine_code.py MAJOR MINOR NVDISASM

The output is one line of JSON: per kernel, the number of occurrences of each instruction.
"""

import collections
import importlib
import json
import re
import subprocess
import sys
import tempfile
import types


def module(name):
    """Import a module of the kernels, after the capability is known."""
    return importlib.import_module(f"bitnet.kernels.cuda.{name}")


def kernels(capability):
    """Yield name, kernel and argument types of a selection for this GPU."""
    import numpy as np
    from numba import types as numba_types

    names = ("pack", "xnor", "tensor", "products")
    pack, xnor, tensor, products = map(module, names)
    number, single = numba_types.int64, numba_types.float32
    halves, integers, floats, booleans = (
        numba_types.Array(kind, 1, "C")
        for kind in (numba_types.uint32, numba_types.int32, single, numba_types.boolean)
    )
    shape = numba_types.NamedUniTuple(number, len(xnor.Shape._fields), xnor.Shape)
    first = halves, halves, integers, integers, shape, integers, integers, integers
    of = {False: (*first, integers, integers, integers), True: (*first, integers, booleans, halves)}
    rows = halves, halves, *[number] * 4, integers
    if capability < (8, 0):
        yield "naive", xnor.naive, rows
        yield "tiled", xnor.tiled, rows
        product = products.FLOATS[np.dtype(np.float32)]
        yield "signed_floats", product, (floats, halves, *[number] * 4, floats)
    if capability != (8, 0):  # the one between the others
        yield "pack", pack._pack_rows, (floats, single, *[number] * 6, halves, floats)
        yield "transpose", pack._transpose_rows, (halves, *[number] * 4, halves)
        yield "ones", pack._ones_of_rows, (halves, integers, number, number, integers)
        yield "registers, integers", xnor.BY_REGISTERS[False][0], of[False]
        yield "registers, bits", xnor.BY_REGISTERS[True][0], of[True]
    if capability >= (8, 0):
        yield "tensor large, bits", tensor.BY_TENSOR[tensor.LARGE, False, True][0], of[True]
        yield "tensor small, planes", tensor.BY_TENSOR[tensor.SMALL, True, False][0], of[False]
    if capability > (8, 0):
        yield "tensor large, integers", tensor.BY_TENSOR[tensor.LARGE, False, False][0], of[False]
        yield "tensor small, integers", tensor.BY_TENSOR[tensor.SMALL, False, False][0], of[False]
        yield "tensor small, bits", tensor.BY_TENSOR[tensor.SMALL, False, True][0], of[True]


def kernels_of_training(capability):
    """Yield like `kernels` the kernels of training, whose float operations are not fused."""
    import numpy as np
    from numba import types as numba_types

    names = ("norm", "rounding", "update", "floats")
    norm, rounding, update, products = map(module, names)
    number, single, noise = numba_types.int64, numba_types.float32, numba_types.uint64
    floats, doubles, halves, integers, longs, shorts = (
        numba_types.Array(getattr(numba_types, kind), 1, "C")
        for kind in ("float32", "float64", "uint32", "int32", "int64", "int16")
    )
    columns = floats, floats, floats
    given = floats, halves, number, integers, floats, floats
    sizes, flags = (number, number), (number, number)
    yield "column sums", norm._column_sums, (integers, longs, *[number] * 4, longs)
    signature = integers, *columns, single, *[number] * 3, halves, halves
    yield "normalize", norm._normalize_rows, signature
    yield "gradient sums", norm._gradient_sums, (*given, *[number] * 3, floats)
    signature = *given, floats, floats, *sizes, floats
    yield "gradient of numbers", norm._gradient_of_numbers, signature
    yield "largest", rounding._largest_of_rows, (integers, *sizes, integers)
    signature = floats, floats, single, noise, *flags, *sizes, shorts, floats
    yield "round_gradient", rounding._quantize_rows, signature
    for kind, array in ((single, floats), (numba_types.float64, doubles)):
        signature = array, array, array, kind, number, number, array
        yield f"ordered products, {kind}", products._ordered_products, signature
    sizes = {"sgd": 3, "adam": 6, "adamax": 5, "shift_adamax": 4, "shift_adamax_code": 4, "bop": 2}
    for kind, array in ((single, floats), (numba_types.float64, doubles)):
        for rule, own in update.RULES[np.dtype(str(kind))].items():
            if capability == (9, 0) or (rule, kind) == ("adam", single):
                constants = numba_types.UniTuple(kind, sizes[rule])
                signature = *[array] * 4, constants, kind, *[number] * 3, halves, longs
                yield f"update, {rule} {kind}", own[1], signature


def unrounded(ptx):
    """Return float operations that a compiler may fuse, or that round differently from NumPy."""
    found = re.findall(r"\b(?:add|sub|mul|div|sqrt|fma|mad)\.\S*f(?:32|64)\b", ptx)
    return [name for name in found if not re.fullmatch(r"(?!fma)\w+\.rn\.f(32|64)", name)]


def instructions(ptx, capability, disassembler):
    """Count each instruction in the machine code of PTX."""
    from cuda.bindings import nvjitlink

    handle = nvjitlink.create(1, [f"-arch=sm_{capability[0]}{capability[1]}"])
    code = ptx.encode() + b"\0"
    nvjitlink.add_data(handle, nvjitlink.InputType.PTX, code, len(code), "kernel")
    nvjitlink.complete(handle)
    linked = bytearray(nvjitlink.get_linked_cubin_size(handle))
    nvjitlink.get_linked_cubin(handle, linked)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(linked)
        file.flush()
        words = [disassembler, "-c", file.name]
        text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    pattern = r"^\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9]*)"
    return collections.Counter(re.findall(pattern, text, re.MULTILINE))


def main():
    from numba import cuda
    from numba.cuda import dispatcher

    from bitnet.kernels.cuda import launch  # makes NumPy 2.5 work with numba-cuda

    assert not launch.SIMULATED
    capability = int(sys.argv[1]), int(sys.argv[2])
    device = types.SimpleNamespace(compute_capability=capability)
    dispatcher.get_current_device = lambda: device
    found = {}
    for name, kernel, signature in (*kernels(capability), *kernels_of_training(capability)):
        ptx, _ = cuda.compile_ptx(kernel.py_func, signature, cc=capability)
        found[name] = instructions(ptx, capability, sys.argv[3])
        found[name]["unrounded"] = len(unrounded(ptx))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
