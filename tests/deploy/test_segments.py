"""Nets with nodes that have no operation: the nodes between them are computed by compiled loops."""

import numpy as np
import pytest
from compiled_nets import assert_at_once, contents, small_nets
from own_modules import Apply, Shortcut
from strategies import disturb

import bitnet
from bitnet import kernels, nn
from bitnet.deploy.floats import Affine, Binary, Unary
from bitnet.deploy.graph import FrozenGraph
from bitnet.deploy.operations import Builder, need
from bitnet.deploy.segments import Segments
from bitnet.deploy.sizes import BATCH
from bitnet.deploy.sources import Constant, Input

program = pytest.importorskip("bitnet.kernels.cpu.program", exc_type=ImportError)
pytestmark = pytest.mark.skipif(not program.COMPILES, reason="Numba does not compile")

RNG = np.random.default_rng(0)
FLOATS = RNG.standard_normal((100, 70)).astype(np.float32)
IMAGES = RNG.integers(0, 256, (100, 6, 5, 3), dtype=np.uint8)


class Across(nn.Module):
    """Codes that are read on both sides of nodes without an operation."""

    def __init__(self, first, second, quantize):
        self.first, self.second, self.quantize = first, second, quantize

    def forward(self, x):
        x = self.quantize(x)
        y = Apply("exp")(self.first(x))
        return y + self.second(x)


def rows_of(n, m, *more):
    return nn.Sequential(nn.QuantLinear(n, m, rng=RNG), nn.BatchNorm(m), *more)


def images_of(c, m, *more):
    conv = nn.QuantConv2d(c, m, 3, padding="same", border=-1, rng=RNG)
    return nn.Sequential(conv, nn.BatchNorm(m), *more)


def nets():
    """Return models and inputs by where the nodes without an operation are, and the calls."""
    body = rows_of(70, 33, nn.Quantize(2)), rows_of(33, 33)
    end = nn.Sign(), rows_of(33, 5)
    yield "start", 1, nn.Sequential(Apply("abs"), nn.Shift(70), nn.Sign(), *body, *end), FLOATS
    yield "middle", 2, nn.Sequential(nn.Sign(), *body, Apply("exp"), nn.Shift(33), *end), FLOATS
    yield "end", 1, nn.Sequential(nn.Sign(), *body, Apply("softmax")), FLOATS
    inner = Apply("exp"), nn.Shift(33), nn.Sign(), rows_of(33, 33)
    yield "several", 4, nn.Sequential(nn.Sign(), *body, *inner, *inner, *inner), FLOATS
    around = Shortcut(nn.Sequential(nn.Sign(), rows_of(33, 33), Apply("sigmoid")))
    yield "around", 2, nn.Sequential(nn.Sign(), *body, around, *end), FLOATS
    parts = [nn.Sequential(rows_of(70, 20), *[Apply("exp")] * i, nn.Shift(20)) for i in range(3)]
    ends = nn.Branches(*parts), nn.Sign(), rows_of(60, 5)
    yield "branches", 3, nn.Sequential(nn.Sign(), *ends), FLOATS
    parts = nn.Sequential(nn.Sign(), rows_of(70, 33)), nn.Sequential(Apply("exp"), nn.Shift(70))
    yield "beside", 1, nn.Sequential(nn.Branches(*parts), nn.Sign(), rows_of(103, 5)), FLOATS
    for bits in (1, 2, 3):
        model = Across(rows_of(70, 7), rows_of(70, 7, nn.PReLU(7)), nn.Quantize(bits))
        yield f"{bits} bits", 2, nn.Sequential(nn.Shift(70), model), FLOATS
        model = Across(images_of(66, 7), images_of(66, 7), nn.Quantize(bits))
        whole = images_of(3, 66), model, nn.AvgPool2d(2), nn.Sign(), nn.Flatten(), rows_of(42, 5)
        yield f"images of {bits} bits", 2, nn.Sequential(*whole), IMAGES


NETS = {name: rest for name, *rest in nets()}


def frozen(name):
    """Return a frozen net by name, the number of its calls, and inputs."""
    calls, model, x = NETS[name]
    return bitnet.freeze(disturb(model, 0), x[:2]), calls, x


