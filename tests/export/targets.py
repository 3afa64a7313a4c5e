"""Compilers and processors for exported C: each runs a header and returns all that it computes.

A target compiles a header and gives, for one input, the integers of all products, the scores and
the class.  The host's compilers make a library for ctypes, Cortex-M and RISC-V code runs in
Unicorn, which counts instructions, and WebAssembly in wasmtime.
"""

import ctypes
import dataclasses
import functools
import importlib.util
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
KINDS = {"uint8_t": np.uint8, "float": np.float32, "int32_t": np.int32, "uint32_t": np.uint32}
BASE, DATA, STACK, STOP, SIZE = 0x10000, 0x800000, 0xF00000, 0xFF0000, 0x1000000
SCRIPT = f"""ENTRY(_start)
SECTIONS {{ . = {BASE}; .text : {{ *(.text*) }} .rodata : {{ *(.rodata*) }} . = {DATA};
.data : {{ *(.data*) }} .bss : {{ *(.bss*) *(COMMON) }}
/DISCARD/ : {{ *(.ARM.exidx*) *(.comment) }} }}
"""


@dataclasses.dataclass(frozen=True)
class Header:
    """The text of a header, and the arguments of its functions."""

    text: str
    name: str = "net"

    @functools.cached_property
    def arguments(self):
        """The arguments of `scores` after the state: (kind, name) of inputs and of results."""
        found = re.search(rf"{self.name}_scores\({self.name}_state \*state, ([^)]*)\)", self.text)
        parts = [re.fullmatch(r"(const )?(\w+) \*(\w+)", own) for own in found[1].split(", ")]
        return [(own[2], own[3], bool(own[1])) for own in parts]

    def macro(self, name):
        """Return the number in a macro."""
        return int(re.search(rf"#define {self.name.upper()}_{name} (\d+)", self.text)[1])

    def source(self, sizes, see):
        """Return C with the buffers, and functions without arguments."""
        n, upper = self.name, self.name.upper()
        names = ", ".join(name for _, name, _ in self.arguments)
        lines = [f"#define {upper}_SEEN"] * see + [f'#include "{n}.h"', f"{n}_state state;"]
        for (kind, name, _), size in zip(self.arguments, sizes, strict=True):
            lines.append(f"{kind} {name}[{max(size, 1)}];")
        lines += [f"int32_t seen[{upper}_INTEGERS + 1];"] if see else []
        start = "state.seen = seen; " if see else ""
        inputs = ", ".join(name for _, name, given in self.arguments if given)
        predicts = f"{n}_predict(&state, {inputs})" if f" {n}_predict(" in self.text else "-1"
        tests = f"{n}_self_test(&state)" if f" {n}_self_test(" in self.text else "0"
        bodies = {"run_scores": f"{n}_scores(&state, {names}); return 0;"}
        bodies |= {"run_predict": f"return {predicts};", "run_test": f"return {tests};"}
        lines += ["#ifdef __cplusplus", 'extern "C" {', "#endif"]
        for function, body in bodies.items():
            lines += [f"int {function}(void);", f"int {function}(void) {{ {start}{body} }}"]
        lines += ["#ifdef __cplusplus", "}", "#endif"]
        return "\n".join([*lines, ""])


