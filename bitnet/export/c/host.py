"""A frozen net in C, compiled and run by this machine, to be compared with the net in Python."""

import ctypes
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bitnet.arrays import Array, like, to_cpu
from bitnet.data.targets import predictions
from bitnet.deploy.runtime import FrozenNet
from bitnet.deploy.sizes import at
from bitnet.errors import InputError
from bitnet.export.c.header import to_c
from bitnet.kernels import Bits

DTYPES = {"uint8_t": np.uint8, "uint32_t": np.uint32, "int32_t": np.int32, "float": np.float32}
UNSEEN = -(2**31)  # of an integer that was not computed
PROGRAM = """\
#define NET_SEEN
#include "net.h"
#ifdef __cplusplus
extern "C" {{
#endif
int state_bytes(void);
int seen_integers(void);
int run_self_test(net_state *state, int32_t *seen);
void run_scores(int n, net_state *state, int32_t *seen, {declared});

int state_bytes(void)
{{
    return (int)sizeof(net_state);
}}

int seen_integers(void)
{{
    return NET_INTEGERS;
}}

int run_self_test(net_state *state, int32_t *seen)
{{
    state->seen = seen;
    return {self_test};
}}

void run_scores(int n, net_state *state, int32_t *seen, {declared})
{{
    for (; n > 0; n--) {{
        state->seen = seen;
        net_scores(state, {names});
        seen += NET_INTEGERS;
{next_all}
    }}
}}

{predict}#ifdef __cplusplus
}}
#endif
"""
PREDICT = """\
void run_predict(int n, net_state *state, int32_t *seen, {inputs}, int32_t *classes);
void run_predict(int n, net_state *state, int32_t *seen, {inputs}, int32_t *classes)
{{
    state->seen = seen;
    for (; n > 0; n--) {{
        *classes++ = net_predict(state, {names});
{next_inputs}
    }}
}}
"""