@pytest.mark.parametrize("name", NETS)
def test_segments_compute_what_the_walk_computes(name):
    net, calls, x = frozen(name)
    assert isinstance(net.graph.loop, Segments)
    assert len(net.graph.loop.loops) == calls, net.execution
    for rows in (0, 1, 3, 100):
        assert_at_once(net.graph, x[:rows])
    assert np.array_equal(net.compile().scores(x), net.graph.run_all(x)[net.graph.outputs[0]])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ["middle", "3 bits", "images of 2 bits"])
def test_blocks_and_parts_of_threads_meet_at_their_edges(name, threads, monkeypatch):
    net, _, x = frozen(name)
    monkeypatch.setattr("bitnet.kernels.threads.LEAST_NS", 1)
    for loop in net.graph.loop.loops:
        monkeypatch.setattr(loop, "block", 7)
        for table in loop.tables:
            table[0, 2] = 7
    before = kernels.threads.num_threads()
    bitnet.set_num_threads(threads)
    try:
        assert_at_once(net.graph, x)
    finally:
        bitnet.set_num_threads(before)


def test_every_value_may_cross_a_cut(monkeypatch):
    cover = Builder._cover
    crossed = set()
    for name, model, x in small_nets():
        graph = bitnet.freeze(disturb(model, 0), x).graph
        for k, node in enumerate(graph.nodes):
            if not node.arity[0]:
                continue

            def _cover(self, i, k=k):
                need(i != k or self.has(i), "left out")
                cover(self, i)

            monkeypatch.setattr(Builder, "_cover", _cover)
            own = FrozenGraph(graph.nodes, graph.outputs)
            if not isinstance(own.loop, Segments):  # too small, or fused with the node before
                continue
            assert f"{own.title(k)}: left out" in own.execution, name
            for rows in (0, 1, 5):
                assert_at_once(own, x[:rows])
            crossed |= {own.values[i].kind for part in own.loop.parts for i in part.outputs}
    assert crossed == {"float32", "int32", "bits", "planes"}


def test_packed_values_are_results():
    kinds = set()
    for _, model, x in small_nets():
        nodes = bitnet.freeze(disturb(model, 0), x).graph.nodes
        values = FrozenGraph(nodes, [len(nodes) - 1]).values
        found = [i for i, node in enumerate(nodes) if node.arity[0] and values[i].kind != "uint8"]
        graph = FrozenGraph(nodes, [*found, found[0]])
        assert graph.execution == "one call"
        for rows in (0, 1, 5):
            assert_at_once(graph, x[:rows])
        kinds |= {values[i].kind for i in found}
    assert kinds == {"float32", "int32", "bits", "planes"}


def test_constants_with_a_row_per_input_are_read_on_both_sides_of_a_cut():
    ones = np.arange(20, dtype=np.float32)
    nodes = [Input("numbers", (), (BATCH, 20)), Constant("constant", (), ones[None], (BATCH, 20))]
    for i in range(3):
        last = len(nodes) - 1 if i else 0
        nodes += [
            Binary("add", (last, 1)),
            Affine("affine", (last + 1 + (not i),), ones, ones, ones),
        ]
        nodes += [Unary("relu", (len(nodes) - 1,)), Binary("maximum", (len(nodes), 1))]
    graph = FrozenGraph(nodes, [len(nodes) - 1])
    assert len(graph.loop.loops) == 3
    for rows in (1, 3, 100):
        assert_at_once(graph, FLOATS[:rows, :20])


def test_execution_names_the_nodes_that_are_computed_one_by_one():
    net, *_ = frozen("several")
    first, *others = net.graph.loop.not_covered
    assert net.execution.startswith(f"4 calls, and node by node: {first}; ")
    assert net.execution.endswith(f"; and {len(others) - 2} more")
    with kernels.using("reference"):
        assert net.execution == "node by node: the kernels are those of 'reference'"


def test_a_segment_too_small_to_pay_is_walked():
    net = bitnet.freeze(nn.Sequential(nn.Shift(70), Apply("exp")), FLOATS)
    assert net.graph.loop is None
    assert net.execution.startswith("node by node: node ")


def test_the_definitions_walk_segments_too():
    net, _, x = frozen("middle")
    expected = contents(net.graph.at_once(x)[0])
    with kernels.using("reference"):
        assert net.graph.at_once(x) is None
        assert contents(net.scores(x)) == expected
    assert contents(net.scores(x)) == expected
