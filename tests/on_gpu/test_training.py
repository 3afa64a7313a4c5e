"""Whole trainings on the GPU: the same numbers as on the processor, step by step.

With the stand-in for CuPy all numbers of the model and the optimizer are equal bit for bit.  With
a real GPU sums are rounded differently, and only the loss of the first step is compared.
"""

import numpy as np
import pytest
import same_numbers
import stand_in
from trainings import (
    IMAGES,
    LABELS,
    ROWS,
    branches,
    convnet,
    few_bits,
    float_convnet,
    mlp,
    shifts,
    twin,
)

import bitnet
from bitnet import kernels
from bitnet.arrays import array_module
from bitnet.data import Corpus
from bitnet.data.vocabulary import Vocabulary
from bitnet.devices import to_cpu, to_gpu
from bitnet.nn import auxiliary, functional
from bitnet.nn.functional import cross_entropy, distillation, squared_hinge
from bitnet.nn.models.language import language_model
from bitnet.optim import schedules
from bitnet.training import Images, Split, Texts, fit, generate
from bitnet.training.loop import _step


def flat(images):
    return images.reshape(len(images), 36)


def scaled(images):
    return bitnet.data.scale_pixels(flat(images))


OPTIMIZERS = {
    "sgd": lambda p: bitnet.optim.SGD(p, 0.05, momentum=0.9, nesterov=True),
    "adam": lambda p: bitnet.optim.Adam(p, 1e-2),
    "adamax": lambda p: bitnet.optim.AdaMax(p, 1e-2),
    "shift": lambda p: bitnet.optim.ShiftAdaMax(p, 2.0**-6),
    "shift-code": lambda p: bitnet.optim.ShiftAdaMax(p, variant="code"),
    "bop": lambda p: bitnet.optim.Bop(p, 1e-2, threshold=1e-5),
}
TRAININGS = {
    "mlp": (mlp, "adam", squared_hinge, flat),
    "mlp-stochastic": (lambda rng: mlp(rng, rounding="stochastic"), "adamax", squared_hinge, flat),
    "mlp-dropout": (lambda rng: mlp(rng, dropout=(0.2, 0.5)), "sgd", squared_hinge, flat),
    "mlp-bop": (mlp, "bop", squared_hinge, flat),
    "convnet": (convnet, "adam", squared_hinge, None),
    "convnet-float32": (lambda r: convnet(r, grad_format="float32"), "sgd", squared_hinge, None),
    "few-bits": (few_bits, "adam", cross_entropy, None),
    "shift-norm": (lambda rng: shifts(rng, "paper"), "shift", squared_hinge, flat),
    "shift-norm-code": (lambda rng: shifts(rng, "code"), "shift-code", squared_hinge, flat),
    "branches": (branches, "adam", auxiliary(cross_entropy), None),
    "float-mlp": (twin, "adam", cross_entropy, scaled),
    "float-convnet": (float_convnet, "adam", cross_entropy, bitnet.data.scale_pixels),
}


