"""Every operation gives the same results on the GPU and on the processor, with gradients."""

import numpy as np
import pytest
import recurrent_cases
import same_numbers
import test_gradients

from bitnet import Tensor, kernels
from bitnet.devices import to_cpu, to_gpu


@pytest.fixture
def constants(gpu, monkeypatch):
    """Move the arrays that the cases use in addition to their arguments."""
    for module in (test_gradients, recurrent_cases):
        for name, value in list(vars(module).items()):
            if isinstance(value, np.ndarray):
                monkeypatch.setattr(module, name, to_gpu(value))


def results(function, inputs, move):
    """Return the outputs and the gradients of all inputs."""
    tensors = [Tensor(move(np.array(x)), requires_grad=True) for x in inputs]
    y = function(*tensors)
    grad_y = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(move(grad_y))
    return {"y": y.data} | {str(i): x.grad for i, x in enumerate(tensors)}


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        pytest.param(function, inputs, id=f"{name}-{i}")
        for name, cases in test_gradients.CASES.items()
        for i, ((function, *inputs), _) in enumerate(cases)
    ],
)
def test_operation(gpu, function, inputs, request):
    with kernels.using("reference"):
        expected = results(function, inputs, lambda x: x)
    request.getfixturevalue("constants")
    found = results(function, inputs, to_gpu)
    assert found["y"].__class__.__module__.startswith("cupy")
    same_numbers.assert_same(gpu, to_cpu(found), expected)
