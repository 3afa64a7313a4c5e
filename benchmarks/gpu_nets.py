"""Frozen MLPs on a GPU and their training, compared with cuBLAS and torch."""

import itertools
import time
from functools import partial

import gpu_contest
import numpy as np
from gpu_contest import RNG, TURNS, by_clock, on_rung, ran, rungs, torch_on_gpu

import bitnet
from bitnet import kernels
from bitnet.arrays import to_cpu
from bitnet.devices import to_gpu
from bitnet.nn import models

CHECKED = 20  # images that are compared


def frozen_net(width):
    """Return a frozen MLP with random weights, after comparing its integers with the reference."""
    net = bitnet.freeze(models.binary_mlp([784, width, width, width, 10], rng=RNG))
    pixels = RNG.integers(0, 256, (CHECKED, 784), dtype=np.uint8)
    with kernels.using("reference"):
        expected, scores = net.pre_activations(pixels), net.scores(pixels)
    net.to("gpu")
    for name in rungs():
        with on_rung(name):
            own = to_cpu(net.pre_activations(to_gpu(pixels)))
            for a, b in zip(expected, own, strict=True):
                assert np.array_equal(a, b), name
            assert np.array_equal(to_cpu(net.scores(to_gpu(pixels))), scores), name
    return net


def float_nets(net):
    """Return the same net in floats, by the papers' baseline and by cuBLAS."""
    from gpu_baseline import FloatNet, cublas, naive

    pixels = to_gpu(RNG.integers(0, 256, (CHECKED, 784), dtype=np.uint8))
    nets = {"float32, naive": FloatNet(net, naive), "float32, cuBLAS": FloatNet(net, cublas)}
    for name, own in nets.items():
        for a, b in zip(net.pre_activations(pixels), own.pre_activations(pixels), strict=True):
            assert bool((a == b).all()), name
    return nets


def mlp(width, batch):
    """Time the frozen MNIST MLP on each rung, and nets of floats, in images per second."""
    net = frozen_net(width)
    pixels = RNG.integers(0, 256, (batch, 784), dtype=np.uint8)
    contestants = {
        name: lambda own=own: to_cpu(own.predict(to_gpu(pixels)))
        for name, own in float_nets(net).items()
    }
    for name in rungs():
        predict = partial(ran, name, lambda: to_cpu(net.predict(to_gpu(pixels))))
        contestants[f"frozen, {name}"] = predict
    if torch := torch_on_gpu():
        torch.backends.cuda.matmul.allow_tf32 = False
        for dtype in (torch.float32, torch.bfloat16):
            sizes = [784, width, width, width, 10]
            layers = [torch.randn(s, device="cuda", dtype=dtype) for s in itertools.pairwise(sizes)]

            def run(layers=layers, dtype=dtype):
                x = torch.from_numpy(pixels).cuda().to(dtype) * (2 / 255) - 1
                for weight in layers[:-1]:
                    x = (x @ weight).relu()
                return (x @ layers[-1]).argmax(dim=1).cpu()

            contestants[f"torch {dtype}".replace("torch.", "")] = run
    seconds = gpu_contest.interleaved_s(list(contestants.values()), by_clock)
    print(f"\nMLP 3 x {width}, {batch} images: images per second; speedup over float32, naive")
    for i, name in enumerate(contestants):
        ratio = np.median(seconds[:, 0] / seconds[:, i])
        print(f"{name:44} {batch / np.median(seconds[:, i]):14,.0f}  {ratio:7.2f}", flush=True)


def training(width, batches):
    """Time an epoch of the MLP of the papers, and of the same net in torch on this GPU."""
    from training import EPOCH, InBits, InTorch, data

    class OnGpu(InBits):
        def __init__(self, width, grad_format="int8"):
            super().__init__(width, grad_format)
            self.model.to("gpu")

        def step(self, pixels, labels):
            return super().step(*to_gpu((pixels, labels)))

    nets = {"bitnet": OnGpu(width)}
    nets["bitnet, float32 gradient"] = OnGpu(width, "float32")
    if torch_on_gpu():
        nets["torch"] = InTorch(width, "highest", "cuda")
        nets["torch, tf32"] = InTorch(width, "high", "cuda")
    seconds = {name: [] for name in nets}
    for turn in range(TURNS):
        for name, net in nets.items():
            rng = np.random.default_rng(turn)
            some = [data(rng) for _ in range(10)]
            start = time.perf_counter()
            losses = [net.step(*some[i % 10]) for i in range(batches)]
            if turn:
                seconds[name].append((time.perf_counter() - start) / batches * EPOCH)
            else:
                print(f"  {name}: the first losses {', '.join(f'{v:.3f}' for v in losses[:4])}")
    print(f"\ntraining 3 x {width}, batch 100: seconds per epoch; speedup over the last")
    last = np.array(list(seconds.values())[-1])
    for name, own in seconds.items():
        print(f"{name:44} {np.median(own):9.2f}  {np.median(last / own):7.2f}", flush=True)
