"""Branches joined by hand, heads that are there in training alone, and the loss of both."""

import numpy as np
import pytest

from bitnet import InputError, kernels
from bitnet.nn import (
    BatchNorm,
    BinaryConv2d,
    BinaryLinear,
    Branches,
    Flatten,
    MaxPool2d,
    Sequential,
    Sign,
    WithHeads,
    auxiliary,
    functional,
)
from bitnet.optim import Adam

X = np.random.default_rng(0).integers(0, 256, (6, 6, 5, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def stage(inputs, outputs, rng, **options):
    return [
        BinaryConv2d(inputs, outputs, rng=rng, padding="same", **{"kernel_size": 3} | options),
        BatchNorm(outputs),
        Sign(),
    ]


def block(inputs, rng):
    branches = [
        stage(inputs, 7, rng, kernel_size=1),
        [*stage(inputs, 65, rng, kernel_size=1), *stage(65, 70, rng)],
        [MaxPool2d(3, 1, 1), *stage(inputs, 3, rng, kernel_size=1)],
    ]
    return Branches(*(Sequential(*branch) for branch in branches))


def net(rng):
    head = Sequential(Flatten(), BinaryLinear(30 * 5, 3, rng=rng), BatchNorm(3))
    layers = *stage(3, 5, rng), block(5, rng), Flatten(), BinaryLinear(30 * 80, 3, rng=rng)
    return WithHeads(*layers, BatchNorm(3), heads={2: head})


def test_branches_stand_side_by_side():
    rng = np.random.default_rng(1)
    branches, x = block(5, rng), functional.sign(rng.standard_normal((2, 4, 3, 5)))
    parts = [branch(x).data.signs() for branch in branches.branches]
    y = branches(x).data
    assert isinstance(y, kernels.Bits)
    assert np.array_equal(y.signs(), np.concatenate(parts, axis=3))


def test_a_net_with_heads_learns_and_drops_them():
    model, loss_of = net(np.random.default_rng(2)), auxiliary(functional.cross_entropy)
    adam, losses = Adam(model.parameters(), 0.01), []
    for _ in range(15):
        scores = model(X)
        assert [part.shape for part in scores] == [(6, 3), (6, 3)]
        adam.zero_grad()
        losses.append(loss_of(scores, LABELS))
        losses[-1].backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        adam.step()
    assert losses[-1].item() < losses[0].item() / 2
    assert {name.split(".")[0] for name in model.state_dict()} == {"layers", "heads"}
    model.eval()
    chain = Sequential(*model.layers)
    assert np.array_equal(model(X).data, chain(X).data)


def test_the_loss_of_the_heads_counts_less():
    scores = np.random.default_rng(3).standard_normal((3, 6, 3))
    main, *heads = (functional.cross_entropy(part, LABELS).item() for part in scores)
    total = auxiliary(functional.cross_entropy, 0.25)(tuple(scores), LABELS).item()
    assert np.isclose(total, main + 0.25 * sum(heads))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Branches(), "got nothing"),
        (lambda: Branches(Sign()), "got \\['Sign'\\]"),
        (lambda: WithHeads(Sign(), heads={0: Sequential()}), "after layers before the last"),
        (lambda: WithHeads(Sign(), Sign(), heads={0: Sign()}), "expected Sequentials"),
        (lambda: Branches(Sequential(), Sequential(Sign()))(X * 1.0), "expected Bits"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
