"""Processors for exported C: Cortex-M and RISC-V in Unicorn, and WebAssembly in wasmtime.

Clang from the package ziglang compiles a header for each of them, without a C library.  A `Core`
gives a machine with the program in its memory, which returns for an input the integers of all
products, the scores and the class; it counts instructions, and estimates the cycles of some cores
from their manuals.  See the extra `embed` for the packages.
"""

import collections
import ctypes
import dataclasses
import functools
import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np

from bitnet.export.c.host import DTYPES, arguments_of

BASE, DATA, STACK, STOP, SIZE = 0x10000, 0x400000, 0xF00000, 0xFF0000, 0x1000000
SCRIPT = f"""SECTIONS {{
. = {BASE}; .text : {{ *(.text*) }} .rodata : {{ *(.rodata*) }}
. = {DATA}; .data : {{ *(.data*) }} .bss : {{ *(.bss*) *(COMMON) }}
/DISCARD/ : {{ *(.ARM.exidx*) *(.ARM.extab*) *(.comment) *(.eh_frame*) }} }}
"""
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
ALONE = "-ffreestanding -fno-sanitize=all -fno-unwind-tables -fno-asynchronous-unwind-tables"
FUNCTIONS = {
    "run_scores": "{n}_scores(&state, {all}); return 0;",
    "run_predict": "return {n}_predict(&state, {inputs});",
    "run_test": "return {n}_self_test(&state);",
}
UNSEEN = -(2**31)  # of an integer that was not computed


@dataclasses.dataclass(frozen=True)
class Header:
    """The text of a header, its prefix, and the elements of the arguments of its functions."""

    text: str
    name: str = "net"
    elements: tuple[int, ...] = ()  # default: of one input and one result, from the macros

    @functools.cached_property
    def arguments(self):
        """The arguments of the scores: (type in C, name, whether it is an input, elements)."""
        elements = self.elements or (self.macro("INPUTS"), self.macro("CLASSES"))
        own = arguments_of(self.text, self.name)
        return [(*argument, n) for argument, n in zip(own, elements, strict=True)]

    def macro(self, name):
        """Return the number in a macro."""
        return int(re.search(rf"#define {self.name.upper()}_{name} (\d+)", self.text)[1])

    def has(self, function):
        """Return whether the header has what a function below calls."""
        called = function.replace("run_test", "run_self_test").removeprefix("run_")
        return f" {self.name}_{called}(" in self.text

    def program(self, see, functions):
        """Return C with all memory, and functions without arguments."""
        upper = self.name.upper()
        names = [(name, is_input) for _, name, is_input, _ in self.arguments]
        words = {"n": self.name, "all": ", ".join(name for name, _ in names)}
        words["inputs"] = ", ".join(name for name, is_input in names if is_input)
        lines = [f"#define {upper}_SEEN"] * see + [f'#include "{self.name}.h"']
        lines += [f"{self.name}_state state;", f"int32_t seen[{upper}_INTEGERS + 1];"]
        lines += [f"{kind} {name}[{max(n, 1)}];" for kind, name, _, n in self.arguments]
        for function in functions:
            body = FUNCTIONS[function].format(**words) if self.has(function) else "return -1;"
            start = "state.seen = seen; " if see else ""
            lines += [f"int {function}(void);", f"int {function}(void) {{ {start}{body} }}"]
        return "\n".join([*lines, ""])


@dataclasses.dataclass(frozen=True)
class Core:
    """A processor: the target of the compiler, and how many cycles its instructions take."""

    name: str
    triple: str
    cpu: str
    model: str = ""  # in Unicorn
    cycles: str = ""  # the table of cycles: "m0", "m0+", "m4" or none
    packages: tuple[str, ...] = ("ziglang", "unicorn", "elftools")

    def missing(self):
        """Return the packages that are not installed."""
        return [own for own in self.packages if importlib.util.find_spec(own) is None]

    def compiled(self, header, folder, flags=("-O2",), see=True, link=True, functions=FUNCTIONS):
        """Return the path of a program with these functions, or of its object."""
        folder = pathlib.Path(folder)
        (folder / f"{header.name}.h").write_text(header.text)
        (folder / "program.c").write_text(header.program(see, functions))
        (folder / "program.ld").write_text(SCRIPT)
        out = folder / f"program.{'elf' if link else 'o'}"
        command = [*zig("cc"), "-target", self.triple, f"-mcpu={self.cpu}", "-std=c99", *flags]
        command += [*STRICT, *ALONE.split(), str(folder / "program.c"), "-o", str(out)]
        if not link:
            command.append("-c")
        elif self.triple.startswith("wasm32"):
            names = [name for _, name, _, _ in header.arguments]
            exported = [*functions, "seen", *names]
            command += ["-nostdlib", "-Wl,--no-entry", *(f"-Wl,--export={own}" for own in exported)]
        else:
            entry = next(iter(functions))
            command += ["-g"]  # keeps the symbols, also with -Os
            command += ["-nostdlib", "-lcompiler_rt", f"-Wl,-T,{folder / 'program.ld'}"]
            command += [f"-Wl,-e,{entry}"]
        checked(command)
        return out

    def machine(self, header, folder, flags=("-O2",), see=True, functions=FUNCTIONS):
        """Return a machine with the program of a header."""
        path = self.compiled(header, folder, flags, see, functions=functions)
        if self.triple.startswith("wasm32"):
            return Wasm(header, path)
        return Emulated(header, path, self)

    def undefined(self, header, folder, flags=("-O2",), functions=FUNCTIONS):
        """Return the names that the program needs from elsewhere, sorted."""
        path = self.compiled(header, folder, flags, False, False, functions)
        _, symbols = read_elf(path)
        return sorted(name for name, symbol in symbols.items() if symbol["st_shndx"] == "SHN_UNDEF")


