"""Type hints: public names have them, and a user's program is checked against them."""

import ast
import importlib
import inspect
import os
import subprocess
import sys

import pytest
from test_docs import ROOT, public_names

PUBLIC = {param.id: param.values[0] for param in public_names()}
PROGRAM = """
import numpy as np
import bitnet
from bitnet import Tensor, nn, optim
from bitnet.training import Images, Split, fit

layer = nn.BinaryLinear(784, 10, rng=np.random.default_rng(0))
model = nn.Sequential(layer, nn.BatchNorm(10))
net = bitnet.freeze(model)
adam = optim.Adam(model.parameters(), betas=(0.9, 0.99))
digits = bitnet.load_dataset("embedded")
train = digits.train_images, digits.train_labels
epochs = fit(model, adam, Images(Split(train, train)), epochs=1, rng=np.random.default_rng(0))
reveal_type(layer)
reveal_type(model(Tensor([1.0])) if False else Tensor([1.0]) + 1)
reveal_type(Tensor([1.0]).sum().exp())
reveal_type(net)
reveal_type(bitnet.load)
reveal_type(digits)
reveal_type(epochs)
reveal_type(nn.functional.sign([1.0]))
bitnet.quantizers.Uniform(2), bitnet.kernels.pack, bitnet.autograd.Parameter([1.0])
nn.models.binary_mlp, bitnet.analysis.plots.plot_curves, bitnet.cli.run
[x + 1 for x in Tensor([1.0])]
nn.BinaryLinear("784", 10, rng=np.random.default_rng(0))
nn.BinaryLinear(784, 10)
optim.Adam(model.parameters(), beta1=0.9)
"""


def annotated(function):
    """Whether all parameters but self and the result of a function have hints."""
    found = inspect.signature(function)
    given = [p for name, p in found.parameters.items() if name not in ("self", "cls")]
    hints = [p.annotation for p in given] + [found.return_annotation]
    return all(hint is not inspect.Signature.empty for hint in hints)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_names_have_hints(name):
    value = PUBLIC[name]
    if inspect.isclass(value):
        init = vars(value).get("__init__")
        assert init is None or hasattr(value, "__dataclass_fields__") or annotated(init)
    elif inspect.isfunction(value):
        assert annotated(value)


def test_a_program_of_a_user(tmp_path, request):
    pytest.importorskip("mypy", reason="mypy is not installed (extra `test`)")
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "program.py", "--ignore-missing-imports", "--strict"]
    command += ["--cache-dir", str(request.config.cache.mkdir("mypy"))]
    env = os.environ | {"MYPYPATH": str(ROOT)}  # mypy does not follow an editable install
    out = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True).stdout
    revealed = [line.partition("Revealed type is ")[2] for line in out.splitlines()]
    expected = [
        "nn.linear.BinaryLinear",
        "tensor.Tensor",
        "tensor.Tensor",
        "FrozenNet",
        "def (path",
        "datasets.Dataset",
        "Iterator[bitnet.training.loop.Epoch",
        "tensor.Tensor",
    ]
    revealed = [kind for kind in revealed if kind]
    assert len(revealed) == len(expected), out
    for kind, part in zip(revealed, expected, strict=True):
        assert part in kind, out
    errors = [
        line for line in out.splitlines() if line.startswith("program.py") and "error:" in line
    ]
    assert len(errors) == 3, out
    assert 'incompatible type "str"; expected "int"' in errors[0]
    assert 'Missing named argument "rng"' in errors[1]
    assert '"beta1"' in errors[2]


ROOMS = [
    "analysis.plots",
    "autograd",
    "kernels",
    "nn",
    "nn.functional",
    "nn.models",
    "optim",
    "quantizers",
]


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_list_what_they_import(room):
    """Type checkers take a name that a typed package imports but does not list as private."""
    module = importlib.import_module(f"bitnet.{room}")
    imports = (n for n in ast.parse(inspect.getsource(module)).body if type(n) is ast.ImportFrom)
    names = {alias.name for node in imports for alias in node.names}
    assert set(module.__all__) == names - {"methods"}
