"""Instructions that Numba does not offer: asynchronous copies, binary tensor cores, rounding.

Each is a function for Numba's kernels that emits inline PTX.  Numba's simulator cannot run it, so
tests put a Python function of the same name into the module that calls it.

The multiplication is `mma ... m16n8k256 ... and.popc`, one instruction (BMMA) on compute
capability 8.0 to 9.0; the variant with XOR is emulated on 9.0.  The operands are distributed over
the lanes of a warp, lane = 4 group + quad:

    rows of x (16), 256 bits    groups have rows `group` and `group + 8`,
                                quads the 32-bit halves `quad` and `quad + 4`
    columns of w (8), 256 bits  groups have column `group`, quads the halves `quad` and `quad + 4`
    counts (16 x 8)             groups have rows `group` and `group + 8`,
                                quads columns `2 quad` and `2 quad + 1`

`ldmatrix` loads this layout from rows of 16 bytes in shared memory, four times 8 rows at once;
each lane gives the address of one row.  A step, 512 bits, has four pieces of 16 bytes per row.
Piece p of row r is in place p ^ (r / 2 % 4), so that 8 rows of one piece use all memory banks.

A compiler fuses a product and a sum into one operation, which rounds once, but NumPy rounds twice.
`plus`, `minus`, `times`, `divided` and `root` are never fused: each rounds to the nearest.
"""

from llvmlite import ir
from numba import types
from numba.cuda.extending import intrinsic

HALVES = 16  # 32-bit halves per row and step, 512 bits
INT, LONG, VOID = ir.IntType(32), ir.IntType(64), ir.VoidType()
COPY = (
    "{ .reg .u64 begin; cvta.to.global.u64 begin, $1; "
    "cp.async.cg.shared.global [$0], [begin], 16, $2; }"
)
READ = "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {$0,$1,$2,$3}, [$4];"
MULTIPLY = (
    "mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.and.popc "
    "{$0,$1,$2,$3}, {$4,$5,$6,$7}, {$8,$9}, {$0,$1,$2,$3};"
)


def _place(context, builder, kind, array, index):
    """Return the address of one element of an array of 32-bit numbers."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(builder.bitcast(data, INT.as_pointer()), [index])


def _in_shared(context, builder, kind, array, index):
    """Return the address of one element of an array in shared memory as a number."""
    place = _place(context, builder, kind, array, index)
    return builder.ptrtoint(builder.addrspacecast(place, ir.PointerType(INT, 3)), INT)


def _number(value):
    return ir.Constant(INT, value)


def _assembled(text, result, operands, names, side_effect=True):
    """Emit inline PTX; with a side effect the compiler does not move it into divergent branches."""
    kind = ir.FunctionType(result, operands)
    return ir.InlineAsm(kind, text, names, side_effect=side_effect)


@intrinsic
def copy_piece(typingctx, shared, at, source, index, n_bytes):
    """Start an asynchronous copy of 16 bytes to shared[at:]: n_bytes of source[index:], then zeros.

    Both addresses are multiples of 16 bytes.  n_bytes is 16 or 0.
    """

    def emit(context, builder, signature, arguments):
        shared, at, source, index, n_bytes = arguments
        to = _in_shared(context, builder, signature.args[0], shared, at)
        begin = _place(context, builder, signature.args[2], source, index)
        code = _assembled(COPY, VOID, [INT, LONG, INT], "r,l,r,~{memory}")
        builder.call(code, [to, builder.ptrtoint(begin, LONG), n_bytes])
        return context.get_dummy_value()

    return types.void(shared, types.int64, source, types.int64, types.int32), emit


def _bare(text):
    """Make a function that emits an instruction without operands."""

    def definition(typingctx):
        def emit(context, builder, signature, arguments):
            builder.call(_assembled(text, VOID, [], "~{memory}"), [])
            return context.get_dummy_value()

        return types.void(), emit

    return intrinsic(definition)


# ends a group: the copies started since the last one
commit_copies = _bare("cp.async.commit_group;")


def waiter(groups):
    """Make a function that waits until at most this number of copy groups is pending."""
    return _bare(f"cp.async.wait_group {groups};")


def multiplier(high, wide):
    """Make a warp's product of 16 * high rows of x and 8 * wide columns of w, 512 bits each.

    multiply(counts, shared, x, w) is for kernels.  shared[x:] and shared[w:] are the rows whose
    addresses this lane gives, 16 halves apart: of x row `lane % 16`, piece `lane / 16`; of w
    column `lane % 8`, piece `lane / 8`.  counts[(4 * (wide * i + j)):] are the four counts of this
    lane in multiplication (i, j): of (row, column), (row, column + 1), (row + 8, column) and
    (row + 8, column + 1).  It must be an array in registers.
    """

    def definition(typingctx, counts, shared, x, w):
        def emit(context, builder, signature, arguments):
            kinds, (counts, shared, x, w) = signature.args, arguments
            four = ir.LiteralStructType([INT] * 4)
            reads = _assembled(READ, four, [INT], "=r,=r,=r,=r,r,~{memory}")
            adds = _assembled(MULTIPLY, four, [INT] * 10, "=r,=r,=r,=r" + ",r" * 6 + ",0,1,2,3")

            def run(code, operands):
                made = builder.call(code, operands)
                return [builder.extract_value(made, number) for number in range(4)]

            def read(at, rows):
                """Load four registers, starting `rows` rows after an address."""
                to = builder.add(at, ir.Constant(LONG, HALVES * rows))
                return run(reads, [_in_shared(context, builder, kinds[1], shared, to)])

            both = x, builder.xor(x, ir.Constant(LONG, HALVES // 2))  # pieces 0 and 1, 2 and 3
            rows = [[read(at, 16 * i) for at in both] for i in range(high)]
            columns = [read(w, 8 * j) for j in range(wide)]
            first = _place(context, builder, kinds[0], counts, _number(0))
            for i in range(high):
                for j in range(wide):
                    indices = [_number(4 * (wide * i + j) + k) for k in range(4)]
                    places = [builder.gep(first, [index]) for index in indices]
                    own = [builder.load(place) for place in places]
                    for k, row in enumerate(rows[i]):
                        own = run(adds, [*row, *columns[j][2 * k : 2 * k + 2], *own])
                    for place, count in zip(places, own, strict=True):
                        builder.store(count, place)
            return context.get_dummy_value()

        return types.void(counts, shared, types.int64, types.int64), emit

    return intrinsic(definition)


def folder(size):
    """Make fold(totals, counts, factor) for kernels: totals += factor * counts, then counts = 0.

    Both are arrays of this size in registers.
    """

    def definition(typingctx, totals, counts, factor):
        def emit(context, builder, signature, arguments):
            totals, counts, factor = arguments
            for k in range(size):
                total = _place(context, builder, signature.args[0], totals, _number(k))
                count = _place(context, builder, signature.args[1], counts, _number(k))
                scaled = builder.mul(builder.load(count), factor)
                builder.store(builder.add(builder.load(total), scaled), total)
                builder.store(_number(0), count)
            return context.get_dummy_value()

        return types.void(totals, counts, types.int32), emit

    return intrinsic(definition)


@intrinsic
def element(typingctx, array, index):
    """Return array[index] for an index of 0 or more; Numba's own indexing would check the sign."""

    def emit(context, builder, signature, arguments):
        return builder.load(_place(context, builder, signature.args[0], *arguments))

    return array.dtype(array, types.int64), emit


