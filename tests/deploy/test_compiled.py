"""One compiled call computes what the walk from node to node computes, bit for bit."""

import concurrent.futures

import numpy as np
import pytest
from compiled_nets import assert_at_once, small_nets
from hypothesis import given
from hypothesis import strategies as st
from own_modules import Apply
from strategies import disturb, seeds, signs
from whole_models import whole_models

import bitnet
from bitnet import InputError, kernels, nn
from bitnet.deploy.compiled import MOST_SAVED_NS, USUAL_ROWS
from bitnet.deploy.floats import Affine, Binary
from bitnet.deploy.graph import FrozenGraph
from bitnet.deploy.sizes import BATCH
from bitnet.deploy.sources import Input

program = pytest.importorskip("bitnet.kernels.cpu.program", exc_type=ImportError)
pytestmark = pytest.mark.skipif(not program.COMPILES, reason="Numba does not compile")

WIDTHS = (1, 2, 31, 32, 33, 63, 64, 65, 96, 97, 128, 129)
BATCHES = ((), (1,), (2, 0, 1), (0, 1, 2, 3, 4) * 3 + (2,))  # numbers of rows


def chain(seed, sizes, weights, activations):
    """Return a frozen chain of products, batch norms and quantizers, whose norms meet ties."""
    rng = np.random.default_rng(seed)
    own = {"weight_quantizer": weights, "activation_quantizer": activations}
    return bitnet.freeze(disturb(nn.models.binary_mlp(sizes, rng=rng, **own), seed))


def compare_whole(whole):
    """Compare the loop with the walk for a drawn model, if it is covered."""
    try:
        graph = bitnet.freeze(whole.model, whole.inputs, axes=whole.axes).graph
    except InputError:
        return
    if graph.loop is None:
        return
    for rows in BATCHES:
        assert_at_once(graph, *whole.rows(*rows))


@given(whole_models("rows"))
def test_any_net_of_rows_is_computed_as_by_the_walk(whole):
    compare_whole(whole)


@given(whole_models("images"))
def test_any_net_of_images_is_computed_as_by_the_walk(whole):
    compare_whole(whole)


@given(whole_models("sequences"))
def test_any_step_of_a_sequence_is_computed_as_by_the_walk(whole):
    try:
        graph = bitnet.freeze(whole.model, whole.inputs, axes=whole.axes).graph
    except InputError:
        return
    if graph.loop is None:
        return
    for rows in BATCHES:
        x, *others = whole.rows(*rows)
        if any(node.kind == "take" for node in graph.nodes):
            others = [0 * own for own in others]  # the only step
        with np.errstate(invalid="ignore"):  # the mean of no rows
            assert_at_once(graph, x[:1], *others)


@given(
    seeds,
    st.lists(st.sampled_from(WIDTHS), min_size=2, max_size=4),
    st.sampled_from([1, 1, 2, 4, "ternary", "linear:2:0.5"]),
    st.sampled_from([1, 1, 2, 3, 8, "linear:3:0.2:unsigned"]),
    st.sampled_from([0, 1, 3, 16]),
)
def test_chains_around_word_edges_are_computed_at_once(seed, sizes, weights, activations, batch):
    net, rng = chain(seed, sizes, weights, activations), np.random.default_rng(seed)
    x = rng.integers(0, 256, (batch, sizes[0]), dtype=np.uint8)
    assert_at_once(net.graph, x)
    assert np.array_equal(net.scores(x), net.graph._fused((x,))[0])
    assert np.array_equal(net.graph.run_all(x)[net.graph.outputs[0]], net.scores(x))


@given(seeds, st.sampled_from(WIDTHS), st.integers(1, 8), st.sampled_from([1, 3, 16]))
def test_planes_signs_and_floats_may_enter(seed, n, n_planes, batch):
    rng = np.random.default_rng(seed)
    layers = nn.QuantLinear(n, 33, rng=rng), nn.BatchNorm(33), nn.Sign()
    ends = nn.QuantLinear(33, 5, rng=rng), nn.BatchNorm(5), nn.PReLU(5), nn.Linear(5, 3, rng=rng)
    pixels = rng.integers(0, 256, (batch, n), dtype=np.uint8)
    floats = rng.standard_normal((batch, n)).astype(np.float32)
    packed = kernels.pack(signs(seed, (batch, n)))
    firsts = {"pixels": nn.PixelPlanes(n_planes), "signs": nn.Dropout(0.0, rng=rng)}
    for x, kind in ((pixels, "pixels"), (packed, "signs"), (floats, "numbers")):
        model = disturb(nn.Sequential(firsts.get(kind, nn.Sign()), *layers, *ends), seed)
        net = bitnet.freeze(model, x)
        assert net.input == kind
        assert_at_once(net.graph, x)


