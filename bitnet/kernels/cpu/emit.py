"""A notation for vector registers, used by the innermost loops of the kernels.

Numba compiles loops, but these kernels must assign values to registers.  A `Value` is one
register, a number or a vector of numbers of one type; `+`, `^`, `>>`, ... on Values emit one
instruction each into the function that Numba compiles.  Types are written as in LLVM: "i64" is
a 64-bit integer, "<8 x i64>" a vector of eight.
"""

import functools
import inspect
import re

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic


def type_of(text):
    """Return the LLVM type of "i64", "float", "<8 x i64>", ..."""
    if match := re.fullmatch(r"<(\d+) x (\w+)>", text):
        return ir.VectorType(type_of(match[2]), int(match[1]))
    others = {"float": ir.FloatType(), "double": ir.DoubleType(), "void": ir.VoidType()}
    return others.get(text) or ir.IntType(int(text.removeprefix("i")))


class Value:
    """A register: an LLVM value whose Python operators emit instructions."""

    def __init__(self, builder, ir):
        self.builder, self.ir = builder, ir

    def _operand(self, other):
        """Return the other operand as an LLVM value; Python numbers become constants."""
        if isinstance(other, Value):
            return other.ir
        kind = self.ir.type
        if isinstance(kind, ir.VectorType):
            values = other if isinstance(other, (list, tuple)) else [other] * kind.count
            return ir.Constant(kind, list(values))
        return ir.Constant(kind, other)

    def _emit(self, integer, other, floating=None):
        """Emit the instruction of this name for integers, or the one for floats."""
        kind = getattr(self.ir.type, "element", self.ir.type)
        name = floating if isinstance(kind, (ir.FloatType, ir.DoubleType)) else integer
        return Value(self.builder, getattr(self.builder, name)(self.ir, self._operand(other)))

    __add__ = functools.partialmethod(_emit, "add", floating="fadd")
    __sub__ = functools.partialmethod(_emit, "sub", floating="fsub")
    __mul__ = functools.partialmethod(_emit, "mul", floating="fmul")
    __xor__ = functools.partialmethod(_emit, "xor")
    __and__ = functools.partialmethod(_emit, "and_")
    __or__ = functools.partialmethod(_emit, "or_")
    __lshift__ = functools.partialmethod(_emit, "shl")
    __rshift__ = functools.partialmethod(_emit, "lshr")  # zeros come in from the left

    divided_by = functools.partialmethod(_emit, "udiv")  # by a constant, for numbers of 0 or more
    remainder_of = functools.partialmethod(_emit, "urem")

    def at_most(self, other):
        """Return one bit per lane, which is 1 where this is <= the other, for signed integers."""
        return Value(self.builder, self.builder.icmp_signed("<=", self.ir, self._operand(other)))

    def equal(self, other):
        """Return one bit per lane, which is 1 where this equals the other."""
        return Value(self.builder, self.builder.icmp_signed("==", self.ir, self._operand(other)))

    def least(self, other):
        """Return the smaller of two signed integers in each lane."""
        return self.at_most(other).chosen(self, other)

    def at_least(self, other):
        """Return one bit per lane, which is 1 where this is >= the other, for floats; 0 for NaN."""
        return Value(self.builder, self.builder.fcmp_ordered(">=", self.ir, self._operand(other)))

    def to(self, kind):
        """Convert to another type: truncate or sign-extend integers, or make them floats."""
        target = type_of(kind)
        element = getattr(target, "element", target)
        own = getattr(self.ir.type, "element", self.ir.type)
        if isinstance(element, ir.FloatType):
            return Value(self.builder, self.builder.sitofp(self.ir, target))
        name = "trunc" if element.width < own.width else "sext"
        return Value(self.builder, getattr(self.builder, name)(self.ir, target))

    def zero_extended(self, kind):
        """Convert unsigned integers to a wider type."""
        return Value(self.builder, self.builder.zext(self.ir, type_of(kind)))

    def bits_as(self, kind):
        """Reinterpret the bits as another type."""
        return Value(self.builder, self.builder.bitcast(self.ir, type_of(kind)))

    def chosen(self, yes, no):
        """Return `yes` in the lanes where this, one bit per lane, is 1, and `no` elsewhere."""
        return Value(self.builder, self.builder.select(self.ir, yes.ir, no.ir))


