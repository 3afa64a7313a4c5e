"""Batch norm: its statistics, and how the running ones take in those of a batch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitnet import load_dataset
from bitnet.nn import BatchNorm, ShiftBatchNorm, functional
from bitnet.nn.models import binary_mlp
from bitnet.optim import Adam

NORMS = [functional.batch_norm, functional.shift_batch_norm]
ONE, ZERO = np.ones(1, np.float32), np.zeros(1, np.float32)


def column(rng, kind, rows=500, mean=0.0, deviation=1.0):
    return (mean + deviation * rng.standard_normal((rows, 1))).astype(kind)


def test_integers_far_from_zero_come_out_with_deviation_one():
    """The squares of these rows add up to more than 2**63."""
    z = column(np.random.default_rng(0), np.int32, 802_816, 6_560_640, 50_000)
    running = ZERO.copy(), ONE.copy()
    y = functional.batch_norm(z, ONE, ZERO, running=running, momentum=1.0).data
    assert abs(y.std(dtype=np.float64) - 1) < 1e-6
    assert abs(y.mean(dtype=np.float64)) < 1e-5
    assert running[0] == np.float32(z.mean())
    assert abs(running[1] * z.std() - 1) < 1e-6


@given(st.integers(-(2**31), 2**31 - 2), st.integers(2, 50))
def test_small_differences_of_large_integers(base, rows):
    z = np.full((2 * rows, 1), base, np.int32)
    z[::2] += 1
    running = np.zeros(1), np.ones(1)
    functional.batch_norm(z, np.ones(1), np.zeros(1), 1e-12, running, 1.0)
    assert running[0] == base + 0.5
    assert abs(running[1] - 2) < 1e-10


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", [np.float32, np.int32])
@given(value=st.integers(-(2**24), 2**24), rows=st.integers(2, 3000))
def test_equal_numbers_become_zero(norm, kind, value, rows):
    x = np.full((rows, 1), value, kind)
    assert (norm(x, ONE, ZERO).data == 0).all()


@pytest.mark.parametrize("kind", [BatchNorm, ShiftBatchNorm])
@given(deviation=st.sampled_from([1e-3, 1.0, 1e5, 1e8]), mean=st.sampled_from([0.0, 3.3e6]))
def test_the_first_batch_enters_exactly(kind, deviation, mean):
    x = column(np.random.default_rng(0), np.float32, 300, mean, deviation)
    norm, running = kind(1), (np.zeros(1, np.float32), np.full(1, np.float32(1e20)))
    function = functional.batch_norm if kind is BatchNorm else functional.shift_batch_norm
    norm(x)
    function(x, ONE, ZERO, norm.eps, running, 1.0)
    assert norm.running_mean == running[0] == np.float32(x.mean(dtype=np.float64))
    assert norm.running_inv_std == running[1]
    if kind is BatchNorm and not mean:
        exact = 1 / np.sqrt(x.var(dtype=np.float64) + norm.eps)
        assert abs(running[1] / exact - 1) < 1e-6


@pytest.mark.parametrize("rows", [2, 7, 8, 100])
def test_few_equal_rows_enter_as_at_most_twice_the_average(rows):
    norm = BatchNorm(1)
    norm(np.float32([[0.0], [20.0]] * 50))  # inverse deviation 0.1
    before = norm.running_inv_std.item()
    norm.batches += 100
    norm(np.full((rows, 1), 10.0, np.float32))  # inverse deviation 100
    inv_std = 2 * before if rows < 8 else np.float64(np.float32(1 / np.sqrt(norm.eps)))
    assert norm.running_inv_std.item() == np.float32(0.9 * before + 0.1 * inv_std)
    assert norm.running_mean.item() == 10.0


def test_a_batch_of_two_rows_leaves_a_trained_net_as_good_as_it_was():
    data, rng = load_dataset("embedded"), np.random.default_rng(0)
    x, labels = data.train_images[:2000].reshape(2000, -1), data.train_labels[:2000]
    net = binary_mlp([x.shape[1], 64, 10], rng=rng)
    optimizer = Adam(net.parameters(), 0.01)
    for start in range(0, 6000, 100):
        batch = slice(start % 2000, start % 2000 + 100)
        optimizer.zero_grad()
        functional.cross_entropy(net(x[batch]), labels[batch]).backward()
        optimizer.step()
    trained = net.state_dict()

    def accuracy():
        found = (net.eval()(x).data.argmax(axis=1) == labels).mean()
        net.train().load_state_dict(trained)
        return found

    before = accuracy()
    assert before > 0.7
    for start in range(0, 60, 2):  # some of these fall from 0.75 to 0.2 if averaged plainly
        net(x[start : start + 2])
        assert accuracy() > before - 0.05
