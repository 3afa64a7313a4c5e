"""A frozen net as one header in C99, which is also C++: the text around the nodes."""

import hashlib
import io

import numpy as np

import bitnet
from bitnet.deploy.runtime import FrozenNet
from bitnet.deploy.sizes import PACKED
from bitnet.errors import InputError, check_choice
from bitnet.export.c import cells, images, inputs, moves, numbers, products  # noqa: F401
from bitnet.export.c.numbers import element
from bitnet.export.c.ordering import ordered
from bitnet.export.c.printer import C_TYPES, FORMS, Printer
from bitnet.export.c.text import array, block, check_name, comment, named, part

FIRST, SCORES = ("auto", *FORMS), ("float", "integer")
N_TESTS = 3  # vectors of the self test
SIZES = {"uint32_t": 4, "float": 4, "uint16_t": 2}
ARENAS = (
    ("words", "uint32_t", ""),
    ("floats", "float", ""),
    ("planes", "uint32_t", "NET_FIRST == 1"),
    ("sums", "uint16_t", "NET_FIRST == 2"),
)
USUAL = {"auto": "NET_POPCOUNT ? 1 : 2", "planes": "1", "tables": "2", "adds": "3"}


def to_c(
    net: FrozenNet,
    name: str = "net",
    *,
    first: str = "auto",
    scores: str = "float",
    main: bool = False,
    steps: int = 1,
) -> str:
    """Return a frozen net as the text of a C header without dependencies.

    The integers, scores and classes are those of `net`.  The header defines a struct
    `NAME_state` with all memory, and the functions `NAME_predict`, `NAME_scores` and
    `NAME_self_test`; docs/embedding.md describes it.

    Parameters
    ----------
    net : FrozenNet
        The net.
    name : str, optional
        The prefix of all names; default: net.
    first : {"auto", "planes", "tables", "adds"}, optional
        How products of pixels are computed: bit planes and popcounts, sums of four pixels in
        tables (8 bytes of RAM per pixel), or one pixel after the other.  "auto" takes planes where
        the compiler's target has an instruction for popcounts, or pixels have at most two planes,
        and tables elsewhere.
    scores : {"float", "integer"}, optional
        "integer" replaces the last map to float scores by integers with the same order of classes,
        for processors without floats.
    main : bool, optional
        Whether to add a program that reads inputs from standard input and prints their classes.
    steps : int, optional
        The number of steps T of a sequence; default: 1.

    Raises
    ------
    InputError
        If an argument is invalid, or a node of the net has no form in C.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> net = bitnet.freeze(bitnet.nn.models.binary_mlp([784, 64, 10], rng=rng))
    >>> text = to_c(net, "digits")
    >>> "static inline int digits_predict(digits_state *state, const uint8_t *pixels)" in text
    True
    """
    check_name(name)
    check_choice("to_c", FIRST, first=first)
    check_choice("to_c", SCORES, scores=scores)
    if not isinstance(net, FrozenNet):
        raise InputError(f"to_c: got {type(net).__name__}; expected a frozen net")
    if net.preparation is not None:
        steps_of = " ".join(net.preparation.header["steps"])
        raise InputError(f"{net}: its preparation ({steps_of}) has no form in C; prepare outside")
    return named(_Header(net, first, scores, steps).text(main), name)


