"""Benchmark of the papers' ConvNet for CIFAR-10, in training and frozen, compared with torch.

    python benchmarks/convnet.py                    50 images at once, one and two threads
    python benchmarks/convnet.py --net svhn

2x128C3 - MP2 - 2x256C3 - MP2 - 2x512C3 - MP2 - 2x1024FC - 10 with ±1 weights and activations,
batch norm, squared hinge, Adam and clipped latent weights, on random pixels.  torch runs eagerly.
For training it has the same binarized net in its faster layout (channels last) with its fused
Adam, in float32 and with autocast to bfloat16; for inference a net of the same sizes with ReLU and
with batch norm folded into the convolutions, in float32 in both layouts and in bfloat16.  First,
two steps of a narrow net are compared with the reference kernels, weight for weight, and the frozen
net integer for integer.  The contestants take turns in one process.
"""

import os

os.environ.pop("OPENBLAS_CORETYPE", None)  # a forced core type can halve the BLAS
os.environ.pop("OPENBLAS_L2_SIZE", None)

import argparse

import machine
import numpy as np
from stopwatch import interleaved
from straight_through import sign_in_torch

import bitnet
from bitnet import kernels
from bitnet.nn import functional, models

BATCH, LR = 50, 1e-3
NETS = {"cifar10": models.CIFAR10, "svhn": models.SVHN}


class InBits:
    """The net in bitnet."""

    def __init__(self, net, grad_format="int8"):
        options = {"lr_scale": 10, "grad_format": grad_format}
        self.model = models.binary_convnet(**net, rng=np.random.default_rng(0), **options)
        self.adam = bitnet.optim.Adam(self.model.parameters(), LR)

    def step(self, pixels, labels):
        loss = functional.squared_hinge(self.model(pixels), labels)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        return loss.item()


class InTorch:
    """The same net in torch, in eager mode, binarized with a straight-through estimator."""

    def __init__(self, net, bf16=False):
        import torch

        self.torch, self.sign, self.bf16 = torch, sign_in_torch(), bf16
        torch.manual_seed(0)
        rows, columns, channels = net["image"]
        self.convolutions, self.dense, norms = [], [], []
        for block in net["blocks"]:
            for i, outputs in enumerate(block):
                weight = torch.empty(outputs, channels, 3, 3).uniform_(-1, 1)
                weight = torch.nn.Parameter(weight.to(memory_format=torch.channels_last))
                norm = torch.nn.BatchNorm2d(outputs, eps=1e-4)
                self.convolutions.append((weight, norm, i == len(block) - 1))
                norms.append(norm)
                channels = outputs
        n = (rows >> len(net["blocks"])) * (columns >> len(net["blocks"])) * channels
        for outputs in net["units"]:
            weight = torch.nn.Parameter(torch.empty(outputs, n).uniform_(-1, 1))
            norm = torch.nn.BatchNorm1d(outputs, eps=1e-4)
            self.dense.append((weight, norm))
            norms.append(norm)
            n = outputs
        self.weights = [layer[0] for layer in (*self.convolutions, *self.dense)]
        others = [p for norm in norms for p in norm.parameters()]
        self.adam = torch.optim.Adam([*self.weights, *others], LR, fused=True)

    def scores(self, pixels):
        """Return the scores of a batch of pixels (B, H, W, C)."""
        torch, sign = self.torch, self.sign
        x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() * (2 / 255) - 1  # channels last
        for weight, norm, pools in self.convolutions:
            x = torch.nn.functional.conv2d(x, sign(weight, False), padding=1)
            x = sign(norm(torch.nn.functional.max_pool2d(x, 2) if pools else x), True)
        x = x.flatten(1)
        for i, (weight, norm) in enumerate(self.dense):
            x = norm(x @ sign(weight, False).T)
            x = sign(x, True) if i < len(self.dense) - 1 else x
        return x

    def step(self, pixels, labels):
        torch = self.torch
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            x = self.scores(pixels).float()
        labels = torch.from_numpy(labels)
        targets = torch.nn.functional.one_hot(labels, x.shape[1]) * 2 - 1
        loss = (1 - targets * x).clamp(min=0).square().mean()
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        with torch.no_grad():
            for weight in self.weights:
                weight.clamp_(-1, 1)
        return loss.item()


def float_in_torch(net):
    """Return a float32 net of the same sizes in torch for inference, with folded batch norm."""
    import torch

    (rows, columns, channels), layers = net["image"], []
    for block in net["blocks"]:
        for i, outputs in enumerate(block):
            layers += [torch.nn.Conv2d(channels, outputs, 3, padding=1)]
            layers += [torch.nn.MaxPool2d(2)] if i == len(block) - 1 else []
            layers += [torch.nn.ReLU()]
            channels = outputs
    layers.append(torch.nn.Flatten())
    n = (rows >> len(net["blocks"])) * (columns >> len(net["blocks"])) * channels
    for outputs in net["units"]:
        layers += [torch.nn.Linear(n, outputs), torch.nn.ReLU()]
        n = outputs
    return torch.nn.Sequential(*layers[:-1]).eval()


