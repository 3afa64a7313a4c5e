"""Benchmark of training the papers' MLP against torch: time per epoch, and memory.

    python benchmarks/training.py                     3 x 2048 and 3 x 4096, one and two threads
    python benchmarks/training.py --batches 600       whole epochs instead of parts
    python benchmarks/training.py --memory            the peak memory per process

Both train 784-H-H-H-10 with ±1 weights and activations, batch norm after each layer, squared
hinge, Adam with a learning-rate scale per layer, clipped latent weights and a cosine schedule,
batch 100, on random pixels.  torch runs eagerly, with its fused Adam, at its default precision and
with bf16 products allowed.  The contestants take turns of some batches in one process; the first
turn is a warm-up.  First, three steps of a narrow net are compared with the reference kernels,
weight for weight.  The losses of the first batches are printed to show that both learn equally.
"""

import os

os.environ.pop("OPENBLAS_CORETYPE", None)  # a forced core type can halve the BLAS
os.environ.pop("OPENBLAS_L2_SIZE", None)

import argparse
import itertools
import resource
import statistics
import subprocess
import sys
import time

import machine
import numpy as np
from straight_through import sign_in_torch

import bitnet
from bitnet import kernels
from bitnet.nn import functional, models
from bitnet.optim import schedules

BATCH, EPOCH = 100, 600  # batches of MNIST's 60 000 images
LR = 3e-3


class InBits:
    """The net in bitnet."""

    def __init__(self, width, grad_format="int8", moments="float32"):
        rng = np.random.default_rng(0)
        sizes = [784, width, width, width, 10]
        self.model = models.binary_mlp(sizes, rng=rng, lr_scale=10, grad_format=grad_format)
        self.adam = bitnet.optim.Adam(self.model.parameters(), LR, moments=moments, rng=rng)
        self.schedule, self.steps = schedules.Cosine(LR, 20), 0

    def step(self, pixels, labels):
        self.adam.lr = self.schedule(self.steps / EPOCH)
        loss = functional.squared_hinge(self.model(pixels), labels)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        self.steps += 1
        return loss.item()


class InTorch:
    """The same net in torch, in eager mode, binarized with a straight-through estimator."""

    def __init__(self, width, precision, device="cpu"):
        import torch

        self.torch, self.precision, self.device = torch, precision, device
        self.sign = sign_in_torch()
        torch.manual_seed(0)
        sizes = [784, width, width, width, 10]
        self.weights, self.norms, groups = [], [], []
        for n, m in itertools.pairwise(sizes):
            weight = torch.nn.Parameter(torch.empty(m, n, device=device).uniform_(-1, 1))
            norm = torch.nn.BatchNorm1d(m, eps=1e-4, device=device)
            self.weights.append(weight)
            self.norms.append(norm)
            groups.append({"params": [weight], "scale": ((n + m) / 1.5) ** 0.5})
            groups.append({"params": list(norm.parameters()), "scale": 10.0})
        self.adam = torch.optim.Adam(groups, LR, fused=True)
        self.schedule, self.steps = schedules.Cosine(LR, 20), 0

    def step(self, pixels, labels):
        torch, sign = self.torch, self.sign
        torch.set_float32_matmul_precision(self.precision)
        for group in self.adam.param_groups:
            group["lr"] = self.schedule(self.steps / EPOCH) * group["scale"]
        pixels, labels = (torch.from_numpy(a).to(self.device) for a in (pixels, labels))
        x = pixels.float() * (2 / 255) - 1
        for i, (weight, norm) in enumerate(zip(self.weights, self.norms, strict=True)):
            x = norm(x @ sign(weight, False).T)
            x = sign(x, True) if i < len(self.weights) - 1 else x
        targets = torch.nn.functional.one_hot(labels, 10) * 2 - 1
        loss = (1 - targets * x).clamp(min=0).square().mean()
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        with torch.no_grad():
            for weight in self.weights:
                weight.clamp_(-1, 1)
        self.steps += 1
        return loss.item()


