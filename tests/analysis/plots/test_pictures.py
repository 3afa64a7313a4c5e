"""Plots: what they show, into what they are drawn, and that files are whole or not there."""

import copy
import importlib.util
import subprocess
import sys
import warnings

import numpy as np
import pytest

from bitnet import InputError, kernels
from bitnet.analysis.plots import (
    check_plot,
    nets,
    plot_codes,
    plot_confusion,
    plot_curves,
    plot_filters,
    plot_histograms,
    plot_quantizers,
    plot_rates,
    plot_tradeoffs,
    quantizers,
    training,
)
from bitnet.quantizers import quantizer_named
from bitnet.quantizers.names import NAMES as WORDS
from bitnet.training import RateCurve
from bitnet.training.log import RunLog

pytest.importorskip("matplotlib", reason="plots need matplotlib (extra plot)")
RNG = np.random.default_rng(0)


def record(epoch, **figures):
    return {"epoch": epoch, "loss": 1 / epoch, "test_accuracy": 0.5, **figures}


BINARY = RunLog(
    "run",
    {},
    [
        record(
            e,
            train_accuracy=0.6,
            flip_ratio=0.1 / e,
            learning_rate=10.0**-e,
            histograms={"layers.0.weight": [5, 1, e, 5], "layers.3.weight": [1, 0, 0, e]},
        )
        for e in range(1, 9)
    ],
)
TWIN = RunLog("twin", {}, [record(e, flip_ratio=0.0, learning_rate=0.001) for e in (1, 2, 3)])


def test_curves_of_a_net_and_its_twin():
    figure = plot_curves([BINARY, TWIN], ["binary", "float twin"])
    loss, accuracy, flips, rate = figure.axes
    assert [list(line.get_ydata()) for line in loss.lines] == [
        [1 / e for e in range(1, 9)],
        [1, 1 / 2, 1 / 3],
    ]
    test, train, twin = accuracy.lines
    assert list(train.get_ydata()) == [60.0] * 8
    assert list(test.get_ydata()) == [50.0] * 8
    assert train.get_linewidth() < test.get_linewidth()
    assert test.get_color() == train.get_color() != twin.get_color()
    assert test.get_linestyle() != twin.get_linestyle()  # not by colour alone
    assert len(flips.lines) == 1  # the twin has no signs
    assert (rate.get_yscale(), accuracy.get_yscale()) == ("log", "linear")
    assert all(axes.get_xlabel() == "epoch" and axes.get_ylabel() for axes in figure.axes)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["binary", "float twin"]


def language_log(unit, factor=1):
    figures = [
        {
            "epoch": e,
            "loss": 5 / e,
            "valid_loss": 5 / e,
            "learning_rate": 0.1,
            "flip_ratio": 0.1,
            "valid_perplexity": factor * 90.0 / e,
            "test_perplexity": factor * 80.0 / e,
            "valid_bits": factor * 4.0 / e,
            "test_bits": factor * 3.0 / e,
        }
        for e in (1, 2)
    ]
    return RunLog("run", {"unit": unit}, figures)


@pytest.mark.parametrize(
    ("unit", "axis", "test", "valid"),
    [("words", "perplexity", 80.0, 90.0), ("characters", "bits", 3.0, 4.0)],
)
def test_curves_of_language_models(unit, axis, test, valid):
    figure = plot_curves([language_log(unit), language_log(unit, 2)], ["few bits", "float"])
    measure = figure.axes[1]
    assert measure.get_ylabel() == axis
    assert axis in measure.get_title()
    thick, thin, *others = measure.lines
    assert list(thick.get_ydata()) == [test, test / 2]
    assert list(thin.get_ydata()) == [valid, valid / 2]
    assert list(others[0].get_ydata()) == [2 * test, test]
    assert thin.get_linewidth() < thick.get_linewidth()
    assert [len(axes.lines) for axes in figure.axes] == [2, 4, 2, 2]


@pytest.mark.parametrize(("name", "axis", "factor"), [("r2", "R^2", 1), ("f1", "F1 (%)", 100)])
def test_curves_of_other_targets(name, axis, factor):
    epochs = [
        {"epoch": e, "loss": 1 / e, f"test_{name}": e / 4, f"train_{name}": e / 3} for e in (1, 2)
    ]
    measure = plot_curves([RunLog("run", {}, epochs)]).axes[1]
    assert measure.get_ylabel() == axis
    test, train = (line.get_ydata() for line in measure.lines)
    assert np.allclose(test, [factor / 4, factor / 2])
    assert np.allclose(train, [factor / 3, factor * 2 / 3])