class Emitter:
    """Loads, stores, loops, and the instructions that have no operator."""

    def __init__(self, builder):
        self.builder = builder

    def constant(self, kind, number):
        """Return a constant: a number, a list with one per lane, or one number for all lanes."""
        kind = type_of(kind)
        if isinstance(kind, ir.VectorType) and not isinstance(number, (list, tuple)):
            number = [number] * kind.count
        return Value(self.builder, ir.Constant(kind, number))

    def pointer(self, address):
        """Return an address as the pointer that an intrinsic takes."""
        return Value(self.builder, self.builder.inttoptr(address.ir, ir.IntType(8).as_pointer()))

    def load(self, kind, address):
        """Load a value from an address, which needs no alignment."""
        kind = type_of(kind)
        pointer = self.builder.inttoptr(address.ir, kind.as_pointer())
        return Value(self.builder, self.builder.load(pointer, align=1, typ=kind))

    def store(self, value, address):
        """Write a register to an address, which needs no alignment."""
        pointer = self.builder.inttoptr(address.ir, value.ir.type.as_pointer())
        self.builder.store(value.ir, pointer, align=1)

    def store_past(self, value, address):
        """Write a register of 64 bytes past the caches, to an address that is a multiple of 64."""
        pointer = self.builder.inttoptr(address.ir, value.ir.type.as_pointer())
        instruction = self.builder.store(value.ir, pointer, align=64)
        one = self.builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])
        instruction.set_metadata("nontemporal", one)

    def splat(self, kind, number):
        """Return a vector with one number in all lanes."""
        kind = type_of(kind)
        undefined = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(undefined, number.ir, ir.Constant(ir.IntType(32), 0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
        return Value(self.builder, self.builder.shuffle_vector(first, undefined, lanes))

    def together(self, numbers):
        """Return a vector of numbers of one type."""
        kind = ir.VectorType(numbers[0].ir.type, len(numbers))
        vector = ir.Constant(kind, ir.Undefined)
        for lane, number in enumerate(numbers):
            at = ir.Constant(ir.IntType(32), lane)
            vector = self.builder.insert_element(vector, number.ir, at)
        return Value(self.builder, vector)

    def lane(self, value, lane):
        """Return one number of a vector."""
        at = ir.Constant(ir.IntType(32), lane)
        return Value(self.builder, self.builder.extract_element(value.ir, at))

    def part(self, value, lanes, other=None):
        """Return a vector of selected lanes of one vector, or of two, counted over both."""
        second = ir.Constant(value.ir.type, ir.Undefined) if other is None else other.ir
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
        return Value(self.builder, self.builder.shuffle_vector(value.ir, second, lanes))

    def call(self, name, kind, *operands):
        """Emit one instruction of the processor, given by its LLVM intrinsic."""
        types_in = [operand.ir.type for operand in operands]
        signature = ir.FunctionType(type_of(kind), types_in)
        function = cgutils.get_or_insert_function(self.builder.module, signature, name)
        return Value(self.builder, self.builder.call(function, [v.ir for v in operands]))

    def repeat(self, count, values, body, unrolled=True):
        """Emit `for k in range(count): values = body(k, values)`, with the values in registers.

        `count` is an i64 Value.  Return the values after the last iteration.  LLVM may copy the
        body for several iterations, unless `unrolled` is False.
        """
        b, i64 = self.builder, ir.IntType(64)
        before = b.block
        head, inside, after = (b.append_basic_block(name) for name in ("head", "inside", "after"))
        b.branch(head)
        b.position_at_end(head)
        k = b.phi(i64)
        carried = [b.phi(value.ir.type) for value in values]
        b.cbranch(b.icmp_signed("<", k, count.ir), inside, after)
        b.position_at_end(inside)
        new = body(Value(b, k), [Value(b, phi) for phi in carried])
        following = b.add(k, ir.Constant(i64, 1))
        k.add_incoming(ir.Constant(i64, 0), before)
        k.add_incoming(following, b.block)
        for phi, first, last in zip(carried, values, new, strict=True):
            phi.add_incoming(first.ir, before)
            phi.add_incoming(last.ir, b.block)
        back = b.branch(head)
        if not unrolled:
            name = ir.MetaDataString(b.module, "llvm.loop.unroll.disable")
            setting = b.module.add_metadata([name])
            loop = ir.MDValue(b.module, (), str(len(b.module.metadata)))
            loop.operands = loop, setting  # refers to itself, so that no two loops are equal
            back.set_metadata("llvm.loop", loop)
        b.position_at_end(after)
        return [Value(b, phi) for phi in carried]


def routine(emit):
    """Make a function that Numba's loops can call from one that emits its instructions.

    `emit` takes an Emitter and one i64 Value per argument; addresses are in bytes.  The made
    function takes int64 arguments and returns nothing.
    """
    names = list(inspect.signature(emit).parameters)[1:]

    def codegen(context, builder, signature, arguments):
        emit(Emitter(builder), *(Value(builder, argument) for argument in arguments))
        return context.get_dummy_value()

    def definition(typingctx, *arguments):
        return types.void(*[types.int64] * len(names)), codegen

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in ["typingctx", *names]]
    definition.__signature__ = inspect.Signature(parameters)
    definition.__name__ = emit.__name__
    definition.__doc__ = emit.__doc__
    return intrinsic(definition)


@intrinsic(prefer_literal=True)
def address(typingctx, array, kinds):
    """Return the address of an array's first element; compiles only for arrays of these types."""
    if not isinstance(kinds, types.StringLiteral):  # tried after a refusal
        return None
    if str(array.dtype) not in kinds.literal_value.split():
        raise TypingError(f"got {array.dtype} to read by address; expected {kinds.literal_value}")

    def codegen(context, builder, signature, arguments):
        own = context.make_array(array)(context, builder, arguments[0])
        return builder.ptrtoint(own.data, context.get_value_type(types.intp))

    return types.intp(array, kinds), codegen