def test_threads_do_not_share_memory():
    net, rng = chain(0, [784, 65, 97, 33, 10], 1, 2), np.random.default_rng(0)
    batches = [rng.integers(0, 256, (1 + i % 16, 784), dtype=np.uint8) for i in range(64)]
    expected = [net.graph._fused((x,))[0] for x in batches]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            for found, own in zip(pool.map(net.scores, batches), expected, strict=True):
                assert np.array_equal(found, own)


def test_views_and_read_only_pixels_are_taken():
    net = chain(0, [70, 33, 10], 1, 1)
    whole = np.random.default_rng(0).integers(0, 256, (8, 140), dtype=np.uint8)
    expected = net.scores(whole[::2, ::2].copy())
    whole.setflags(write=False)
    assert np.array_equal(net.scores(whole[::2, ::2]), expected)
    whole = whole[::2, ::2].copy()
    whole.setflags(write=False)
    assert np.array_equal(net.scores(whole), expected)


def test_results_are_not_overwritten_by_the_next_call():
    net, rng = chain(0, [70, 33, 10], 1, 1), np.random.default_rng(0)
    first, second = (rng.integers(0, 256, (2, 70), dtype=np.uint8) for _ in range(2))
    found = net.scores(first)
    kept = found.copy()
    assert not np.array_equal(net.scores(second), kept)
    assert np.array_equal(found, kept)


def test_other_nodes_leave_the_walk():
    rng = np.random.default_rng(0)
    layers = nn.QuantLinear(70, 33, rng=rng), nn.BatchNorm(33), Apply("tanh")
    model = nn.Sequential(*layers)
    x = rng.integers(0, 256, (3, 70), dtype=np.uint8)
    net = bitnet.freeze(model, x)
    assert net.execution == "1 call, and node by node: node 4 (tanh): no operation"
    assert np.array_equal(net.scores(x), net.graph.run_all(x)[-1])


def test_the_definitions_are_walked():
    net, x = chain(0, [70, 33, 10], 1, 1), np.zeros((2, 70), np.uint8)
    assert net.graph.at_once(x) is not None
    with kernels.using("reference"):
        assert net.graph.at_once(x) is net.graph.of_pixels(x, True) is None
        walked = net.scores(x)
    assert np.array_equal(walked, net.scores(x))


def test_a_net_that_was_first_walked_is_compiled_later():
    with kernels.using("reference"):
        net, x = chain(0, [70, 33, 10], 1, 1), np.zeros((2, 70), np.uint8)
        walked = net.scores(x)
    assert net.graph.loop is not None
    assert np.array_equal(walked, net.scores(x))


