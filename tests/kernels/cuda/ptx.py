"""Run the PTX that Numba generates for a kernel on the threads of `warps`, without a GPU.

Each instruction becomes a Python statement, as PTX's manual defines it.  So the code for the GPU
itself is tested: the types that Numba inferred, the inline assembly, the addresses in shared
memory.  Registers hold unsigned integers, booleans or float32.  A misaligned address is an error,
as on a GPU.  Only the instructions that the kernels use are implemented.
"""

import re
import struct
import threading

import warps

SHARED, GLOBAL = 1 << 20, 1 << 40  # where the two memories begin
FORMATS = {"u8": "B", "s8": "b", "b8": "B", "u16": "H", "s16": "h", "f32": "f", "f64": "d"}
FORMATS |= {"u32": "I", "b32": "I", "s32": "i", "u64": "Q", "b64": "Q", "s64": "q"}
FLOATS = {"f32": "single", "f64": "numpy.float64"}
ATOMIC = threading.Lock()
COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
PLAIN = {"add": "+", "sub": "-", "and": "&", "or": "|", "xor": "^"}


def bits_of(kind):
    """Return the width of a type in bits."""
    return int(kind[1:])


def signed(value, bits):
    """Interpret bits as a signed integer."""
    value &= (1 << bits) - 1
    return value - (value >> (bits - 1) << bits)


def quotient(a, b):
    """Return quotient, rounded to zero, and remainder, as a processor divides."""
    found = abs(a) // abs(b)
    found = found if (a < 0) == (b < 0) else -found
    return found, a - found * b


class Memory:
    """The bytes of the global memory, or of the shared memory of a block."""

    def __init__(self, begin, size):
        self.begin, self.bytes = begin, bytearray(b"\xa5" * size)

    def load(self, address, kind, count=1):
        at = self._place(address, kind, count)
        return struct.unpack_from(f"<{count}{FORMATS[kind]}", self.bytes, at)

    def store(self, address, kind, *values):
        at = self._place(address, kind, len(values))
        if kind[0] in "ub":
            values = [value & ((1 << bits_of(kind)) - 1) for value in values]
        elif kind[0] == "s":
            values = [signed(value, bits_of(kind)) for value in values]
        struct.pack_into(f"<{len(values)}{FORMATS[kind]}", self.bytes, at, *values)

    def _place(self, address, kind, count):
        size, at = bits_of(kind) // 8 * count, address - self.begin
        assert address % size == 0, f"{size} bytes at {address:#x}"
        assert 0 <= at <= len(self.bytes) - size, f"{size} bytes at {address:#x} are outside"
        return at


class Lane:
    """The services of a thread: memory, the other lanes, and its position."""

    def __init__(self, memory, shared, threads, blocks):
        self.memory, self.shared, self.threads, self.blocks = memory, shared, threads, blocks
        thread = threading.current_thread()
        self.thread, self.begun, self.groups = thread, [], []
        self.special = {"%tid": thread.threadIdx, "%ctaid": thread.blockIdx}
        self.special |= {"%ntid": threads, "%nctaid": blocks}

    def of(self, address):
        return self.memory if address >= GLOBAL else self.shared

    def load(self, address, kind, count=1):
        return self.of(address).load(address, kind, count)

    def store(self, address, kind, *values):
        self.of(address).store(address, kind, *values)

    def atom(self, name, address, kind, value):
        with ATOMIC:
            before = self.load(address, kind)[0]
            self.store(address, kind, {"add": before + value, "max": max(before, value)}[name])
        return before

    def meet(self, value):
        _, lane, warp = warps.current()
        return lane, warp.of(lane, value)

    def ballot(self, bit):
        return sum(bool(own) << i for i, own in enumerate(self.meet(bit)[1]))

    def butterfly(self, value, lanes):
        lane, values = self.meet(value)
        return values[lane ^ lanes]

    def copy(self, to, begin, size):
        self.of(to)._place(to, "u32", 4)
        if size:
            self.of(begin)._place(begin, "u32", 4)
        self.begun.append((to, begin, size))

    def commit(self):
        self.groups.append(self.begun)
        self.begun = []

    def wait(self, groups):
        while len(self.groups) > groups:
            for to, begin, size in self.groups.pop(0):
                values = self.load(begin, "u32", 4) if size else (0, 0, 0, 0)
                self.store(to, "u32", *values)

    def ldmatrix(self, address):
        lane, rows = self.meet(address)
        group, quad = divmod(lane, 4)
        return [self.load(rows[8 * matrix + group], "u32", 4)[quad] for matrix in range(4)]

    def mma(self, *registers):
        """Multiply A (a0, a1, a2, a3) with B (b0, b1) and add C (four counts)."""
        lane, lanes = self.meet(registers[:6])
        (group, quad), sums = divmod(lane, 4), list(registers[6:])
        for below in range(2):
            for beside in range(2):
                for other in range(4):
                    a, b = lanes[4 * group + other], lanes[4 * (2 * quad + beside) + other]
                    common = (a[below] & b[4]).bit_count() + (a[2 + below] & b[5]).bit_count()
                    sums[2 * below + beside] += common
        return [count & 0xFFFFFFFF for count in sums]


