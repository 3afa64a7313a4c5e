"""Contrast normalization and whitening compared with plain loops, and hostile files."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bitnet import InputError
from bitnet.data.preparation import Preparation, fit_zca, gcn, lcn, zca

RNG = np.random.default_rng(0)
SMOOTH = RNG.normal(size=(300, 6, 5, 3)).cumsum(axis=1).cumsum(axis=2)  # neighbours are alike
IMAGES = np.clip(128 + 20 * SMOOTH, 0, 255).astype(np.uint8)

some_images = hnp.arrays(
    np.uint8,
    st.one_of(
        st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)),
        st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12), st.integers(1, 4)),
    ),
)


@given(some_images, st.floats(1e-6, 100))
def test_gcn_is_mean_0_and_the_stated_deviation(images, bias):
    for x, y in zip(images.astype(float), gcn(images, bias), strict=True):
        assert math.isclose(y.mean(), 0, abs_tol=1e-9)
        assert math.isclose(y.std(), x.std() / math.sqrt(bias + x.var()), abs_tol=1e-9)


def test_gcn_takes_brightness_and_contrast_away():
    y = gcn(IMAGES, 1e-9)
    assert np.allclose(y.std(axis=(1, 2, 3)), 1)
    assert np.allclose(gcn(0.25 * IMAGES + 64, 1e-9), y)


def slow_lcn(image):
    """Compute the definition pixel by pixel, for one image with one channel."""
    height, width = image.shape
    taps = {}
    for i in range(-4, 5):
        for j in range(-4, 5):
            taps[i, j] = math.exp(-(i * i + j * j) / 8)
    total = sum(taps.values())

    def blurred(x):
        y = np.zeros((height, width))
        for row in range(height):
            for column in range(width):
                for (i, j), tap in taps.items():
                    if 0 <= row + i < height and 0 <= column + j < width:
                        y[row, column] += tap / total * x[row + i, column + j]
        return y

    v = image - blurred(image)
    s = np.sqrt(blurred(v * v))
    y = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            y[row, column] = v[row, column] / max(s[row, column], s.mean(), 1e-4)
    return y


@pytest.mark.parametrize("size", [(1, 1), (3, 11), (12, 10)])
def test_lcn_is_its_definition_for_each_channel_on_its_own(size):
    images = RNG.integers(0, 256, (2, *size, 3), dtype=np.uint8)
    y = lcn(images)
    for b in range(2):
        for c in range(3):
            assert np.allclose(y[b, ..., c], slow_lcn(images[b, ..., c].astype(float)))
            assert np.allclose(lcn(images[..., c])[b], y[b, ..., c])


def test_lcn_of_black_is_black_and_contrast_does_not_matter():
    assert not lcn(np.zeros((1, 9, 9))).any()
    x = RNG.integers(0, 256, (2, 9, 9)).astype(float)
    assert np.allclose(lcn(x), lcn(7 * x))


def test_whitened_training_images_have_the_identity_as_covariance():
    mean, matrix = fit_zca(IMAGES, regularizer=0)
    y = zca(IMAGES, mean, matrix).reshape(300, -1)
    assert np.allclose(y.mean(axis=0), 0, atol=1e-8)
    assert np.allclose(np.cov(y, rowvar=False, bias=True), np.eye(90), atol=1e-6)
    assert np.allclose(matrix, matrix.T)  # zero phase: nearest of all whitenings to the images


@given(st.floats(1e-3, 10))
def test_the_regularizer_is_the_stated_one(regularizer):
    x = IMAGES.reshape(300, -1).astype(float)
    values, u = np.linalg.eigh(np.cov(x, rowvar=False, bias=True))
    mean, matrix = fit_zca(IMAGES, regularizer)
    expected = u @ np.diag(1 / np.sqrt(values + regularizer * values.mean())) @ u.T
    assert np.allclose(mean, x.mean(axis=0))
    assert np.allclose(matrix, expected)


def test_zca_in_parts_is_zca_at_once(monkeypatch):
    whole = fit_zca(IMAGES, 0.1)
    monkeypatch.setattr("bitnet.data.preparation.PART", 90 * 7)
    assert all(np.allclose(a, b) for a, b in zip(whole, fit_zca(IMAGES, 0.1), strict=True))


def test_images_that_do_not_differ_need_a_regularizer():
    with pytest.raises(InputError, match="the same in all images"):
        fit_zca(IMAGES[:20], regularizer=0)  # 90 pixels
    with pytest.raises(InputError, match="the same in all images"):
        fit_zca(0 * IMAGES)


@pytest.mark.parametrize(
    "steps",
    [
        ("gcn",),
        ("lcn",),
        ("zca",),
        ("gcn", "lcn"),
        ("gcn", "zca"),
        ("zca", "gcn"),
        ("gcn", "lcn", "zca"),
    ],
)
@pytest.mark.parametrize("channels", [False, True])
def test_prepared_images_are_the_numbers_on_8_bits(steps, channels):
    images = IMAGES if channels else np.ascontiguousarray(IMAGES[..., 0])
    prepare = Preparation.fit(steps, images, clip=3)
    x = images.astype(float)
    for step in steps:
        if step == "gcn":
            x = gcn(x, 10)
        elif step == "lcn":
            x = lcn(x)
        else:
            x = zca(x, *(a.astype(np.float32) for a in fit_zca(x, 0.1)))
    y = prepare(images)
    assert (y.dtype, y.shape) == (np.uint8, images.shape)
    expected = np.clip(127.5 + 127.5 * (x - x.mean()) / (3 * x.std()), 0, 255)
    assert np.abs(y - expected).max() < 0.5 + 1e-3
    assert abs(y.mean() - 127.5) < 2
    assert prepare.arrays.keys() == ({"zca_mean", "zca_matrix"} if "zca" in steps else set())


def test_an_image_is_prepared_the_same_alone_and_among_others(monkeypatch):
    prepare = Preparation.fit(("gcn", "lcn", "zca"), IMAGES)
    together = prepare(IMAGES)
    assert np.array_equal(np.concatenate([prepare(x[None]) for x in IMAGES]), together)
    monkeypatch.setattr("bitnet.data.preparation.PART", 90 * 7)
    assert np.array_equal(prepare(IMAGES), together)


def test_header_and_arrays_are_all_there_is():
    prepare = Preparation.fit(("gcn", "zca"), IMAGES)
    header = json.loads(json.dumps(prepare.header))
    again = Preparation.from_arrays(header, prepare.arrays)
    assert again.header == prepare.header
    assert np.array_equal(again(IMAGES), prepare(IMAGES))
    assert repr(again) == "Preparation('gcn', 'zca', images of 6x5x3)"


FITTED = Preparation.fit(("gcn", "zca"), IMAGES)


@pytest.mark.parametrize(
    ("header", "arrays", "message"),
    [
        ({"steps": []}, {}, "steps"),
        ({"steps": ["gcn", "zca", "zca"]}, {}, "steps"),
        ({"steps": ["pickle"]}, {}, "steps"),
        ({"steps": [["zca"]]}, {}, "steps"),
        ({"steps": "zca"}, {}, "steps"),
        ({"steps": None}, {}, "steps"),
        ({"steps": ["gcn"]}, {}, "other arrays; expected \\[\\]"),
        ({"image": [6, 5]}, {}, "expected finite \\(30,\\)"),
        ({"image": [6, 5, 3, 1]}, {}, "images of shape"),
        ({"image": [6, 5, -3]}, {}, "images of shape"),
        ({"image": [6, 5, True]}, {}, "images of shape"),
        ({"image": [6.0, 5, 3]}, {}, "images of shape"),
        ({"image": [1 << 40, 1 << 40]}, {}, "images of shape"),
        ({"image": [101, 100]}, {}, "at most 10000"),
        ({"clip": 0}, {}, "clip"),
        ({"clip": float("nan")}, {}, "clip"),
        ({"clip": "4"}, {}, "clip"),
        ({"mean": float("inf")}, {}, "mean"),
        ({"std": 0}, {}, "std"),
        ({"std": True}, {}, "std"),
        ({"sqrt_bias": 0}, {}, "sqrt_bias"),
        ({"sqrt_bias": None}, {}, "sqrt_bias"),
        ({"regularizer": -1}, {}, "regularizer"),
        ({"more": 1}, {}, "another header; expected"),
        ({}, {"more": np.zeros(1, np.float32)}, "arrays"),
        ({}, {"zca_mean": np.zeros(90)}, "float32"),
        ({}, {"zca_mean": [0.0] * 90}, "float32"),
        ({}, {"zca_mean": np.zeros(89, np.float32)}, "expected finite"),
        ({}, {"zca_matrix": np.zeros((90, 89), np.float32)}, "expected finite"),
        ({}, {"zca_matrix": np.full((90, 90), np.nan, np.float32)}, "expected finite"),
        ({}, {"zca_matrix": np.full((90, 90), np.inf, np.float32)}, "expected finite"),
    ],
)
def test_hostile_headers_and_arrays_are_refused(header, arrays, message):
    with pytest.raises(InputError, match=message):
        Preparation.from_arrays(FITTED.header | header, FITTED.arrays | arrays)


@pytest.mark.parametrize(("header", "arrays"), [(None, {}), ({}, {}), ([], {}), ("x", None)])
def test_other_things_than_a_header_are_refused(header, arrays):
    with pytest.raises(InputError, match="header"):
        Preparation.from_arrays(header, arrays)
    with pytest.raises(InputError, match="arrays"):
        Preparation.from_arrays(FITTED.header, arrays and None)


def test_the_largest_numbers_of_a_file_do_no_harm():
    arrays = {name: np.full_like(a, np.finfo(np.float32).max) for name, a in FITTED.arrays.items()}
    y = Preparation.from_arrays(FITTED.header | {"std": 1e-9, "clip": 1e-3}, arrays)(IMAGES)
    assert y.dtype == np.uint8


@pytest.mark.parametrize(
    "images",
    [
        IMAGES.astype(float),
        IMAGES[:0],
        IMAGES[:, :5],
        IMAGES[..., 0],
        IMAGES.reshape(300, 90),
        np.uint8(3),
    ],
)
def test_images_that_do_not_fit_are_refused(images):
    with pytest.raises(InputError, match=r"expected uint8 \(count, 6, 5, 3\)"):
        FITTED(images)


@pytest.mark.parametrize(
    ("steps", "images", "message"),
    [
        (("gcn",), IMAGES.astype(float), "float64"),
        (("gcn",), IMAGES[:0], "one image or more"),
        (("gcn",), IMAGES.reshape(300, 90), "height, width"),
        (("gcn",), 0 * IMAGES, "one colour"),
        ((), IMAGES, "steps"),
        (("sharpen",), IMAGES, "steps"),
        (("zca",), np.zeros((2, 101, 100), np.uint8), "at most 10000"),
    ],
)
def test_what_cannot_be_fitted_is_refused(steps, images, message):
    with pytest.raises(InputError, match=message):
        Preparation.fit(steps, images)
