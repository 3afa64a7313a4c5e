"""The operators and methods of Tensor: types, integers that never wrap, comparisons, indexing."""

import operator
import subprocess
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays, basic_indices, integer_array_indices

import bitnet
from bitnet import InputError, Tensor, nn

SMALL = [np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.int32]
BINARY = {"+": operator.add, "-": operator.sub, "*": operator.mul}


@given(st.data(), st.sampled_from(SMALL), st.sampled_from(SMALL), st.sampled_from(list(BINARY)))
def test_small_integers_give_the_exact_result_or_are_refused(data, first, second, sign):
    a, b = (data.draw(arrays(kind, 5)) for kind in (first, second))
    exact = BINARY[sign](a.astype(object) * 1, b.astype(object) * 1)
    try:
        found = BINARY[sign](Tensor(a), Tensor(b)).data
    except InputError as error:
        assert "do not fit int32" in str(error)
        assert max(exact) >= 2**31 or min(exact) < -(2**31)
        return
    assert found.dtype == np.int32
    assert found.tolist() == [int(x) for x in exact]


@pytest.mark.parametrize("sign", BINARY)
@pytest.mark.parametrize("kind", [*SMALL, np.int64])
def test_integers_with_floats_become_floats(kind, sign):
    x = np.array([1, 0, 1], kind)
    for number in (Tensor([0.5, 2.0, 3.0]), 0.5):
        assert BINARY[sign](Tensor(x), number).data.dtype == np.float32
    assert (Tensor(x) / Tensor(x[:1])).data.dtype == np.float32
    assert (Tensor(x) ** 2).data.dtype == Tensor(x).mean().data.dtype == np.float32


def test_integers_that_would_wrap():
    x = Tensor(np.array([255], np.uint8))
    assert (x + x).data.tolist() == [510]
    assert (-x).data.tolist() == [-255]
    assert (x * 3).data.tolist() == [765]
    assert abs(Tensor(np.array([-128], np.int8))).data.tolist() == [128]
    for kind in (np.int32, np.int64):
        most = Tensor(np.array([np.iinfo(kind).max], kind))
        for call in (lambda x: x + 1, lambda x: x - (-1), lambda x: x * x, lambda x: -(-x - 1)):
            with pytest.raises(InputError, match="do not fit int"):
                call(most)
        least = Tensor(np.array([np.iinfo(kind).min], kind))
        for call in (abs, operator.neg):
            with pytest.raises(InputError, match="do not fit int"):
                call(least)


def test_integers_of_64_bits_and_sums():
    large = Tensor(np.array([2**63 + 5], np.uint64))
    for call in (lambda x: x + 1, lambda x: 2 * x, abs, operator.neg, Tensor.sum):
        with pytest.raises(InputError, match=r"2\^63 - 1|may not fit int64"):
            call(large)
    assert (Tensor(np.array([5], np.uint64)) + 1).data.dtype == np.int64
    total = Tensor(np.full(300, 255, np.uint8)).sum()
    assert (total + 1).data.dtype == np.int64
    assert int(total) == 76500
    with pytest.raises(InputError, match="may not fit int64"):
        Tensor(np.full(4, 2**62)).sum()
    for number in (2**40, np.int64(-(2**40)), 10**30):
        with pytest.raises(InputError, match="does not fit int32"):
            Tensor(np.int8([1])) + number


def test_booleans_are_integers():
    for other in (True, np.bool_(True), 1, Tensor(np.array([True]))):
        for x in (Tensor(np.array([True])), Tensor(np.array([1], np.int8))):
            assert (x + other).data.dtype == (other + x).data.dtype == np.int32
    assert (-Tensor(np.array([True]))).data.dtype == np.int32