@intrinsic
def store_pair(typingctx, out, at, first, second):
    """Store int32 numbers at out[at] and out[at + 1] with one instruction; at is even."""

    def emit(context, builder, signature, arguments):
        out, at, first, second = arguments
        place = _place(context, builder, signature.args[0], out, at)
        pair = ir.Constant(ir.VectorType(INT, 2), ir.Undefined)
        for k, number in enumerate((first, second)):
            pair = builder.insert_element(pair, number, _number(k))
        builder.store(pair, builder.bitcast(place, pair.type.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(out, types.int64, types.int32, types.int32), emit


def _rounded(name, operands):
    """Make an operation on floats that rounds to the nearest and keeps subnormal numbers."""

    def emit(context, builder, signature, arguments):
        bits = signature.return_type.bitwidth
        kind = context.get_value_type(signature.return_type)
        names = ", ".join(f"${k}" for k in range(1 + operands))
        registers = ",".join(["=f", *"f" * operands] if bits == 32 else ["=d", *"d" * operands])
        text = f"{name}.rn.f{bits} {names};"
        code = _assembled(text, kind, [kind] * operands, registers, side_effect=False)
        return builder.call(code, arguments)

    def one(typingctx, a):
        return a(a), emit

    def two(typingctx, a, b):
        return (a(a, b), emit) if a == b else None

    return intrinsic(one if operands == 1 else two)


plus, minus, times, divided = (_rounded(name, 2) for name in ("add", "sub", "mul", "div"))
root = _rounded("sqrt", 1)


def _same_bits(kinds):
    """Make a function that reinterprets bits as another type; kinds maps each type to the other."""

    def definition(typingctx, number):
        def emit(context, builder, signature, arguments):
            kind = context.get_value_type(signature.return_type)
            return builder.bitcast(arguments[0], kind)

        return kinds[number](number), emit

    return intrinsic(definition)


bits_of_float = _same_bits({types.float32: types.int32, types.float64: types.int64})
float_of_bits = _same_bits({types.int32: types.float32, types.int64: types.float64})