def trained(name, device):
    """Run three steps and return losses, weights, statistics, moments, flips and scores."""
    make, optimizer, loss_of, to_input = TRAININGS[name]
    rng = np.random.default_rng(3)
    model = make(rng).to(device)
    optimizer = OPTIMIZERS[optimizer](model.parameters())
    found = {}
    for i in range(3):
        x, labels = IMAGES[8 * i : 8 * i + 8], LABELS[8 * i : 8 * i + 8]
        loss = loss_of(model(to_input(x) if to_input else x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found |= {f"loss {i}": loss.item(), f"flips {i}": optimizer.flips}
    assert model.device == device
    assert all(array_module(p) is array_module(p.data) for p in model.parameters())
    found["scores"] = bitnet.training.metrics.scores(model, IMAGES, to_input)
    found |= model.state_dict()
    return found | {f"optimizer {k}": v for k, v in optimizer.state_dict().items()}


def assert_like(gpu, found, expected):
    """Compare all numbers with the stand-in, and the first loss with a GPU."""
    if gpu != "stand-in":
        assert all(np.isfinite(value).all() for value in found.values())
        found, expected = ({"loss 0": own["loss 0"]} for own in (found, expected))
    same_numbers.assert_same(gpu, found, expected)


@pytest.mark.parametrize("name", TRAININGS)
def test_training_by_hand(gpu, name):
    with kernels.using("reference"):
        expected = trained(name, "cpu")
    assert_like(gpu, trained(name, "gpu"), expected)


@pytest.mark.parametrize(("name", "most"), [("mlp", 7), ("few-bits", 10), ("float-mlp", 2)])
def test_a_step_waits_for_few_numbers(name, most):
    """It waits for the loss, for checks of finite numbers, and for the flips of each layer."""
    make, optimizer, loss, to_input = TRAININGS[name]
    with stand_in.installed(), kernels.using("reference"):
        model = make(np.random.default_rng(3)).to("gpu")
        x = to_input(IMAGES) if to_input else IMAGES
        optimizer = OPTIMIZERS[optimizer](model.parameters())
        for _ in range(2):  # the first one packs
            before = stand_in.waits
            _step(model, optimizer, Images(None, loss), (x, LABELS))
        assert 0 < stand_in.waits - before <= most


def test_clipping_waits_once(gpu):
    weights = [to_gpu(bitnet.autograd.Parameter(np.full(2, i, np.float32))) for i in range(3)]
    for weight in weights:
        weight.grad = 2 * weight.data
    before = stand_in.waits
    assert bitnet.optim.clip_grad_norm(weights, 1.0) == pytest.approx(np.sqrt(40))
    assert stand_in.waits == before + (gpu == "stand-in")
    assert to_cpu(weights[2].grad) == pytest.approx(4 / np.sqrt(40))


def fitted(device, make=mlp, teacher=None):
    """Run two epochs of `fit` with all metrics, then re-estimate the statistics."""
    rng = np.random.default_rng(5)
    model = make(rng).to(device)
    data = Split((IMAGES, LABELS), (IMAGES[:9], LABELS[:9]), (IMAGES[9:], LABELS[9:]))
    adam, schedule = bitnet.optim.Adam(model.parameters()), schedules.Cosine(1e-2, 2)
    options = {"to_input": flat, "flip": True, "crop": 1}
    more = {"epochs": 2, "rng": rng, "clip_value": schedules.Widening(1.0, 2.0, 1)}
    loss = squared_hinge
    if teacher:
        options["teacher"] = lambda images: bitnet.training.metrics.scores(teacher, images, scaled)
        loss = distillation
    images = Images(data, loss, 6, **options)
    epochs = [e.record() for e in fit(model, adam, images, schedule=schedule, **more)]
    names = "loss", "train_accuracy", "test_accuracy", "flip_ratio", "saturated", "dead"
    found = {f"{name} {i}": e[name] for i, e in enumerate(epochs) for name in names}
    found["histograms"] = np.array([list(e["histograms"].values()) for e in epochs])
    bitnet.training.reestimate(model, [IMAGES[:12], IMAGES[12:]], flat)
    found["accuracy"] = bitnet.training.evaluate(model, IMAGES, LABELS, flat)
    return found | model.state_dict()


def assert_fitted(gpu, found, expected):
    if gpu == "stand-in":
        same_numbers.assert_same(gpu, found, expected)
    else:  # the first epoch has four steps
        assert found["loss 0"] == pytest.approx(expected["loss 0"], rel=0.1)


def test_fit(gpu):
    with kernels.using("reference"):
        expected = fitted("cpu")
    assert_fitted(gpu, fitted("gpu"), expected)


@pytest.mark.parametrize("device_of_teacher", ["cpu", "gpu"])
def test_distillation(gpu, device_of_teacher):
    teacher = twin(np.random.default_rng(6))
    with kernels.using("reference"):
        expected = fitted("cpu", teacher=teacher)
    assert_fitted(gpu, fitted("gpu", teacher=teacher.to(device_of_teacher)), expected)


TEXT = "the quick brown fox jumps over the lazy dog\n" * 6
FEW = {"weight_quantizer": 2, "activation_quantizer": 3}
LANGUAGE = {
    "lstm": ("lstm", {}),
    "lstm-bits": ("lstm", {"weight_quantizer": 1, "activation_quantizer": 1}),
    "lstm-2-3": ("lstm", {**FEW, "layers": 2, "dropout": 0.3}),
    "gru-2-3": ("gru", {**FEW, "grad_format": "int8", "rounding": "stochastic"}),
    "gru": ("gru", {"dropout": 0.2}),
    "rnn-2-3": ("rnn", {**FEW, "activation": "relu", "grad_format": "log5"}),
    "rnn": ("rnn", {}),
}


def read(device, kind, options):
    """Train a language model for one epoch with clipped gradients, and generate a text."""
    vocabulary = Vocabulary.of(TEXT, "characters")
    ids = vocabulary.encode(vocabulary.split(TEXT))
    corpus = Corpus("foxes", ids[:150], ids[150:190], ids[190:230], vocabulary)
    rng = np.random.default_rng(8)
    model = language_model(len(vocabulary), rng=rng, kind=kind, width=6, units=10, **options).to(
        device
    )
    optimizer, schedule = bitnet.optim.SGD(model.parameters(), 0.5), schedules.Constant(0.5)
    texts = Texts(corpus, 5, 7, clip=0.25)
    (epoch,) = fit(model, optimizer, texts, schedule=schedule, rng=rng)
    record = epoch.record()
    found = {"loss 0": record["loss"], "valid": record["valid_loss"], "flips": record["flip_ratio"]}
    drawn = generate(model, vocabulary, "the", 12, np.random.default_rng(0))
    found["text"] = np.array([ord(letter) for letter in "".join(drawn)])
    return found | model.state_dict()


@pytest.mark.parametrize("name", LANGUAGE)
def test_language_model(gpu, name):
    with kernels.using("reference"):
        expected = read("cpu", *LANGUAGE[name])
    found = read("gpu", *LANGUAGE[name])
    if gpu != "stand-in":
        assert found["loss 0"] == pytest.approx(expected["loss 0"], rel=0.02)
        return
    same_numbers.assert_same(gpu, found, expected)


def test_a_leaf_that_wants_a_gradient_is_not_moved(gpu):
    """Its gradient would be lost, and the error says the next step."""
    model = twin(np.random.default_rng(0)).to("gpu")
    x = bitnet.Tensor(ROWS.astype(np.float32), requires_grad=True)
    with pytest.raises(bitnet.InputError, match="to_gpu"):
        model(x)


def test_operands_of_two_devices_are_refused(gpu):
    x = bitnet.devices.to_gpu(bitnet.Tensor([[1.0, 2.0]]))
    with pytest.raises(bitnet.InputError, match="Add: some operands are on the GPU"):
        x + np.ones(2, np.float32)
    assert functional.arithmetic.add(x, 1.0).data.tolist() == [[2.0, 3.0]]