class Machine:
    """A program in memory: `buffer` gives the array of a name, `call` runs a function."""

    def __init__(self, header):
        self.header = header

    def put(self, inputs):
        """Write the inputs, in the order of the arguments."""
        given = (own for own in self.header.arguments if own[2])
        for (kind, name, _, n), x in zip(given, inputs, strict=True):
            self.buffer(name, kind, n)[:] = np.ascontiguousarray(x, DTYPES[kind]).ravel()

    def __call__(self, *inputs):
        """Return the integers, the results and the class for one input."""
        self.put(inputs)
        seen = self.buffer("seen", "int32_t", self.header.macro("INTEGERS") + 1)
        seen[:] = UNSEEN
        self.call("run_scores")
        results = [own for own in self.header.arguments if not own[2]]
        arrays = [self.buffer(name, kind, n).copy() for kind, name, _, n in results]
        return seen[:-1].copy(), arrays, self.call("run_predict")


class Emulated(Machine):
    """A core of Unicorn."""

    def __init__(self, header, path, core):
        import unicorn
        from unicorn import arm_const, riscv_const

        super().__init__(header)
        self.core, self.is_arm = core, core.triple.startswith("thumb")
        self.memory = np.zeros(SIZE, np.uint8)
        if self.is_arm:
            mode = unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS
            self.uc, names = unicorn.Uc(unicorn.UC_ARCH_ARM, mode), "SP LR R0"
            self.registers = [getattr(arm_const, f"UC_ARM_REG_{own}") for own in names.split()]
            self.uc.ctl_set_cpu_model(getattr(arm_const, f"UC_CPU_ARM_CORTEX_{core.model}"))
        else:
            self.uc = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
            names = "SP RA A0"
            self.registers = [getattr(riscv_const, f"UC_RISCV_REG_{own}") for own in names.split()]
        self.block_hook = unicorn.UC_HOOK_BLOCK
        self.uc.mem_map_ptr(0, SIZE, unicorn.UC_PROT_ALL, self.memory.ctypes.data)
        segments, self.symbols = read_elf(path)
        for at, data in segments:
            self.memory[at : at + len(data)] = np.frombuffer(data, np.uint8)

    def buffer(self, name, kind, n):
        """Return an array in memory."""
        at = self.symbols[name]["st_value"]
        return self.memory[at : at + n * np.dtype(DTYPES[kind]).itemsize].view(DTYPES[kind])

    def call(self, name):
        """Call a function; return its int."""
        stack, link, result = self.registers
        self.uc.reg_write(stack, STACK)
        self.uc.reg_write(link, STOP | self.is_arm)
        self.uc.emu_start(self.symbols[name]["st_value"] | self.is_arm, STOP)
        return ctypes.c_int32(self.uc.reg_read(result)).value

    def counted(self, name):
        """Call a function; return its instructions, cycles (None without a table) and stack."""
        blocks, taken, last = collections.Counter(), 0, None

        def enter(uc, address, size, data):
            nonlocal taken, last
            taken += last is not None and address != last
            blocks[address, size] += 1
            last = address + size

        self.memory[STACK - 0x10000 : STACK] = 0xA5
        hook = self.uc.hook_add(self.block_hook, enter)
        self.call(name)
        self.uc.hook_del(hook)
        taken += 1  # the return
        own, refill = CYCLES.get(self.core.cycles, (None, 0))
        total, cycles = 0, refill * taken
        for (address, size), times in blocks.items():
            for first, second in self._instructions(address, size):
                total += times
                cycles += times * own(first, second) if own else 0
        used = np.flatnonzero(self.memory[STACK - 0x10000 : STACK] != 0xA5)
        return {
            "instructions": total,
            "cycles": cycles if own else None,
            "stack": 0x10000 - int(used[0]) if len(used) else 0,
        }

    def _instructions(self, address, size):
        """Yield the two halves of each instruction in a block, the second None if it is short."""
        halves = self.memory[address : address + size].view("<u2").tolist()
        while halves:
            first = halves.pop(0)
            is_long = first >> 11 in (0b11101, 0b11110, 0b11111) if self.is_arm else first & 3 == 3
            yield first, halves.pop(0) if is_long else None


