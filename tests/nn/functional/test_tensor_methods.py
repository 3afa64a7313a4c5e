"""The operators and methods of Tensor: types, integers that never wrap, comparisons, indexing."""

import operator

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


@given(arrays(np.float32, array_shapes(max_dims=2), elements=st.floats(-2, 2, width=16)))
def test_comparisons_are_those_of_numpy(x):
    other = np.roll(x, 1)
    for compare in (getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")):
        for right in (other, Tensor(other), float(other.flat[0])):
            expected = compare(x, right.data if isinstance(right, Tensor) else right)
            found = compare(Tensor(x), right)
            assert isinstance(found, Tensor)
            assert np.array_equal(found.data, expected)
            assert not found.requires_grad


def test_truth_numbers_and_lengths():
    assert Tensor([2.0]) == 2.0
    assert not Tensor(0.0)
    assert int(Tensor([3.7])) == 3
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
    with pytest.raises(InputError, match="of shape"):
        x[2]
    with pytest.raises(InputError, match=r"parameter.edit\(\)\[\.\.\.\], call parameter.assign"):
        x[0] = 1.0


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
