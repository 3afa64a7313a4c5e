"""Data on one device for objects on the other: moved, or rejected with one sentence."""

import sys

import numpy as np
import pytest

import bitnet
import bitnet.nn.functional as F  # noqa: N812
from bitnet import InputError, kernels
from bitnet.arrays import array_module, moved, to_cpu
from bitnet.data import sequences
from bitnet.devices import to_gpu
from bitnet.kernels import Bits, Quantized, Thresholds
from bitnet.nn import models

RNG = np.random.default_rng(0)
X, Z = RNG.standard_normal((6, 5)).astype(np.float32), np.zeros((6, 3), np.int32)
PIXELS, LABELS = RNG.integers(0, 256, (6, 5), dtype=np.uint8), np.array([0, 1, 2, 0, 1, 2])
BITS, WEIGHT = kernels.pack(X), kernels.pack(RNG.standard_normal((3, 5)))
STEPS = Thresholds(np.zeros(3, np.int32), np.ones(3, bool))
ONES = np.ones(3, np.float32)
IDS = np.array([0, 2, 1])

KERNELS = {
    "xnor_gemm": lambda move: kernels.xnor_gemm(move(BITS), WEIGHT),
    "xnor_gemm, the other": lambda move: kernels.xnor_gemm(BITS, move(WEIGHT)),
    "plane_gemm": lambda move: kernels.plane_gemm(move(PIXELS), WEIGHT),
    "where": lambda move: kernels.where(BITS, move(X)),
    "threshold": lambda move: kernels.threshold(move(Z), STEPS),
    "affine": lambda move: kernels.affine(move(Z), 1.0, ONES),
    "count_flips": lambda move: kernels.count_flips(move(BITS), BITS),
    "concatenate": lambda move: kernels.concatenate([move(BITS), BITS]),
    "update": lambda move: kernels.update("sgd", move(X), move(X), [0 * X], [1, 0, 0]),
    "normalize_sign": lambda move: kernels.normalize_sign(move(Z), ONES, ONES, ONES),
    "ordered_gemm": lambda move: kernels.ordered_gemm(move(X), X[0][:, None]),
    "Thresholds": lambda move: Thresholds(move(STEPS.values), STEPS.increasing),
    "Quantized": lambda move: Quantized(move(np.zeros((1, 1), np.int16)), ONES[:1], 3),
    "flip_ratio": lambda move: bitnet.training.flip_ratio([move(BITS)], [BITS]),
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("chosen", ["numba", "reference"])
def test_operands_of_both_devices_are_refused(gpu, name, chosen):
    where = "count_flips" if name == "flip_ratio" else name.partition(",")[0]
    with kernels.using(chosen), pytest.raises(InputError, match=f"^{where}: some operands are on"):
        KERNELS[name](lambda x: moved(x, sys.modules["cupy"].asarray))


def net():
    return models.binary_mlp([5, 8, 3], rng=np.random.default_rng(0))


DATA = {
    "predict": lambda x, labels: bitnet.training.predict(net(), x),
    "evaluate": lambda x, labels: bitnet.training.evaluate(net().to("gpu"), x, LABELS),
    "batches": lambda x, labels: bitnet.data.batches(PIXELS, labels, 2),
    "sequences": lambda x, labels: sequences(labels, 1, 2),
}


@pytest.mark.parametrize("name", DATA)
def test_data_on_the_gpu_are_refused_where_the_processor_takes_them_apart(gpu, name):
    with pytest.raises(InputError, match=r"the data are on the GPU; .* as bitnet.to_cpu gives$"):
        DATA[name](to_gpu(PIXELS), to_gpu(LABELS))


def test_states_of_either_device_are_taken(gpu):
    model = net()
    optimizer, state = bitnet.optim.Adam(model.parameters()), model.state_dict()
    for device in ("cpu", "gpu"):
        model.to(device).load_state_dict(to_gpu(state))
        optimizer.load_state_dict(to_gpu(optimizer.state_dict()))
        assert model.device == device
    broken = to_gpu(state | {"layers.0.weight": state["layers.0.weight"] * np.float32(np.nan)})
    with pytest.raises(InputError, match="holds NaN"):
        model.load_state_dict(broken)


def test_scores_of_a_teacher_from_anywhere(gpu):
    expected = F.distillation(X, LABELS, X[::-1]).item()
    for teacher in (X[::-1], X[::-1].tolist(), to_gpu(X[::-1]), bitnet.Tensor(X[::-1])):
        found = F.distillation(to_gpu(X), LABELS, teacher)
        assert array_module(found) is not np
        assert found.item() == pytest.approx(expected, rel=1e-5)
    assert F.distillation(X, LABELS, to_gpu(X[::-1])).item() == expected


def test_small_operands_from_anywhere(gpu):
    codes = kernels.edge_codes(X, [0.3, 0.9], signed=True)
    found = kernels.edge_codes(to_gpu(X), to_gpu(np.float32([0.3, 0.9])), signed=True)
    assert np.array_equal(to_cpu(found), codes)
    rows = Bits.from_bytes(to_gpu(BITS.to_bytes()), 5)
    assert array_module(rows) is not np
    assert rows == BITS


@pytest.mark.parametrize("kind", ["trained", "frozen"])
def test_a_summary_is_the_same(gpu, kind):
    model = net()
    model(PIXELS)
    expected = str(bitnet.summary(bitnet.freeze(model) if kind == "frozen" else model))
    model.to("gpu")
    there = bitnet.freeze(model).to("gpu") if kind == "frozen" else model
    assert str(bitnet.summary(there)) == expected


def test_a_frozen_language_model_goes_on_from_ids_of_the_gpu(gpu):
    rng, options = np.random.default_rng(1), {"weight_quantizer": 2, "activation_quantizer": 3}
    model = bitnet.nn.models.language_model(9, rng=rng, kind="gru", width=6, units=10, **options)
    frozen = bitnet.freeze(model)
    (first, state), (second, _) = (frozen.scores(ids[:, None]) for ids in (IDS, to_gpu(IDS)))
    assert array_module(second) is not np
    assert np.array_equal(first, to_cpu(second))
    again = frozen.scores(to_gpu(IDS[:, None]), state)[0]
    assert np.array_equal(frozen.scores(IDS[:, None], state)[0], to_cpu(again))