class Host:
    """A compiler of this machine."""

    def __init__(self, name, command, flags, needs):
        self.name, self.command, self.flags, self.needs = name, command, flags, needs

    def missing(self):
        """Return why the target cannot run, or None."""
        return missing(self.needs)

    def run(self, header, sizes, folder):
        """Compile; return a function from inputs to the integers, scores and class."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=folder))  # a library is loaded once per path
        suffix = "cpp" if "++" in self.name else "c"
        source = folder / f"{self.name}.{suffix}"
        source.write_text(header.source(sizes, True))
        (folder / f"{header.name}.h").write_text(header.text)
        out = source.with_suffix(f".{suffix}.so")
        compiled = source.with_suffix(f".{suffix}.o")
        command = [*self.command, *self.flags, *STRICT, "-fPIC", "-c", str(source)]
        checked([*command, "-o", str(compiled)])
        checked(["gcc", "-shared", str(compiled), "-o", str(out)])
        library = ctypes.CDLL(str(out))

        def buffer(kind, name, size):
            own = (np.ctypeslib.as_ctypes_type(KINDS[kind]) * size).in_dll(library, name)
            return np.ctypeslib.as_array(own)

        return Found(header, sizes, buffer, lambda name: getattr(library, name)())


class Found:
    """A compiled header that runs."""

    def __init__(self, header, sizes, buffer, call):
        self.header, self.sizes, self.buffer, self.call = header, sizes, buffer, call

    def __call__(self, *inputs):
        """Return the integers, the results and the class for one input."""
        given, results = iter(inputs), []
        for (kind, name, is_input), size in zip(self.header.arguments, self.sizes, strict=True):
            own = self.buffer(kind, name, size)
            if is_input:
                own[:] = np.ascontiguousarray(next(given)).reshape(-1).view(KINDS[kind])
            else:
                results.append(own)
        seen = self.buffer("int32_t", "seen", self.header.macro("INTEGERS") + 1)
        self.call("run_scores")
        integers = seen[:-1].copy()
        results = [own.copy() for own in results]
        return integers, results, self.call("run_predict")

    def self_test(self):
        """Return the result of the self test."""
        return self.call("run_test")


class Emulated:
    """A processor in Unicorn, or WebAssembly in wasmtime; clang from ziglang compiles."""

    def __init__(self, name, triple, cpu, flags=("-O2",)):
        self.name, self.triple, self.cpu, self.flags = name, triple, cpu, flags
        self.model = cpu.split("+")[0].split("_")[-1].upper()  # M0, M4 or M33
        self.is_wasm = triple.startswith("wasm32")
        self.needs = ("ziglang", "wasmtime") if self.is_wasm else ("ziglang", "unicorn", "elftools")

    def missing(self):
        """Return why the target cannot run, or None."""
        return missing(self.needs)

    def compiled(self, header, sizes, folder, see=True, link=True):
        """Return the path of an executable, or of an object."""
        source = folder / f"{self.name}{int(see)}.c"
        start = (
            "void _start(void);\nvoid _start(void) { run_scores(); run_predict(); run_test(); }\n"
        )
        source.write_text(header.source(sizes, see) + ("" if self.is_wasm else start))
        (folder / f"{header.name}.h").write_text(header.text)
        (folder / "link.ld").write_text(SCRIPT)
        out = source.with_suffix(".elf" if link else ".o")
        command = [*zig("cc"), "-target", self.triple, f"-mcpu={self.cpu}", *self.flags, *STRICT]
        command += ["-std=c99", "-ffreestanding", "-fno-sanitize=all", str(source), "-o", str(out)]
        if not link:
            command.append("-c")
        elif self.is_wasm:
            names = [name for _, name, _ in header.arguments] + ["seen"] * see
            exported = ["run_scores", "run_predict", "run_test", *names]
            command += ["-nostdlib", "-lcompiler_rt", "-Wl,--no-entry"]
            command += [f"-Wl,--export={name}" for name in exported]
        else:
            command += ["-nostdlib", "-lcompiler_rt", f"-Wl,-T,{folder / 'link.ld'}"]
        checked(command)
        return out

    def run(self, header, sizes, folder):
        """Compile; return a function from inputs to the integers, scores and class."""
        path = self.compiled(header, sizes, folder)
        machine = Wasm(path) if self.is_wasm else Machine(path, self.triple, self.model)
        return Found(header, sizes, machine.buffer, machine.call)

    def instructions(self, header, sizes, folder, inputs):
        """Return the instructions of one prediction, counted without the integers seen."""
        machine = Machine(self.compiled(header, sizes, folder, see=False), self.triple, self.model)
        given = iter(inputs)
        for (kind, name, is_input), size in zip(header.arguments, sizes, strict=True):
            if is_input:
                own = np.ascontiguousarray(next(given)).reshape(-1).view(KINDS[kind])
                machine.buffer(kind, name, size)[:] = own
        machine.counted = {}
        machine.call("run_predict", count=True)
        return sum(machine.counted.values()), machine

    def sections(self, header, sizes, folder):
        """Return the bytes of code and constants, without the compiler's library."""
        from elftools.elf.elffile import ELFFile

        path = self.compiled(header, sizes, folder, see=False, link=False)
        found = {"text": 0, "rodata": 0}
        with path.open("rb") as file:
            for section in ELFFile(file).iter_sections():
                for kind in found:
                    found[kind] += section["sh_size"] * section.name.startswith(f".{kind}")
        return found


