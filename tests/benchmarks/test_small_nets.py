"""`benchmarks/small_nets.py` on a few digits, and its distortions and costs."""

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

import bitnet

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def room(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import distortions
    import small_nets

    return small_nets, distortions


def test_quick(tmp_path):
    names = "mlp-2k", "conv-3k"
    command = [sys.executable, str(FOLDER / "small_nets.py"), *names, "--quick", "--out", "nets"]
    own = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    done = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in names:
        share = re.search(rf"^{name} .* (\S+)$", done.stdout, re.MULTILINE)[1]
        assert float(share) > 20, name  # ten classes, two epochs of 1000 digits
        net = bitnet.load(tmp_path / "nets" / f"{name}.seed0.npz")
        data = bitnet.load_dataset("embedded").first(1000, 500)
        x = data.test_images.reshape(500, *((784,) if name.startswith("mlp") else (28, 28, 1)))
        assert 100 * (net.predict(x) == data.test_labels).mean() == pytest.approx(
            float(share), abs=0.006
        )


def test_no_distortion_keeps_the_images(room):
    _, distortions = room
    images = np.random.default_rng(0).integers(0, 256, (130, 28, 28), dtype=np.uint8)
    same = distortions.distorted(images, np.random.default_rng(0), strength=0)
    assert np.array_equal(same, images)
    other = distortions.distorted(images, np.random.default_rng(0), strength=0.5)
    assert (other != images).any(axis=(1, 2)).all()


def test_costs_of_a_small_net(room):
    small_nets, _ = room
    layers = small_nets.Conv(20, 5, 2, 2, pool=True), small_nets.Dense(30), small_nets.scores(4)
    net = small_nets.Net(layers, planes=2)
    model = small_nets.build(net, np.random.default_rng(0)).eval()
    frozen = bitnet.freeze(model, np.zeros((1, 28, 28, 1), np.uint8))
    conv, dense, last = 20 * 1 * 4 * 2, 30 * 90 * 4, 10 * 1 * 4 * 4  # 12 * 12 * 20 = 90 words
    thresholds, affine = 4 * 20 * 3 + 2 * 30, 12 * 10
    pooled, packed = 12 * 12 * 2, 2 * 90  # words: one per pixel and plane; without gaps
    ram = 4 * (pooled + packed) + 4 * 10 + 4 * 2  # scores; two planes of one patch
    work = 24 * 24 * 20 * 2 * 2 + 30 * 90 * 2 + 10 * 4
    assert small_nets.costs(frozen) == (conv + dense + last + thresholds + affine, ram, work)