CONTESTANTS = {
    "torch": lambda width: InTorch(width, "highest"),
    "torch, bf16 allowed": lambda width: InTorch(width, "medium"),
    "bitnet": InBits,
    "bitnet, bfloat16 moments": lambda width: InBits(width, moments="bfloat16"),
    "bitnet, float32 gradient": lambda width: InBits(width, "float32"),
}


def set_threads(n):
    import torch

    torch.set_num_threads(n)
    bitnet.set_num_threads(n)


def data(rng):
    """Return a batch of random pixels and labels."""
    return rng.integers(0, 256, (BATCH, 784), dtype=np.uint8), rng.integers(0, 10, BATCH)


def check():
    """Compare the weights after some steps with those of the reference kernels."""
    weights = []
    for implementation in (kernels.implementation(), "reference"):
        with kernels.using(implementation):
            net, rng = InBits(100), np.random.default_rng(0)
            for _ in range(3):
                net.step(*data(rng))
        weights.append([p.data for p in net.model.parameters()])
    assert all(map(np.array_equal, *weights))


def race(width, threads, batches, turns):
    """Return the seconds per epoch of each contestant, a list over the turns."""
    set_threads(threads)
    nets = {name: build(width) for name, build in CONTESTANTS.items()}
    seconds = {name: [] for name in nets}
    for turn in range(turns + 1):
        for name, net in nets.items():
            rng = np.random.default_rng(turn)
            some = [data(rng) for _ in range(10)]
            start = time.perf_counter()
            losses = [net.step(*some[i % 10]) for i in range(batches)]
            elapsed = time.perf_counter() - start
            if turn:
                seconds[name].append(elapsed / batches * EPOCH)
            else:
                print(f"  {name}: the first losses {', '.join(f'{v:.3f}' for v in losses[:4])}")
    return seconds


def peak_mib(name, width):
    """Return the peak resident memory, in MiB, of a process that trains for some batches."""
    words = [sys.executable, __file__, "--one", name, "--widths", str(width)]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add, count = parser.add_argument, machine.positive
    add("--widths", type=count, nargs="+", default=[2048, 4096])
    add("--threads", type=count, nargs="+", default=[1, 2])
    add(
        "--batches", type=count, default=20, help="batches per turn (default: 20; an epoch has 600)"
    )
    add("--turns", type=count, default=5, help="timed turns (default: 5)")
    add("--memory", action="store_true", help="measure peak memory instead of time")
    add("--one", choices=CONTESTANTS, help="train a few batches and print the peak")
    args = parser.parse_args()
    if missing := machine.missing("torch"):
        raise bitnet.InputError(missing)
    if args.one:
        net, rng = CONTESTANTS[args.one](args.widths[0]), np.random.default_rng(0)
        for _ in range(5):
            net.step(*data(rng))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    print("\n".join(machine.lines("torch")))
    if args.memory:
        for width in args.widths:
            peaks = {name: peak_mib(name, width) for name in CONTESTANTS}
            print(f"\n3 x {width}: peak memory of the process")
            for name, mib in peaks.items():
                print(f"  {name:26} {mib:8.0f} MiB  {mib / peaks['torch']:.2f} of torch's")
        return
    check()
    for width in args.widths:
        for threads in args.threads:
            print(f"\n3 x {width}, threads: {threads}", flush=True)
            seconds = race(width, threads, args.batches, args.turns)
            for name, own in seconds.items():
                pairs = [zip(other, own, strict=True) for other in [*seconds.values()][:2]]
                ratios = (statistics.median(a / b for a, b in pair) for pair in pairs)
                text = f"{statistics.median(own):8.1f} s per epoch; speedup over torch, over torch "
                text += f"with bf16: {'  '.join(f'{ratio:6.2f}' for ratio in ratios)}"
                print(f"  {name:26} {text}", flush=True)


if __name__ == "__main__":
    bitnet.cli.run(main)