class Machine:
    """A processor with the code and data of an ELF file."""

    def __init__(self, path, triple, model):
        import unicorn
        from elftools.elf.elffile import ELFFile
        from unicorn import arm_const, riscv_const

        self.is_arm, self.counted = triple.startswith("thumb"), {}
        if self.is_arm:
            modes = unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS
            self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM, modes)
            self.uc.ctl_set_cpu_model(getattr(arm_const, f"UC_CPU_ARM_CORTEX_{model}"))
            self.registers = (
                arm_const.UC_ARM_REG_SP,
                arm_const.UC_ARM_REG_LR,
                arm_const.UC_ARM_REG_R0,
            )
        else:
            self.uc = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
            own = riscv_const
            self.registers = own.UC_RISCV_REG_SP, own.UC_RISCV_REG_RA, own.UC_RISCV_REG_A0
        self.unicorn = unicorn
        self.memory = (ctypes.c_uint8 * SIZE)()
        self.uc.mem_map_ptr(0, SIZE, unicorn.UC_PROT_ALL, ctypes.addressof(self.memory))
        self.symbols = {}
        with path.open("rb") as file:
            elf = ELFFile(io.BytesIO(file.read()))
        for segment in elf.iter_segments():
            if segment["p_type"] == "PT_LOAD" and segment["p_filesz"]:
                self.uc.mem_write(segment["p_vaddr"], segment.data())
        for symbol in elf.get_section_by_name(".symtab").iter_symbols():
            self.symbols[symbol.name] = symbol["st_value"]

    def buffer(self, kind, name, size):
        """Return the array of a symbol."""
        at = self.symbols[name]
        n_bytes = size * np.dtype(KINDS[kind]).itemsize
        return np.frombuffer(self.memory, np.uint8)[at : at + n_bytes].view(KINDS[kind])

    def call(self, name, count=False):
        """Call a function without arguments; return its int."""
        stack, link, result = self.registers
        self.uc.reg_write(stack, STACK)
        self.uc.reg_write(link, STOP | int(self.is_arm))
        hook = self.uc.hook_add(self.unicorn.UC_HOOK_CODE, self._count) if count else None
        self.uc.emu_start(self.symbols[name] | int(self.is_arm), STOP)
        if hook is not None:
            self.uc.hook_del(hook)
        return ctypes.c_int32(self.uc.reg_read(result)).value

    def _count(self, uc, address, size, data):
        self.counted[address] = self.counted.get(address, 0) + 1


class Wasm:
    """A module of WebAssembly with its memory."""

    def __init__(self, path):
        import wasmtime

        self.store = wasmtime.Store()
        module = wasmtime.Module.from_file(self.store.engine, str(path))
        self.exports = wasmtime.Instance(self.store, module, []).exports(self.store)

    def buffer(self, kind, name, size):
        """Return the array of a symbol."""
        at = self.exports[name].value(self.store)
        whole = self.exports["memory"].data_ptr(self.store)
        n_bytes = self.exports["memory"].data_len(self.store)
        memory = np.ctypeslib.as_array(whole, (n_bytes,))
        return memory[at : at + size * np.dtype(KINDS[kind]).itemsize].view(KINDS[kind])

    def call(self, name):
        """Call a function without arguments; return its int."""
        return self.exports[name](self.store)


def zig(*command):
    """Return the command of the compiler in the package ziglang."""
    return [sys.executable, "-m", "ziglang", *command]


def missing(needs):
    """Return which program or package is missing, or None."""
    for name in needs:
        if importlib.util.find_spec(name) is None and shutil.which(name) is None:
            return f"{name} is not installed (extra embed, or a package of the system)"
    return None


def checked(command):
    """Run a compiler, and raise what it says if it fails."""
    cache = str(pathlib.Path(tempfile.gettempdir()) / "bitnet-zig")
    own = os.environ | {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
    done = subprocess.run(command, capture_output=True, text=True, env=own)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr[:4000]}")


C99, CPP = "-std=c99", "-std=c++11"
PLAIN = ["-fno-sanitize=all", "-fno-stack-protector", "-ffreestanding"]
ARM, HARD = "thumb-freestanding-eabi", "thumb-freestanding-eabihf"
TARGETS = {
    "gcc-O0": Host("gcc-O0", ["gcc"], [C99, "-O0"], ["gcc"]),
    "gcc-O2": Host("gcc-O2", ["gcc"], [C99, "-O2"], ["gcc"]),
    "gcc-O3-native": Host("gcc-O3", ["gcc"], ["-std=gnu11", "-O3", "-march=native"], ["gcc"]),
    "g++": Host("g++", ["g++"], [CPP, "-O2"], ["g++"]),
    "clang-O0": Host("clang-O0", zig("cc"), [C99, *PLAIN, "-O0"], ["ziglang", "gcc"]),
    "clang-O3": Host("clang-O3", zig("cc"), [C99, *PLAIN, "-O3"], ["ziglang", "gcc"]),
    "clang++": Host("clang++", zig("cc"), ["-xc++", CPP, *PLAIN, "-O2"], ["ziglang", "gcc"]),
    "cortex-m0": Emulated("cortex-m0", ARM, "cortex_m0"),
    "cortex-m4": Emulated("cortex-m4", ARM, "cortex_m4"),
    "cortex-m4f": Emulated("cortex-m4f", HARD, "cortex_m4+vfp4d16sp"),
    "cortex-m33": Emulated("cortex-m33", HARD, "cortex_m33+fp_armv8d16sp"),
    "rv32": Emulated("rv32", "riscv32-freestanding-none", "generic_rv32+m+c"),
    "wasm32": Emulated("wasm32", "wasm32-freestanding", "generic"),
}
