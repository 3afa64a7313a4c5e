"""The plot of a traced graph."""

import numpy as np
import pytest

from bitnet import InputError, freeze, nn
from bitnet.analysis.plots import plot_graph
from bitnet.autograd import trace

RNG = np.random.default_rng(0)


def shortcut(x):
    return x + nn.functional.relu(x * 2)


def words_of(figure):
    """The first words of the boxes of a figure, in order."""
    return [text.get_text().split()[0] for text in figure.axes[0].texts if text.get_text()]


def test_boxes_and_arrows():
    figure = plot_graph(trace(shortcut, np.ones((1, 2), np.float32)))
    assert words_of(figure) == ["input", "Multiply", "ReLU", "Add"]
    arrows = [text for text in figure.axes[0].texts if not text.get_text()]
    assert len(arrows) == 4  # input to multiply and to add, multiply to relu, relu to add


def test_weights_are_beside_the_main_path(tmp_path):
    model = nn.Sequential(nn.BinaryLinear(4, 3, rng=RNG), nn.BatchNorm(3))
    figure = plot_graph(trace(model, np.zeros((1, 4), np.uint8)), path=tmp_path / "a.png")
    places = {
        w: t.get_position() for w, t in zip(words_of(figure), figure.axes[0].texts, strict=False)
    }
    assert places["Sign"][0] > places["input"][0] == places["QuantizedLinear"][0]
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_large_graphs_are_refused():
    def deep(x):
        for _ in range(401):
            x = x + 1
        return x

    with pytest.raises(InputError, match="got 3; expected a Graph"):
        plot_graph(3)
    with pytest.raises(InputError, match="got 401 nodes; expected at most 400"):
        plot_graph(trace(deep, [1.0]))


def test_a_frozen_graph_names_its_weights_in_the_boxes_that_take_them():
    layers = nn.BinaryLinear(4, 3, rng=RNG), nn.BatchNorm(3), nn.Sign()
    model = nn.Sequential(*layers, nn.BinaryLinear(3, 2, rng=RNG))
    figure = plot_graph(freeze(model).graph)
    assert words_of(figure) == ["pixels", "linear", "thresholds", "linear"]
    texts = [text.get_text() for text in figure.axes[0].texts if text.get_text()]
    assert texts[1].splitlines() == ["linear  2", "int32 (B, 3)", "layers.0", "bits (3, 4)"]