class _Header:
    """The parts of a header."""

    def __init__(self, net, first, scores, steps):
        self.net, self.first = net, first
        graph, self.order = (net.graph, None) if scores == "float" else ordered(net.graph)
        sizes = {"B": 1, "T": steps}
        names = {n for v in graph.values for s in v.shape if hasattr(s, "names") for n in s.names}
        if others := sorted(names - sizes.keys()):
            raise InputError(f"{net}: the size {others[0]} depends on the inputs; expected B or T")
        self.printer = p = Printer(graph, sizes)
        p.print()
        for i in graph.outputs:
            if p.value(i).kind in PACKED:
                raise p.refusal(i, "packed results")
        self.outputs = [p.places[i] for i in graph.outputs]
        p.step = len(graph.nodes)
        for i in graph.outputs:
            p.operand(i)
        self.body = self._body()
        self.arenas = p.placed()
        self.by_class = net.target == "classification" and self.outputs[0].size > 0

    def _body(self):
        """Return the statements of the function that computes the scores."""
        p, lines = self.printer, []
        for k, place in enumerate(self.outputs):
            target = "scores" if k == 0 else f"result{k}"
            loop = f"for (k = 0; k < {place.size}; k++)"
            lines += ["{", "int k;", loop, f"    {target}[k] = {element(place, 'k')};", "}"]
        return ["NET_EXACT", "(void)state;", *p.lines, *lines]

    @property
    def _inputs(self):
        """The declarations of the inputs."""
        return ", ".join(f"const {kind} *{name}" for name, kind, _ in self.printer.arguments)

    @property
    def _score(self):
        """The C type of the scores."""
        return C_TYPES[self.outputs[0].kind]

    def text(self, main):
        """Return the header."""
        p = self.printer
        parts = [
            self._top(),
            self._macros(),
            *p.constants.values(),
            part("bits"),
            *p.functions.values(),
        ]
        parts += [self._state(), self._functions(), *([self._program()] if main else [])]
        return p.resolved("\n".join([*parts, part("end")]))

    def _top(self):
        """Return the first comment."""
        first = (
            f"{self.net!r}, printed by bitnet {bitnet.__version__}. C99 and C++; it needs nothing "
            "but stdint.h. All memory is in a net_state of the caller, so that several may run at "
            "once; the weights are constants. The results are equal to those of Python, bit for "
            "bit; other compilers than gcc and clang must not merge multiplications and additions."
        )
        return comment(first) + "#ifndef NET_H\n#define NET_H\n\n#include <stdint.h>\n"

    def _macros(self):
        """Return the macros."""
        p, first = self.printer, self.outputs[0]
        lines = [
            f'#define NET_VERSION "{bitnet.__version__}"',
            f'#define NET_SHA256 "{digest_of(self.net)}"',
            f"#define NET_INPUTS {p.arguments[0][2]}",
            f"#define NET_CLASSES {first.size}",
            f"#define NET_INTEGERS {p.n_seen} /* of all products, see NET_SEEN */",
        ]
        flash = by_form("NET_FLASH_BYTES", [p.flash[0] + p.flash[k] for k in FORMS.values()])
        macros = part("macros").replace("USUAL", USUAL[self._first()])
        about = comment("The bytes of constants, without code and the scores of the self test.")
        return "\n".join([*lines, "", macros + about + flash])

    def _first(self):
        """Return the form of products of pixels that is taken unless the compiler is told."""
        few = [x for x in self.printer.places.values() if x.kind == "uint8" and x.shift >= 6]
        return "planes" if self.first == "auto" and few else self.first

    def _state(self):
        """Return the struct of the memory, and its size."""
        lines, sizes = ["typedef struct net_state {"], {}
        lines += ["#ifdef NET_SEEN", "    int32_t *seen; /* NET_INTEGERS integers */", "#endif"]
        for arena, kind, condition in ARENAS:
            if n := self.arenas.get(arena, 0):
                own = f"    {kind} {arena}[{n}];"
                lines += [f"#if {condition}", own, "#endif"] if condition else [own]
                sizes[arena] = n * SIZES[kind]
        if not {"words", "floats"} & sizes.keys():
            lines.append("    uint32_t words[1];")
            sizes["words"] = 4
        lines.append("} net_state;\n")
        always = sizes.get("words", 0) + sizes.get("floats", 0)
        more = [sizes.get(own, 0) for own in ("planes", "sums", "")]
        return "\n".join([*lines, by_form("NET_RAM_BYTES", [always + n for n in more])])

    def _functions(self):
        """Return the functions of the net."""
        kind = self._score
        others = [
            f", {C_TYPES[place.kind]} *result{k}" for k, place in enumerate(self.outputs) if k
        ]
        self.others = "".join(others)
        about = "Compute the scores of the classes."
        if self.order:
            about = "Compute integers whose order is that of the scores of the classes."
        head = f"static inline void net_scores(net_state *state, {self._inputs}, {kind} *scores"
        found = f"{comment(about)}{head}{self.others})\n{{\n{block(self.body)}\n}}\n"
        if not self.by_class or others:
            return found
        names = ", ".join(name for name, _, _ in self.printer.arguments)
        own = part("predict").replace("INPUTS", self._inputs).replace("NAMES", names)
        found += "\n" + own.replace("KIND", kind).replace("CLASSES", str(self.outputs[0].size))
        if len(self.printer.arguments) == 1 and (tests := self._self_test()):
            found += "\n" + tests
        return found

    def _self_test(self):
        """Return the self test: drawn inputs and the scores that they must have."""
        (name, kind, n), graph = self.printer.arguments[0], self.printer.graph
        by_row = graph.is_by_row and self.printer.shape(0)[0] == 1
        if not by_row or name not in ("pixels", "numbers"):
            return ""
        drawn, value = [], 1
        for _ in range(N_TESTS * n):
            value = (value * 1664525 + 1013904223) % 2**32
            drawn.append(value >> 24)
        x = np.array(drawn, np.uint8).reshape(N_TESTS, *self.printer.shape(0)[1:])
        draw = "(uint8_t)(drawn >> 24)"
        if name == "numbers":
            x, draw = x.astype(np.float32) / 64 - 2, "(float)(drawn >> 24) / 64.0f - 2.0f"
        scores = graph.run(x)[0]
        expected = array("net_expected", np.ascontiguousarray(scores))
        own = part("self_test").replace("DRAW", draw).replace("INPUT_KIND", kind)
        own = own.replace("KIND", self._score).replace("INPUTS", str(n))
        own = own.replace("CLASSES", str(self.outputs[0].size)).replace("TESTS", str(N_TESTS))
        read = "NET_READF" if self._score == "float" else "NET_READ32S"
        return expected + "\n" + own.replace("READ", read)

    def _program(self):
        """Return a program that reads inputs from standard input and prints their classes."""
        if not self.by_class or self.others or len(self.printer.arguments) > 1:
            raise InputError(f"{self.net}: --main needs a net that classifies one input")
        (_, kind, n) = self.printer.arguments[0]
        return part("main").replace("KIND", kind).replace("INPUTS", str(n))


def by_form(macro, sizes):
    """Return a macro with a size for each form of products of pixels, in the order of `FORMS`."""
    if len(set(sizes)) == 1:
        return f"#define {macro} {sizes[0]}\n"
    lines = [f"#define {macro} {n}" for n in sizes]
    return "\n".join(
        [
            "#if NET_FIRST == 1",
            lines[0],
            "#elif NET_FIRST == 2",
            lines[1],
            "#else",
            lines[2],
            "#endif\n",
        ]
    )


def digest_of(net):
    """Return the SHA-256 of the file of a net."""
    stream = io.BytesIO()
    net.save(stream)
    return hashlib.sha256(stream.getvalue()).hexdigest()