@given(arrays(np.float32, array_shapes(max_dims=2), elements=st.floats(-2, 2, width=16)))
def test_comparisons_are_those_of_numpy(x):
    other = np.roll(x, 1)
    for compare in (getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")):
        for right in (other, Tensor(other), float(other.flat[0]), other.tolist(), other.flat[0]):
            expected = compare(x, right.data if isinstance(right, Tensor) else right)
            found = compare(Tensor(x), right)
            assert isinstance(found, Tensor)
            assert np.array_equal(found.data, expected)
            assert not found.requires_grad


def test_comparisons_that_are_refused():
    x = Tensor([1.0, 2.0, 3.0])
    for other in (np.ones(2), Tensor(np.ones(2)), [1.0, 2.0]):
        with pytest.raises(InputError, match=r"shapes \(3,\) and \(2,\), which do not broadcast"):
            x == other  # noqa: B015
    signs = nn.functional.sign(x)
    for other in (signs, x, np.ones(3)):
        for compare in (operator.eq, operator.ne, operator.lt):
            with pytest.raises(InputError, match=r"got Bits.*functional.unpack\(\)"):
                compare(other, signs)
    assert (signs == None) is False  # noqa: E711
    with pytest.raises(TypeError):
        x < None  # noqa: B015


def test_a_tensor_alone_has_its_operators():
    """A program that imports nothing but bitnet."""
    program = "import bitnet; x = bitnet.Tensor([1.0, 2.0]); print(float((x * 2)[1].exp() > 3))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "1.0\n"


def test_iteration():
    x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    first, second = x
    (first * 2 + second).sum().backward()
    assert x.grad.tolist() == [[2.0, 2.0], [1.0, 1.0]]
    assert [float(one) for one in Tensor([1.0, 2.0])] == [1.0, 2.0]
    assert 2.0 in Tensor([1.0, 2.0])
    assert 3.0 not in Tensor([1.0, 2.0])
    with pytest.raises(TypeError, match="without axes"):
        iter(Tensor(1.0))


def test_integers_are_indexes():
    two = Tensor(np.array(2))
    assert [*range(two)] == [0, 1]
    assert "abc"[two] == "c"
    assert Tensor([1.0, 2.0, 3.0])[:two].shape == (2,)
    with pytest.raises(TypeError):
        "abc"[Tensor(2.0)]


def test_truth_numbers_and_lengths():
    assert Tensor([2.0]) == 2.0
    assert not Tensor(0.0)
    assert int(Tensor([3.7])) == 3
    assert f"{Tensor([3.14159]):.2f}" == "3.14"
    assert f"{Tensor([1.0])}" == "Tensor(array([1.], dtype=float32))"
    with pytest.raises(InputError, match="expected one element"):
        f"{Tensor([1.0, 2.0]):.2f}"
    assert float(Tensor(1.5)) == 1.5
    assert len(Tensor([[1.0], [2.0]])) == 2
    with pytest.raises(InputError, match=r"shape \(2,\) is ambiguous"):
        bool(Tensor([1.0, 2.0]) == Tensor([1.0, 2.0]))
    with pytest.raises(InputError, match="expected one element"):
        int(Tensor([1.0, 2.0]))
    with pytest.raises(TypeError, match="without axes"):
        len(Tensor(1.0))
    assert (Tensor([1.0]) == "one") is False
    assert Tensor([1.0]) != None  # noqa: E711  as a default argument may be compared
    x = Tensor([1.0, 2.0])
    assert {x: "by identity"}[x] == "by identity"


@given(st.data())
def test_indexing_is_that_of_numpy_and_its_gradient_counts(data):
    x = data.draw(arrays(np.float64, array_shapes(min_dims=1, max_dims=3, max_side=4)))
    x = np.nan_to_num(x, posinf=0, neginf=0)
    kinds = basic_indices(x.shape), integer_array_indices(x.shape)
    index = data.draw(st.one_of(*kinds))
    leaf = Tensor(x, requires_grad=True)
    y = leaf[index]
    assert np.array_equal(y.data, x[index])
    y.backward(np.ones(y.shape))
    expected = np.zeros(x.shape)
    np.add.at(expected, index, 1)
    assert np.array_equal(leaf.grad, expected)


def test_indexing_by_tensors_lists_and_masks():
    x = Tensor(np.arange(6.0).reshape(2, 3))
    assert x[Tensor(np.array([1, 0])), [0, 2]].numpy().tolist() == [3.0, 2.0]
    assert x[x > 3].numpy().tolist() == [4.0, 5.0]
    assert x[[]].shape == (0, 3)
    with pytest.raises(InputError, match="of shape"):
        x["a":]
    with pytest.raises(InputError, match="of shape"):
        x[2]
    with pytest.raises(InputError, match=r"parameter.edit\(\)\[\.\.\.\], call parameter.assign"):
        x[0] = 1.0


def test_shapes_as_lists_and_tuples():
    x = Tensor(np.zeros((2, 3)))
    assert x.reshape([3, 2]).shape == x.reshape((3, -1)).shape == x.transpose((1, 0)).shape
    for call in (lambda: x.reshape(6.0), lambda: x.transpose(1.0, 0), lambda: x.sum(axis=[0])):
        with pytest.raises(InputError):
            call()


def test_equal_largest_numbers_share_the_gradient():
    x = Tensor([[1.0, 3.0, 3.0], [2.0, 0.0, 1.0]], requires_grad=True)
    x.max(axis=1).sum().backward()
    assert x.grad.tolist() == [[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]
    with pytest.raises(InputError, match="no elements"):
        Tensor(np.zeros((0, 2))).max(axis=0)


def test_sigmoid_does_not_overflow():
    x = np.float32([-1000.0, 0.0, 1000.0])
    assert Tensor(x).sigmoid().data.tolist() == [0.0, 0.5, 1.0]


def test_numpy_unpacks_bits_and_planes():
    signs = nn.functional.sign([[0.5, -2.0]])
    assert signs.numpy().tolist() == [[1, -1]]
    assert np.allclose(nn.Quantize(2)([[0.2, -3.0]]).numpy(), [[1 / 3, -1.0]])
    assert repr(bitnet.Tensor(np.zeros((20, 30)))) == "Tensor(float64 (20, 30))"