def predictors(net, pixels):
    """Return functions that predict a batch: torch in three ways, and the frozen net."""
    import torch

    model, contestants = float_in_torch(net), {}
    x = torch.from_numpy(bitnet.data.scale_pixels(pixels)).permute(0, 3, 1, 2)
    for name, layout, dtype in (
        ("torch float32", torch.contiguous_format, torch.float32),
        ("torch float32, channels last", torch.channels_last, torch.float32),
        ("torch bfloat16, channels last", torch.channels_last, torch.bfloat16),
    ):
        own = float_in_torch(net)
        own.load_state_dict(model.state_dict())
        own = own.to(memory_format=layout, dtype=dtype)
        images = x.to(memory_format=layout, dtype=dtype)

        def predict(own=own, images=images):
            with torch.inference_mode():
                return own(images).argmax(dim=1).numpy()

        contestants[name] = predict
    frozen = freeze_checked(net, pixels)
    contestants["bitnet, frozen"] = lambda: frozen.predict(pixels)
    return contestants


def freeze_checked(net, pixels):
    """Return the frozen net, after comparing its integers for two images with the reference."""
    model = InBits(net)
    # one step, so that thresholds are not all 0
    model.step(pixels, np.arange(len(pixels)) % net["units"][-1])
    frozen = bitnet.freeze(model.model)
    got = frozen.pre_activations(pixels[:2]), frozen.scores(pixels[:2])
    with kernels.using("reference"):
        reference = bitnet.freeze(model.model)
        expected = reference.pre_activations(pixels[:2]), reference.scores(pixels[:2])
    assert all(map(np.array_equal, got[0], expected[0]))
    assert np.array_equal(got[1], expected[1])
    return frozen


def data(image, batch):
    """Return a batch of random pixels and labels."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (batch, *image), dtype=np.uint8), rng.integers(0, 10, batch)


def check():
    """Compare the weights after two steps with those of the reference kernels."""
    net = {"image": (8, 8, 3), "blocks": ((20, 70), (40,)), "units": (30, 10)}
    weights = []
    for implementation in (kernels.implementation(), "reference"):
        with kernels.using(implementation):
            own = InBits(net)
            for _ in range(2):
                own.step(*data(net["image"], 6))
        weights.append([p.data for p in own.model.parameters()])
    assert all(map(np.array_equal, *weights))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--net", choices=NETS, default="cifar10")
    parser.add_argument(
        "--batch", type=machine.positive, default=BATCH, help="batch size (default: 50)"
    )
    parser.add_argument("--threads", type=machine.positive, nargs="+", default=[1, 2])
    parser.add_argument(
        "--turns", type=machine.positive, default=5, help="timed turns (default: 5)"
    )
    args = parser.parse_args()
    if missing := machine.missing("torch"):
        raise bitnet.InputError(missing)
    import torch

    print("\n".join(machine.lines("torch")))
    if bitnet.kernels.keep_memory():
        print("keep freed memory in the process, also for torch's arrays")
    check()
    net = NETS[args.net]
    batch = data(net["image"], args.batch)
    for threads in args.threads:
        torch.set_num_threads(threads)
        bitnet.set_num_threads(threads)
        nets = {
            "torch float32": InTorch(net),
            "torch bfloat16": InTorch(net, bf16=True),
            "bitnet, int8 gradient": InBits(net),
            "bitnet, float32 gradient": InBits(net, "float32"),
        }
        print(f"\n{args.net}, batch {args.batch}, threads: {threads}")
        for name, own in nets.items():
            losses = ", ".join(f"{own.step(*batch):.3f}" for _ in range(4))
            print(f"  {name}: the first losses {losses}")
        steps = {name: lambda own=own: own.step(*batch) for name, own in nets.items()}
        table("training", steps, args.batch, args.turns)
        table("prediction", predictors(net, batch[0]), args.batch, args.turns)


def table(what, contestants, batch, turns):
    """Print images per second, and the ratio to each torch contestant."""
    seconds = interleaved([*contestants.values()], turns, least_s=0.1)
    torches = [i for i, name in enumerate(contestants) if name.startswith("torch")]
    print(f"  {what}: images/s; speedup over each torch, in the order of their lines")
    for i, name in enumerate(contestants):
        ratios = [np.median(seconds[:, torch] / seconds[:, i]) for torch in torches]
        speed = batch / np.median(seconds[:, i])
        print(f"  {name:30} {speed:8.0f}  {'  '.join(f'{ratio:6.2f}' for ratio in ratios)}")


if __name__ == "__main__":
    bitnet.cli.run(main)