class Wasm(Machine):
    """A module of WebAssembly."""

    def __init__(self, header, path):
        import wasmtime

        super().__init__(header)
        self.store = wasmtime.Store()
        module = wasmtime.Module.from_file(self.store.engine, str(path))
        assert not module.imports, [own.name for own in module.imports]
        self.exports = wasmtime.Instance(self.store, module, []).exports(self.store)

    def buffer(self, name, kind, n):
        """Return an array in memory."""
        at, memory = self.exports[name].value(self.store), self.exports["memory"]
        whole = np.ctypeslib.as_array(memory.data_ptr(self.store), (memory.data_len(self.store),))
        return whole[at : at + n * np.dtype(DTYPES[kind]).itemsize].view(DTYPES[kind])

    def call(self, name):
        """Call a function; return its int."""
        return self.exports[name](self.store)


def m0_cycles(first, second):
    """Return the cycles of an instruction of a Cortex-M0 or M0+, without those of its branch."""
    if second is not None:
        return 2  # BL
    if first >> 12 in (0b0101, 0b0110, 0b0111, 0b1000, 0b1001) or first >> 11 == 0b01001:
        return 2  # a load or a store
    if first >> 12 == 0b1100 or first & 0xF600 == 0xB400:  # several, PUSH and POP
        registers = (first & 0x1FF if first >> 12 == 0b1011 else first & 0xFF).bit_count()
        return 1 + registers + (first & 0xFF00 == 0xBD00)
    return 1


def m4_cycles(first, second):
    """Return the cycles of an instruction of a Cortex-M4, without those of its branch."""
    if second is None:
        return m0_cycles(first, None) - (first & 0xFF00 == 0xBD00)
    if first & 0xFE00 == 0xF800:
        return 2  # a load or a store
    if first & 0xFE40 == 0xE800:
        return 1 + second.bit_count()  # several
    if first & 0xFE40 == 0xE840:
        return 3  # two, or a jump by a table
    if first & 0xFFD0 == 0xFB90:
        return 7  # a division: 2 to 12
    if first & 0xFE00 == 0xEC00 and first & 0xFFE0 != 0xEC40:  # floats: loads and stores
        is_one = first & 0x0120 == 0x0100
        return (2 + (second >> 8 & 1)) if is_one else 1 + (second & 0xFF)
    if first & 0xFFB0 == 0xEE80 and second & 0x0F40 == 0x0A00:
        return 14  # a division of floats
    return 1


# by the name of a table: of an instruction, and how many more a taken branch takes
CYCLES = {"m0": (m0_cycles, 2), "m0+": (m0_cycles, 1), "m4": (m4_cycles, 2)}


def read_elf(path):
    """Return the segments of an ELF file, (address, bytes), and its symbols by name."""
    from elftools.elf.elffile import ELFFile

    with open(path, "rb") as file:
        elf = ELFFile(file)
        parts = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD" and s["p_filesz"]]
        segments = [(own["p_paddr"], own.data()) for own in parts]
        symbols = {own.name: own.entry for own in elf.get_section_by_name(".symtab").iter_symbols()}
    return segments, {name: own for name, own in symbols.items() if name}


def sections(path):
    """Return the bytes of code and of constants in an ELF file."""
    from elftools.elf.elffile import ELFFile

    found = {"text": 0, "rodata": 0}
    with open(path, "rb") as file:
        for section in ELFFile(file).iter_sections():
            for kind in found:
                found[kind] += section["sh_size"] * section.name.startswith(f".{kind}")
    return found


def zig(*command):
    """Return a command of the package ziglang."""
    return [sys.executable, "-m", "ziglang", *command]


def checked(command):
    """Run a compiler; raise what it says if it fails."""
    cache = str(pathlib.Path(tempfile.gettempdir()) / "bitnet-zig")
    own = {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache} | os.environ
    done = subprocess.run(command, capture_output=True, text=True, env=own)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr[:4000]}")


ARM, HARD = "thumb-freestanding-eabi", "thumb-freestanding-eabihf"
WASM = "ziglang", "wasmtime"
CORES = {
    core.name: core
    for core in (
        Core("cortex-m0", ARM, "cortex_m0", "M0", "m0"),
        Core("cortex-m0+", ARM, "cortex_m0plus", "M0", "m0+"),
        Core("cortex-m4", ARM, "cortex_m4", "M4", "m4"),
        Core("cortex-m4f", HARD, "cortex_m4+vfp4d16sp", "M4", "m4"),
        Core("cortex-m33", HARD, "cortex_m33+fp_armv8d16sp", "M33"),
        Core("rv32", "riscv32-freestanding-none", "generic_rv32+m+c"),
        Core("wasm32", "wasm32-freestanding", "generic", packages=WASM),
    )
}