@pytest.mark.parametrize("other", [BINARY, language_log("characters")])
def test_curves_of_different_measures_are_refused(other):
    with pytest.raises(InputError, match=r"logs of words and of .*, whose measures differ"):
        plot_curves([language_log("words"), other])


def test_the_loss_by_learning_rate(tmp_path):
    losses = [2.0, 1.5, 1.0, 0.5, 8.0]
    curve = RateCurve([0.001, 0.01, 0.1, 1.0, 10.0], losses)
    figure = plot_rates(curve, path=tmp_path / "a.png")
    (axes,) = figure.axes
    each, smooth, mark = axes.lines
    assert list(each.get_ydata()) == losses
    assert list(smooth.get_ydata()) == curve.smooth
    assert set(mark.get_xdata()) == {curve.suggestion}
    assert "suggested: 0.1" in [text.get_text() for text in axes.get_legend().get_texts()]
    assert axes.get_xscale() == "log"
    assert axes.get_ylim()[1] < 8  # a loss that diverged does not flatten the curve
    assert (tmp_path / "a.png").stat().st_size > 1000
    same = plot_rates(RateCurve([0.1, 1.0], [1.0, 1.0]), ax=axes)
    assert same is figure


def test_what_a_log_lacks_is_said():
    figure = plot_curves([RunLog("short", {}, [{"epoch": 1, "loss": 0.5}])])
    loss, *others = figure.axes
    assert len(loss.lines) == 1
    assert [axes.texts[0].get_text() for axes in others] == ["not in the log"] * 3


def test_histograms_are_shares_by_epoch():
    figure = plot_histograms(BINARY)
    first, second, *_ = figure.axes
    assert (first.get_title(), second.get_title()) == (
        "layer 0: layers.0.weight",
        "layer 1: layers.3.weight",
    )
    steps = first.patches
    assert len(steps) == training.MOST_EPOCHS
    values, edges, _ = steps[0].get_data()
    assert np.allclose(values, 100 * np.array([5, 1, 1, 5]) / 12)
    assert np.allclose(edges, [-1, -0.5, 0, 0.5, 1])
    assert np.allclose(steps[-1].get_data().values, 100 * np.array([5, 1, 8, 5]) / 19)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert (labels[0], labels[-1]) == ("epoch 1", "epoch 8")