class Compiled:
    """A frozen net as C that the host's compiler has compiled and this process has loaded.

    `bitnet.compare` takes it in place of the frozen net.

    Parameters
    ----------
    net : FrozenNet
        The net, printed by `to_c`.
    compiler : str or sequence of str, optional
        The program of a compiler, with its first arguments; one with "++" in its name compiles C++.
        Default: cc.
    flags : sequence of str, optional
        Flags of the compiler; default: -O2.
    **options
        Options of `to_c`: first, scores, steps.

    Attributes
    ----------
    text : str
        The header.

    Raises
    ------
    InputError
        If there is no such compiler, it fails, or the net has no form in C.

    Examples
    --------
    >>> import shutil
    >>> import bitnet
    >>> rng = np.random.default_rng(0)
    >>> net = bitnet.freeze(bitnet.nn.models.binary_mlp([784, 64, 10], rng=rng))
    >>> x = np.arange(3 * 784).astype(np.uint8).reshape(3, 784)
    >>> shutil.which("cc") is None or bitnet.compare(net, Compiled(net), x).is_complete
    True
    """

    def __init__(
        self,
        net: FrozenNet,
        compiler: str | Sequence[str] = "cc",
        flags: Sequence[str] = ("-O2",),
        **options: Any,
    ) -> None:
        self.text = to_c(net, "net", **options)
        self.net, self.sizes = net, {"B": 1, "T": options.get("steps", 1)}
        self.gives_order = options.get("scores") == "integer"
        self.compiler = (compiler,) if isinstance(compiler, str) else tuple(compiler)
        self.arguments = arguments_of(self.text)
        graph = net.graph
        values = [
            *(node.value() for node in graph.inputs),
            *(graph.values[i] for i in graph.outputs),
        ]
        self.shapes = [at(value.shape, self.sizes) for value in values]
        with tempfile.TemporaryDirectory() as folder:
            library = self._build(Path(folder), flags)
            try:
                self.library = ctypes.CDLL(str(library))
            except OSError as error:
                expected = "expected code of this machine without other names: check the flags"
                raise InputError(f"{self}: {error}; {expected}") from None

    def __repr__(self) -> str:
        return f"Compiled({self.net!r}, {' '.join(self.compiler)})"

    def _build(self, folder, flags):
        """Compile a library in a folder, return its path."""
        program = shutil.which(self.compiler[0])
        if program is None:
            came = f"the compiler {self.compiler[0]!r:.200} was not found"
            raise InputError(f"{came}; expected an installed one: install gcc, or name another")
        is_cpp = "++" in " ".join(self.compiler)
        source, library = folder / f"net.{'cpp' if is_cpp else 'c'}", folder / "net.so"
        (folder / "net.h").write_text(self.text)
        source.write_text(self._program())
        command = [program, *self.compiler[1:], *flags, "-fPIC", "-shared"]
        done = subprocess.run(
            [*command, "-o", str(library), str(source)], capture_output=True, text=True
        )
        if done.returncode:
            said = next((line for line in done.stderr.splitlines() if "error" in line), "nothing")
            came = f"{' '.join(self.compiler)} failed with {said:.300}"
            raise InputError(f"{self.net}: {came}; expected a library: check the compiler's flags")
        return library

    def _program(self):
        """Return C that runs the net for several inputs."""
        pairs = list(zip(self.arguments, self._elements(), strict=True))
        inputs = [(own, n) for own, n in pairs if own[2]]

        def declared(some):
            return ", ".join(f"{'const ' * own[2]}{own[0]} *{own[1]}" for own, _ in some)

        def steps(some):
            return "\n".join(f"        {own[1]} += {n};" for own, n in some)

        names = {"inputs": declared(inputs), "next_inputs": steps(inputs)}
        names["names"] = ", ".join(own[1] for own, _ in inputs)
        return PROGRAM.format(
            declared=declared(pairs),
            names=", ".join(own[1] for own, _ in pairs),
            next_all=steps(pairs),
            predict=PREDICT.format(**names) if " net_predict(" in self.text else "",
            self_test="net_self_test(state)" if " net_self_test(" in self.text else "0",
        )

    def _elements(self):
        """Return the elements of each argument for one input."""
        kinds = [node.kind for node in self.net.graph.inputs] + [""] * len(self.net.graph.outputs)
        for kind, shape in zip(kinds, self.shapes, strict=True):
            row = -(-shape[-1] // 32) if kind == "signs" else shape[-1] if shape else 1
            yield int(np.prod(shape[:-1], dtype=np.int64)) * row

    def _taken(self, inputs, prepared):
        """Return the number of inputs, and arrays as C takes them."""
        inputs = tuple(to_cpu(x) for x in inputs)
        if not prepared:
            inputs = tuple(self.net.prepare(x) for x in inputs)
        taken = to_cpu(self.net.check_inputs(*inputs))
        n = len(taken[0]) if self.net.graph.is_by_row else 1
        for x, shape in zip(taken, self.shapes, strict=False):
            if n == 1 and x.shape != shape:
                expected = f"{shape}, one sequence: see the option steps"
                raise InputError(f"{self}: got an input of shape {x.shape}; expected {expected}")
        pairs = zip(taken, self.arguments, strict=False)
        return n, [in_c(x, kind) for x, (kind, _, _) in pairs]

    def _run(self, inputs, prepared):
        """Return the integers of all products, (n, NET_INTEGERS), and the results."""
        n, arrays = self._taken(inputs, prepared)
        seen = np.full((n, self.library.seen_integers()), UNSEEN, np.int32)
        by_row, results = self.net.graph.is_by_row, []
        for (kind, _, is_input), shape in zip(self.arguments, self.shapes, strict=True):
            if not is_input:
                results.append(np.empty((n, *shape[1:]) if by_row else shape, DTYPES[kind]))
        pointers = [own.ctypes.data_as(ctypes.c_void_p) for own in (seen, *arrays, *results)]
        self.library.run_scores(n, self._state(), *pointers)
        return seen, results

    def _state(self):
        """Return new memory of the net."""
        return (ctypes.c_uint64 * (self.library.state_bytes() // 8 + 1))()

    def run(self, *inputs: Array | Bits, prepared: bool = False) -> tuple[Array, ...]:
        """Return all results, as `FrozenNet.run` does."""
        values = [self.net.graph.values[i] for i in self.net.graph.outputs]
        results = self._run(inputs, prepared)[1]
        if self.gives_order:
            return tuple(results)
        pairs = zip(results, values, strict=True)
        return like(tuple(own.astype(value.kind) for own, value in pairs), inputs[0])

    def pre_activations(self, *inputs: Array | Bits, prepared: bool = False) -> list[Array]:
        """Return the integers of each product, as `FrozenNet.pre_activations` does.

        Integers that no window of the following pooling covers are not computed in C: an array
        with such integers is a masked array.
        """
        seen, _ = self._run(inputs, prepared)
        by_row, found, start = self.net.graph.is_by_row, [], 0
        for layer, computed in zip(self.net.integer_layers, computed_in(self.net), strict=True):
            shape = at(self.net.graph.values[layer.number].shape, self.sizes)
            n = int(np.prod(shape, dtype=np.int64))
            own = seen[:, start : start + n].reshape(len(seen) if by_row else shape[0], *shape[1:])
            start += n
            if computed is not None:
                own = np.ma.array(own, mask=np.broadcast_to(~computed, own.shape))
            found.append(own)
        return found

    def scores(self, *inputs: Array | Bits, prepared: bool = False) -> Array:
        """Return the scores, as `FrozenNet.scores` does, or integers with their order."""
        return self.run(*inputs, prepared=prepared)[0]

    def predict(self, *inputs: Array | Bits, prepared: bool = False) -> Array:
        """Return the classes, int64 (B,), as `FrozenNet.predict` does."""
        if " net_predict(" not in self.text:
            return predictions(self.scores(*inputs, prepared=prepared), self.net.target)
        n, arrays = self._taken(inputs, prepared)
        seen = np.empty(self.library.seen_integers() + 1, np.int32)
        classes = np.empty(n, np.int32)
        pointers = [own.ctypes.data_as(ctypes.c_void_p) for own in (seen, *arrays, classes)]
        self.library.run_predict(n, self._state(), *pointers)
        return like(classes.astype(np.int64), inputs[0])

    def self_test(self) -> int:
        """Return 0 if the self test passes, or 1 + the number of the failing vector."""
        seen = np.empty(self.library.seen_integers() + 1, np.int32)
        return self.library.run_self_test(self._state(), seen.ctypes.data_as(ctypes.c_void_p))


def arguments_of(text, name="net"):
    """Return the arguments of NAME_scores in a header: (type, name, whether it is an input)."""
    found = re.search(rf"{name}_scores\({name}_state \*state, ([^)]*)\)", text)
    parts = [re.fullmatch(r"(const )?(\w+) \*(\w+)", own) for own in found[1].split(", ")]
    return [(own[2], own[3], bool(own[1])) for own in parts]


def in_c(x, kind):
    """Return an input as a contiguous array that C takes."""
    if isinstance(x, Bits):
        words = np.ascontiguousarray(x.words).view(np.uint32)
        x = words[..., : -(-x.shape[-1] // 32)]
    return np.ascontiguousarray(x, DTYPES[kind])


def computed_in(net):
    """Yield, for each product, which integers of an input a pooling window covers, or None."""
    graph = net.graph
    for layer in net.integer_layers:
        readers = graph.readers[layer.number]
        last = graph.nodes[readers[0]] if len(readers) == 1 and readers[0] >= 0 else None
        if last is None or last.kind not in ("maxpool", "sumpool"):
            yield None
            continue
        height, width = graph.values[layer.number].shape[1:3]
        (top, _), (left, _) = last.window.padding
        rows, columns = (np.zeros(n, bool) for n in (height, width))
        starts = last.window.output(height, width)
        for axis, (own, before) in enumerate(((rows, top), (columns, left))):
            steps = np.arange(starts[axis]) * last.window.stride[axis] - before
            taps = np.arange(last.window.size[axis]) * last.window.dilation[axis]
            places = (steps[:, None] + taps).ravel()
            own[places[(places >= 0) & (places < len(own))]] = True
        covered = rows[:, None, None] & columns[:, None]
        yield None if covered.all() else covered