class Translator:
    """A translator of the PTX of one kernel to a Python function."""

    def __init__(self, ptx):
        self.ptx, head = ptx, ptx[ptx.index(".entry") :]
        self.params = re.findall(r"\.param \.\w+(?: \.\w+)* (\w+?)\b", head[: head.index("{")])
        self.shared, at = {}, SHARED
        for align, name, size in re.findall(r"\.shared \.align (\d+) \.b8 (\w+)\[(\d+)\]", ptx):
            at = -(-at // int(align)) * int(align) + int(align)  # no more alignment than declared
            self.shared[name] = at
            at += int(size)
        self.shared_size = at - SHARED + 16
        body = re.sub(r"//.*", "", head[head.index("{") + 1 : head.rindex("}")])
        self.blocks, self.labels = [[]], {}
        for line in body.split("\n"):
            if match := re.match(r"\s*(\$?\w+):", line):
                self._open()
                self.labels[match[1]] = len(self.blocks) - 1
                continue
            for text in line.strip(" \t{}").split(";"):
                if text.strip(" \t{}") and not text.strip().startswith("."):
                    self._add(text.strip(" \t"))

    def _open(self):
        if self.blocks[-1]:
            self.blocks.append([])

    def _add(self, text):
        self.blocks[-1].append(text)
        if re.search(r"\b(bra|ret)\b", text):
            self._open()

    def source(self):
        lines = ["def thread(e, parameters):", " step = 0", " while True:"]
        for number, block in enumerate(self.blocks):
            lines += [f"  if step == {number}:", f"   step = {number + 1}"]
            for text in block:
                guard, text = re.fullmatch(r"(?:@(!?%\w+)\s+)?(.*)", text).groups()
                statement = self.statement(text)
                if guard:
                    register = self.value(guard.lstrip("!"))
                    test = f"not {register}" if guard[0] == "!" else register
                    statement = f"if {test}: {statement}"
                lines.append(f"   {statement}")
        return "\n".join(lines)

    def value(self, text, kind=None):
        """Translate an operand: a register, a number, a special register, or a name."""
        text = text.strip()
        if match := re.fullmatch(r"(%n?(?:tid|ctaid))\.([xyz])", text):
            return f"e.special['{match[1]}'].{match[2]}"
        if text.startswith("%"):
            return text[1:]
        if text in self.shared:
            return str(self.shared[text])
        if text[:2] in ("0f", "0d"):
            kind = ">f" if text[1] == "f" else ">d"
            return f"float('{struct.unpack(kind, bytes.fromhex(text[2:]))[0]}')"
        if re.fullmatch(r"-?\d+", text):
            return str(int(text) & 0xFFFFFFFFFFFFFFFF) if kind is None else f"({text})"
        return text  # a name in inline assembly

    def typed(self, text, kind):
        """Translate an operand to a number of its type."""
        value = self.value(text, kind)
        if kind == "pred" or kind[0] == "f":
            return value
        bits = bits_of(kind)
        mask = f"({value} & {(1 << bits) - 1:#x})"
        return f"signed({value}, {bits})" if kind[0] == "s" else mask

    def address(self, text):
        base, _, offset = text.strip(" []").partition("+")
        return f"({self.value(base)} + {offset or 0})"

    def statement(self, text):
        name, _, rest = text.partition(" ")
        operation, *kinds = name.split(".")
        operands = re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+", rest)
        kind, last = (kinds or [""])[-1], operands[-1] if operands else ""
        method = getattr(self, f"ptx_{operation}", None)
        if method is None and operation not in PLAIN:
            raise NotImplementedError(text)
        to = self.value(operands[0]) if operands and operands[0][0] not in "{[" else None
        if method:
            return method(to, operands, kinds, kind, last)
        a, b = (self.typed(operand, kind) for operand in operands[1:3])
        if kind == "pred":
            return f"{to} = bool({a} {PLAIN[operation]} {b})"
        if kind[0] == "f":
            rounded = (
                "single" if kind == "f32" else ""
            )  # float64 rounds to a type that holds both exactly
            return f"{to} = float({rounded}({a} {PLAIN[operation]} {b}))"
        return self._kept(to, f"{a} {PLAIN[operation]} {b}", kind)

    def _kept(self, to, value, kind):
        """Store an integer result in a register of its width."""
        return f"{to} = ({value}) & {(1 << bits_of(kind)) - 1:#x}"

    def ptx_mov(self, to, operands, kinds, kind, last):
        if kind == "pred":
            last = {"1": "True", "0": "False", "-1": "True"}.get(last, self.value(last))
            return f"{to} = {last}"
        floats = [operand.startswith("%f") for operand in (operands[0], last)]
        if kind[0] == "b" and floats[0] != floats[1]:  # the same bits in another register
            formats = FORMATS[kind], FORMATS[kind.replace("b", "f")]
            to_format, of_format = formats[floats[0]], formats[floats[1]]
            return f"{to} = unpack('{to_format}', pack('{of_format}', {self.value(last)}))[0]"
        value = self.value(last)
        return f"{to} = {value}" if kind[0] == "f" else self._kept(to, value, kind)

    def ptx_cvta(self, to, operands, kinds, kind, last):
        return f"{to} = {self.value(last)}"

    def ptx_cvt(self, to, operands, kinds, kind, last):
        value, target = self.typed(last, kind), kinds[-2]
        if target[0] != "f":
            assert (kind[0] == "f") == (kinds[0] == "rzi")
            return self._kept(to, f"int({value})", target)
        return f"{to} = float({'single' if target == 'f32' else ''}({value}))"

    def ptx_ld(self, to, operands, kinds, kind, last):
        if kinds[0] == "param":
            name = last.strip("[]")
            return f"{to} = parameters[{self.params.index(name)}]"
        load = f"e.load({self.address(last)}, '{kind}')[0]"
        if kind[0] == "f":
            return f"{to} = {load}"
        return self._kept(to, load, "b64" if "rd" in operands[0] else "b32")

    def ptx_st(self, to, operands, kinds, kind, last):
        values = [self.value(v) for v in last.strip("{}").split(",")]
        return f"e.store({self.address(operands[0])}, '{kind}', {', '.join(values)})"

    def _float(self, to, name, operands, kinds):
        """Translate a float operation that NumPy rounds to the nearest."""
        assert kinds[0] == "rn", "only this is the same everywhere"
        numbers = ", ".join(f"{FLOATS[kinds[-1]]}({self.value(own)})" for own in operands[1:])
        return f"{to} = float(numpy.{name}({numbers}))"

    def ptx_sqrt(self, to, operands, kinds, kind, last):
        return self._float(to, "sqrt", operands, kinds)

    def ptx_mul(self, to, operands, kinds, kind, last):
        if kind[0] == "f":
            return self._float(to, "multiply", operands, kinds)
        a, b = (self.typed(operand, kind) for operand in operands[1:3])
        wide = {"wide": 2, "lo": 1}[kinds[0]]
        return self._kept(to, f"{a} * {b}", f"b{bits_of(kind) * wide}")

    def ptx_mad(self, to, operands, kinds, kind, last):
        a, b, c = (self.typed(operand, kind) for operand in operands[1:4])
        assert kinds[0] == "lo"
        return self._kept(to, f"{a} * {b} + {c}", kind)

    def ptx_shl(self, to, operands, kinds, kind, last):
        return self._kept(to, f"{self.typed(operands[1], kind)} << {self.value(last)}", kind)

    def ptx_shr(self, to, operands, kinds, kind, last):
        return self._kept(to, f"{self.typed(operands[1], kind)} >> {self.value(last)}", kind)

    def ptx_not(self, to, operands, kinds, kind, last):
        if kind == "pred":
            return f"{to} = not {self.value(last)}"
        return self._kept(to, f"~{self.value(last)}", kind)

    def ptx_neg(self, to, operands, kinds, kind, last):
        value = f"-{self.typed(last, kind)}"
        return f"{to} = {value}" if kind[0] == "f" else self._kept(to, value, kind)

    def ptx_abs(self, to, operands, kinds, kind, last):
        return f"{to} = abs({self.typed(last, kind)})"

    def ptx_min(self, to, operands, kinds, kind, last):
        return self._kept(to, f"min({self._pair(operands, kind)})", kind)

    def ptx_max(self, to, operands, kinds, kind, last):
        return self._kept(to, f"max({self._pair(operands, kind)})", kind)

    def ptx_div(self, to, operands, kinds, kind, last):
        if kind[0] == "f":
            return self._float(to, "divide", operands, kinds)
        return self._kept(to, f"quotient({self._pair(operands, kind)})[0]", kind)

    def ptx_rem(self, to, operands, kinds, kind, last):
        return self._kept(to, f"quotient({self._pair(operands, kind)})[1]", kind)

    def _pair(self, operands, kind):
        return ", ".join(self.typed(operand, kind) for operand in operands[1:3])

    def ptx_setp(self, to, operands, kinds, kind, last):
        a, b = (self.typed(operand, kind) for operand in operands[1:3])
        name = kinds[0]
        if kind[0] != "f":
            return f"{to} = {a} {COMPARE[name]} {b}"
        ordered = f"{a} == {a} and {b} == {b}"  # neither is NaN
        if name in ("num", "nan"):
            return f"{to} = {'not ' * (name == 'nan')}({ordered})"
        if name in COMPARE:
            return f"{to} = {ordered} and {a} {COMPARE[name]} {b}"
        return f"{to} = not ({ordered}) or {a} {COMPARE[name[:-1]]} {b}"

    def ptx_selp(self, to, operands, kinds, kind, last):
        a, b = (self.typed(operand, kind) for operand in operands[1:3])
        value = f"{a} if {self.value(last)} else {b}"
        return f"{to} = {value}" if kind[0] == "f" else self._kept(to, value, kind)

    def ptx_popc(self, to, operands, kinds, kind, last):
        return f"{to} = {self.typed(last, kind)}.bit_count()"

    def ptx_bfi(self, to, operands, kinds, kind, last):
        a, b, at, length = (self.value(operand) for operand in operands[1:5])
        mask = f"((1 << {length}) - 1)"
        return self._kept(to, f"{b} & ~({mask} << {at}) | ({a} & {mask}) << {at}", kind)

    def ptx_vote(self, to, operands, kinds, kind, last):
        return f"{to} = e.ballot({self.value(operands[1])})"

    def ptx_shfl(self, to, operands, kinds, kind, last):
        to = self.value(operands[0].partition("|")[0])
        return f"{to} = e.butterfly({self.value(operands[1])}, {self.value(operands[2])})"

    def ptx_atom(self, to, operands, kinds, kind, last):
        assert kinds[0] == "global"
        value = self.typed(last, kind)
        return f"{to} = e.atom('{kinds[1]}', {self.address(operands[1])}, '{kind}', {value})"

    def ptx_bar(self, to, operands, kinds, kind, last):
        return "e.thread.syncthreads()"

    def ptx_bra(self, to, operands, kinds, kind, last):
        return f"step = {self.labels[last]}; continue"

    def ptx_ret(self, to, operands, kinds, kind, last):
        return "return"

    def ptx_ldmatrix(self, to, operands, kinds, kind, last):
        registers = self._registers(operands[0])
        return f"{', '.join(registers)} = e.ldmatrix({self.address(last)})"

    def ptx_mma(self, to, operands, kinds, kind, last):
        given = [register for own in operands[1:] for register in self._registers(own)]
        made = ", ".join(self._registers(operands[0]))
        return f"{made} = e.mma({', '.join(given)})"

    def _registers(self, text):
        return [self.value(register) for register in text.strip("{}").split(",")]

    def ptx_cp(self, to, operands, kinds, kind, last):
        if kinds[1] == "commit_group":
            return "e.commit()"
        if kinds[1] == "wait_group":
            return f"e.wait({last})"
        places = self.address(operands[0]), self.address(operands[1])
        assert operands[2] == "16"
        return f"e.copy({', '.join(places)}, {self.value(last)})"