def test_many_rows_of_a_wide_first_layer_are_walked():
    net = chain(0, [784, 512, 10], 1, 1)
    if not net.graph.loop.saved_ns:
        pytest.skip("the loop has no products of bytes at this level")
    few = int(MOST_SAVED_NS // net.graph.loop.saved_ns)
    assert 1 < few < USUAL_ROWS
    x = np.random.default_rng(0).integers(0, 256, (USUAL_ROWS, 784), dtype=np.uint8)
    assert net.graph.at_once(x[:few]) is not None
    assert net.graph.at_once(x[: few + 1]) is net.graph.of_pixels(x, True) is None
    assert np.array_equal(net.scores(x[:few]), net.scores(x)[:few])


@pytest.mark.parametrize("threads", [1, 2])
def test_blocks_and_parts_of_threads_meet_at_their_edges(threads, monkeypatch):
    net = chain(0, [784, 65, 33, 10], 1, 1)
    loop, rng = net.graph.loop, np.random.default_rng(0)
    monkeypatch.setattr("bitnet.kernels.threads.LEAST_NS", 1)
    before = bitnet.kernels.threads.num_threads()
    bitnet.set_num_threads(threads)
    try:
        for rows in (loop.block - 1, loop.block, loop.block + 1, 2 * loop.block + 3):
            x = rng.integers(0, 256, (rows, 784), dtype=np.uint8)
            (expected,) = net.graph._fused((x,))
            assert np.array_equal(net.scores(x), expected)
            assert np.array_equal(net.predict(x), expected.argmax(axis=1))
    finally:
        bitnet.set_num_threads(before)


@pytest.mark.parametrize(("beta", "expected"), [((1, 2, 2), 1), ((1, 1, 1), 0), ((1, 2, 3), 2)])
def test_the_class_is_the_first_of_equal_scores(beta, expected):
    norm = nn.BatchNorm(3)
    model = nn.Sequential(nn.QuantLinear(70, 3, rng=np.random.default_rng(0)), norm)
    norm.gamma.data[:], norm.beta.data[:] = 0, beta
    x = np.random.default_rng(0).integers(0, 256, (9, 70), dtype=np.uint8)
    net = bitnet.freeze(model, x)
    assert net.graph.loop is not None
    assert (net.predict(x) == expected).all()


def test_the_class_is_the_first_nan():
    scale = np.float32([1, 1, 1, 1])
    shift = np.float32([0, 3e38, -3e38, 3e38])
    nodes = [Input("numbers", (), (BATCH, 4))]
    nodes += [Affine("affine", (0,), -shift, scale, shift)] * 2
    nodes += [Binary("subtract", (1, 2))]
    graph = FrozenGraph(nodes, [3])
    x = np.float32([[1, 1e38, 1, 1e38], [1, 0, 0, 0], [1, 0, 1, 3e38]])
    with np.errstate(all="ignore"):
        (expected,) = graph._fused((x,))
    y = np.empty(3, np.int64)
    graph.loop.run(x.view(np.uint8), y, True)
    assert np.isnan(expected).any()
    assert np.array_equal(y, expected.argmax(axis=1))


@pytest.mark.parametrize("wrong", [np.zeros((2, 69), np.uint8), np.zeros(70, np.uint8)])
def test_inputs_are_checked_as_before(wrong):
    net = chain(0, [70, 33, 10], 1, 1)
    with pytest.raises(InputError, match="expected"):
        net.scores(wrong)


def test_a_preparation_is_applied_first():
    net = chain(0, [64, 33, 10], 1, 1)
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    steps = bitnet.data.Preparation.fit(("gcn",), images)
    net.preparation = steps
    assert np.array_equal(net.scores(images), net.scores(steps(images), prepared=True))


def test_small_nets_use_every_operation():
    used = set()
    for name, model, x in small_nets():
        graph = bitnet.freeze(disturb(model, 0), x).graph
        assert graph.loop is not None, (name, graph.execution)
        for rows in (0, 1, 2, 5):
            assert_at_once(graph, x[:rows])
        for table in graph.loop.tables:
            used |= {program.OPERATIONS[row[0]] for row in table[1:]}
    for kind in CELLS:
        used |= {program.OPERATIONS[row[0]] for row in text_model(kind).graph.loop.tables[0][1:]}
    missing = {*program.OPERATIONS} - used
    assert not missing


CELLS = {"rnn": {}, "lstm": {"weight_quantizer": 2, "activation_quantizer": 4}, "gru": {}}


def text_model(kind):
    """Return a frozen language model of 7 tokens."""
    own = {"activation": "relu"} if kind == "rnn" else {}
    sizes = {"width": 5, "units": 33, "layers": 2, "kind": kind}
    rng = np.random.default_rng(0)
    return bitnet.freeze(nn.models.language_model(7, rng=rng, **sizes, **own, **CELLS[kind]))


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_token_is_generated_in_one_call(kind, batch):
    model, ids = text_model(kind), np.random.default_rng(0).integers(0, 7, (6, batch))
    assert model.execution == "one call"
    walked, expected = model.scores(ids)
    state = None
    for t, own in enumerate(ids):
        if t:
            assert_at_once(model.graph, own[None], *state)
        scores, state = model.step(own, state)
        assert np.array_equal(scores, walked[t * batch : (t + 1) * batch])
    assert all(np.array_equal(a, b) for a, b in zip(state, expected, strict=True))


def test_compile_lists_the_operations_at_once():
    net = chain(0, [70, 33, 10], 1, 1)
    assert net.compile() is net
    assert net.execution == "one call"
    with kernels.using("reference"):
        assert net.compile().execution == "node by node: the kernels are those of 'reference'"


def test_execution_names_the_node_that_is_not_covered():
    layers = nn.QuantLinear(70, 33, rng=np.random.default_rng(0)), nn.BatchNorm(33), Apply("tanh")
    net = bitnet.freeze(nn.Sequential(*layers), np.zeros((3, 70), np.uint8))
    assert net.compile().execution == "1 call, and node by node: node 4 (tanh): no operation"


def test_no_images_have_no_classes():
    name, model, x = next(small_nets())
    net = bitnet.freeze(model, x)
    assert net.graph.of_pixels(x, True) is not None, name
    assert net.predict(x[:0]).shape == (0,)
    assert net.scores(x[:0]).shape == (0, 4)