def image_of(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


def squares(sheet, rows, columns):
    """The +1 and -1 of the first picture on a sheet, from the middles of its squares."""
    inside = np.argwhere(sheet != 0.6)
    top, left = inside.min(axis=0)
    step, half = nets.SQUARE, nets.SQUARE // 2
    cut = sheet[top + half :: step, left + half :: step][:rows, :columns]
    return np.where(cut == 1, 1, np.where(cut == 0, -1, 0))


@pytest.mark.parametrize(
    ("shape", "picture", "rows", "columns"),
    [
        ((6, 5, 3, 1), None, 5, 3),
        ((6, 5, 3, 3), None, 5, 3),
        ((6, 36), None, 6, 6),
        ((6, 36), (4, 9, 1), 4, 9),
        ((6, 48), None, 6, 8),
        ((6, 48), (4, 4, 3), 4, 4),
        ((1, 7), None, 1, 7),
        ((6, 32), None, 4, 8),
        ((1, 3, 3, 70), None, 3, 3),
        ((6, 3, 3, 70), None, 3, 3),
    ],
)
def test_filters_are_the_bits(shape, picture, rows, columns):
    signs = RNG.choice([-1, 1], shape)
    figure = plot_filters(kernels.pack(signs), picture)
    first = signs[0] if signs.ndim == 4 else signs[0].reshape(rows, columns, -1)
    assert np.array_equal(squares(image_of(figure), rows, columns), first[:, :, 0])
    assert set(np.unique(image_of(figure))) <= {0.0, 0.6, 1.0}


@pytest.mark.parametrize("name", ["uniform:2", "linear:3:0.5", "ternary", "log:3", "uniform:8"])
@pytest.mark.parametrize("shape", [(6, 5, 3, 1), (6, 15), (1, 3, 3, 70)])
def test_filters_of_few_bits_are_grey(name, shape):
    codebook = quantizer_named(name).codebook
    codes = RNG.integers(0, len(codebook), shape, dtype=np.uint8)
    codes.ravel()[:2] = 0, len(codebook) - 1
    figure = plot_filters(codebook.planes(codes), codebook=codebook)
    rows, columns = (3, 3) if shape[0] == 1 else (5, 3) if len(shape) == 4 else (3, 5)
    values = codebook.values()
    expected = (values[codes[0]].reshape(rows, columns, -1)[..., 0] - values[0]) / (
        values[-1] - values[0]
    )
    sheet = np.ma.filled(figure.axes[0].images[0].get_array(), np.nan)
    top, left = np.argwhere(~np.isnan(sheet)).min(axis=0)
    step, half = nets.SQUARE, nets.SQUARE // 2
    seen = sheet[top + half :: step, left + half :: step][:rows, :columns]
    assert np.allclose(seen, expected)
    assert (np.nanmin(sheet), np.nanmax(sheet)) == (0, 1)
    title = f"{len(codebook)} greys, white {values[-1]:+g}, black {values[0]:+g}"
    assert title in figure.axes[0].get_title()


def test_codes_are_shares_of_each_number():
    codebook = quantizer_named("ternary").codebook
    codes = np.uint8([[0, 1, 2, 2], [2, 2, 0, 2]])
    signs = kernels.pack(np.array([[1.0, 1.0, -1.0, 1.0]]))
    figure = plot_codes({"few": (codebook.planes(codes), codebook), "bits": (signs, None)})
    few, bits = figure.axes
    assert [bar.get_height() for bar in few.patches] == [25.0, 12.5, 62.5]
    assert [bar.get_height() for bar in bits.patches] == [25.0, 75.0]
    assert [text.get_text() for text in few.get_xticklabels()] == ["-1", "0", "1"]
    assert (few.get_title(), bits.get_title()) == ("few", "bits")


@pytest.mark.parametrize(
    ("shape", "picture", "title"),
    [
        ((6, 48), None, "48 inputs in rows of 8\n"),
        ((6, 48), (4, 4, 3), "4 x 4, red, green and blue side by side\n"),
        ((6, 5, 3, 3), None, "5 x 3, 3 input channels side by side\n"),
        ((1, 3, 3, 70), None, "its first 64 of 70 input channels, 3 x 3\n"),
        ((1, 3, 3, 16), None, "its 16 input channels, 3 x 3\n"),
        ((6, 3, 3, 16), None, "3 x 3, input channel 0 of 16\n"),
    ],
)
def test_the_title_says_what_is_seen(shape, picture, title):
    figure = plot_filters(kernels.pack(RNG.choice([-1, 1], shape)), picture)
    assert title in figure.axes[0].get_title()


def test_some_filters_of_many():
    signs = RNG.choice([-1, 1], (100, 3, 3, 1))
    figure = plot_filters(kernels.pack(signs), None, 4, 90)
    assert np.array_equal(squares(image_of(figure), 3, 3), signs[90, :, :, 0])
    assert "units 90 to 93 of 100" in figure.axes[0].get_title()
    white = (image_of(figure) == 1).sum() / nets.SQUARE**2
    assert white == (signs[90:94] == 1).sum()


def test_a_confusion_matrix_has_the_true_classes_as_rows():
    labels, predictions = [0, 0, 0, 1, 2], [0, 0, 1, 1, 0]
    figure = plot_confusion(labels, predictions, ["a", "b", "c"])
    axes = figure.axes[0]
    assert np.allclose(image_of(figure), [[200 / 3, 100 / 3, 0], [0, 100, 0], [100, 0, 0]])
    assert {t.get_position(): t.get_text() for t in axes.texts} == {
        (0, 0): "2",
        (1, 0): "1",
        (1, 1): "1",
        (0, 2): "1",
    }
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert "5 images, 60.0 % correct" in axes.get_title()


def drawn_of(*names):
    """Return the figure, x, and for each name its lines above and its lines below."""
    figure = plot_quantizers(names)
    axes = figure.axes
    data = [[line.get_ydata() for line in own.lines] for own in axes]
    return figure, axes[0].lines[-1].get_xdata(), data[: len(names)], data[len(names) :]


def test_quantizers_are_the_functions():
    names = ["sign:2", "stochastic-sign", "log:3", "linear:2:0.5:unsigned"]
    figure, x, above, below = drawn_of(*names)
    assert np.array_equal(above[0][0], np.where(x >= 0, 1, -1))
    assert np.array_equal(above[0][1], np.clip(x, -2, 2))
    assert np.array_equal(below[0][0], abs(x) <= 2)
    draw, mean, surrogate = above[1]
    assert set(np.unique(draw)) == {-1, 1}
    assert abs(mean - surrogate).max() < 0.25  # of 500 draws: 5 standard deviations
    assert np.array_equal(surrogate, np.clip(x, -1, 1))
    assert set(np.unique(above[2][0])) == {-1, -0.5, -0.25, 0, 0.25, 0.5, 1}
    assert np.array_equal(below[3][0], (x >= 0) & (x <= 1.5))
    titles = [axes.get_title().split("\n") for axes in figure.axes[:4]]
    assert [name for name, _ in titles] == names
    assert all(formula for _, formula in titles)


def test_gradients_have_no_surrogate():
    _, x, above, below = drawn_of("int4", "dorefa4", "log6")
    assert np.array_equal(np.unique(np.rint(above[0][0] * 7 / 2.5)), range(-7, 8))
    assert len(above[1]) == 2
    assert np.array_equal(np.unique(above[2][0][x > 0.1]), [0.125, 0.25, 0.5, 1, 2])
    assert below == [[], [], []]


def test_by_default_all_quantizers_are_drawn():
    figure = plot_quantizers()
    titles = [axes.get_title().split("\n")[0] for axes in figure.axes]
    shown = [title.removeprefix("gradient ") for title in titles if title]
    assert sorted(shown) == sorted(quantizers.QUANTIZERS)
    words = {name.split(":")[0] for name in quantizers.QUANTIZERS}
    assert words >= set(WORDS)


BITS, PIXELS = kernels.pack(np.ones((2, 6))), kernels.split_planes(np.ones((2, 3), np.uint8))
ROW = {"weights": 1, "activations": 2, "accuracy": 0.9, "bytes": 100, "images_per_s": 1e4}
PLOTS = {
    "curves": lambda **to: plot_curves([BINARY, TWIN], **to),
    "histograms": lambda **to: plot_histograms(BINARY, **to),
    "codes": lambda **to: plot_codes({"bits": (BITS, None)}, **to),
    "quantizers": lambda **to: plot_quantizers(["sign", "log:3"], **to),
    "tradeoffs": lambda **to: plot_tradeoffs([ROW | {"energy_nj": 5.0}], **to),
    "filters": lambda **to: plot_filters(BITS, **to),
    "confusion": lambda **to: plot_confusion([0, 1], [1, 1], ["a", "b"], **to),
}
OF_ONE_PANEL = "filters", "confusion"


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_a_figure_that_a_notebook_shows(tmp_path, monkeypatch, name):
    from matplotlib.figure import Figure

    monkeypatch.chdir(tmp_path)
    figure = PLOTS[name]()
    assert type(figure) is Figure
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert not list(tmp_path.iterdir())
    assert len(copy.deepcopy(figure).axes) == len(figure.axes)


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_drawn_into_what_is_given(tmp_path, name):
    from matplotlib.figure import Figure

    figure = Figure((12, 6))
    left, right = figure.subfigures(1, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if name in OF_ONE_PANEL:
            ax = left.subplots()
            given = PLOTS[name](ax=ax, path=tmp_path / "a.png")
            assert ax.get_title()
        else:
            given = PLOTS[name](figure=left, path=tmp_path / "a.png")
            whole = Figure()
            assert PLOTS[name](figure=whole) is whole
            assert len(whole.axes) == len(left.axes)
    assert given is figure
    assert left.axes
    assert not right.axes
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", PLOTS)
def test_what_is_no_figure_is_refused(tmp_path, name):
    to, kind = ("ax", "Axes") if name in OF_ONE_PANEL else ("figure", "a Figure or SubFigure")
    with pytest.raises(InputError, match=f"{to} is 'a.png'; expected {kind}"):
        PLOTS[name](**{to: "a.png"}, path=tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_no_plot_uses_pyplot():
    code = "from bitnet.analysis.plots import plot_quantizers; plot_quantizers(['sign'])"
    code += "; import sys; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", ["png", "svg", "PNG"])
def test_files_are_pictures_and_repeat_byte_for_byte(tmp_path, kind):
    draws = {
        "curves": lambda path: plot_curves([BINARY, TWIN], path=path),
        "filters": lambda path: plot_filters(kernels.pack(np.ones((3, 3, 3, 1))), path=path),
    }
    for name, draw in draws.items():
        path = tmp_path / f"{name}.{kind}"
        draw(path)
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG" if kind.lower() == "png" else b"<?xml")
        draw(path)
        assert path.read_bytes() == content
    if kind == "svg":
        assert b"learning rate" in (tmp_path / "curves.svg").read_bytes()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda p: plot_curves([], path=p), "0 logs"),
        (lambda p: plot_curves([BINARY] * 8, path=p), "8 logs"),
        (lambda p: plot_curves([BINARY], ["a", "b"], path=p), "1 logs with 2 labels"),
        (lambda p: plot_histograms(TWIN, path=p), "low-bit weights"),
        (lambda p: plot_filters(np.ones((2, 6)), path=p), "expected Bits"),
        (lambda p: plot_filters(kernels.pack(np.ones((0, 6))), path=p), "expected Bits"),
        (lambda p: plot_filters(BITS, (2, 2, 1), path=p), "picture"),
        (
            lambda p: plot_filters(kernels.split_planes(np.ones((2, 3), np.uint8)), path=p),
            "codebook",
        ),
        (lambda p: plot_codes({}, path=p), "0 layers"),
        (lambda p: plot_filters(BITS, None, 0, path=p), "most is 0"),
        (lambda p: plot_filters(BITS, None, 1, 2, path=p), "first is 2"),
        (lambda p: plot_confusion([0], [1], ["a"], path=p), "below the number"),
        (lambda p: plot_confusion([], [], ["a"], path=p), "got labels"),
        (lambda p: plot_confusion([0.0], [0], ["a"], path=p), "integers"),
        (lambda p: plot_confusion([0], [0, 1], ["a", "b"], path=p), "as many"),
        (lambda p: plot_confusion([0], [0], ["a"] * 201, path=p), "1 to 200"),
        (lambda p: plot_quantizers(path=p.with_suffix(".gif")), "png or .svg"),
        (lambda p: plot_quantizers([], path=p), "0 names"),
        (lambda p: plot_quantizers(["sign"] * 25, path=p), "25 names"),
        (lambda p: plot_quantizers(["float32"], path=p), "expected one of"),
        (lambda p: plot_quantizers(["uniform:9"], path=p), "from 1 to 8"),
        (lambda p: plot_quantizers(path=p.parent / "none" / "a.png"), "no folder"),
    ],
)
def test_what_cannot_be_drawn_leaves_no_file(tmp_path, draw, message):
    with pytest.raises(InputError, match=message):
        draw(tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for draw in (lambda: check_plot(tmp_path / "a.png"), lambda: plot_filters(BITS)):
        with pytest.raises(InputError, match="pip install matplotlib`, or the extra `plot`"):
            draw()


def test_each_column_of_histograms_has_its_numbers():
    counts = {f"layers.{i}.weight": [1, 2, 3, 4] for i in range(4)}
    figure = plot_histograms(RunLog("run", {}, [record(1, histograms=counts)]))
    shown = [axes.xaxis.get_tick_params()["labelbottom"] for axes in figure.axes[:4]]
    assert shown == [False, True, True, True]  # three columns, and one below the first


NAMES = ["$x^{$", r"$\foo$", "_run", "数"]


def test_no_name_is_a_formula_or_left_out(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_curves([BINARY] * 4, NAMES, path=tmp_path / "a.svg")
        plot_confusion([0, 1, 2, 3], [0, 1, 2, 2], NAMES, path=tmp_path / "b.svg")
        plot_confusion([0, 1, 2, 3], [0, 1, 2, 2], NAMES, path=tmp_path / "b.png")
    for name in ("a.svg", "b.svg"):
        text = (tmp_path / name).read_text()
        assert all(f"{own}<" in text for own in NAMES)
