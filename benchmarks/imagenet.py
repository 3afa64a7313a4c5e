"""AlexNet and GoogleNet for ImageNet: shapes, sizes, a training step, and speed against torch.

    python benchmarks/imagenet.py               all parts, with 64 images per step
    python benchmarks/imagenet.py shapes sizes  some parts

ImageNet itself is not needed: the images are crops of the photographs in scikit-learn and
scikit-image, if these are installed, otherwise random.  The weights are random, except for two
training steps.  `sizes` are those of the files that `save` writes.  Time and memory of a step are
measured in a separate process.  `speed` compares the frozen AlexNet with 1-bit weights and 2-bit
activations with torch's float32 AlexNet of the same shape, with folded batch norm and in both
layouts, in turns in one process.  First, the integers of a narrow frozen net are compared with
the reference kernels.
"""

import os

os.environ.pop("OPENBLAS_CORETYPE", None)  # a forced core type can halve the BLAS

import argparse
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

sys.path.append(str(pathlib.Path(__file__).parent.parent / "examples"))

import machine
import numpy as np
from imagenet_pictures import write_image_folder
from imagenet_stream import image_batches
from stopwatch import interleaved

import bitnet
from bitnet import data, kernels
from bitnet.kernels import threads
from bitnet.nn import Branches, auxiliary, functional
from bitnet.nn.models.imagenet import alexnet, googlenet

NETS = {"alexnet": alexnet, "googlenet": googlenet}
BITS = [(1, 1), (1, 2), (2, 2), (4, 4), (8, 8), (32, 32)]
PARTS = ("shapes", "sizes", "steps", "speed")
CLASSES, IMAGE = 1000, (224, 224)


def build(name, weight_quantizer=1, activation_quantizer=1, image=IMAGE, **more):
    """Return the net with random weights."""
    bits = {"weight_quantizer": weight_quantizer, "activation_quantizer": activation_quantizer}
    return NETS[name](CLASSES, rng=np.random.default_rng(0), image=image, **bits, **more)


def pictures(count, size=224, resize=256):
    """Return crops of photographs, uint8 (count, size, size, 3), and their names."""
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        classes = write_image_folder(folder, rng, train=-(-count // 4), val=1, side=resize)
        (paths, labels), *_ = data.list_image_folder(folder)
        passes = image_batches(paths, labels, count, rng, size, resize)
        return next(iter(passes))[0], classes


def trained(name, images, steps=2, **more):
    """Return a model after some steps on random labels, so that its thresholds differ."""
    model = build(name, **more)
    adam, rng = bitnet.optim.Adam(model.parameters(), 1e-3), np.random.default_rng(1)
    for _ in range(steps):
        step(model, adam, images, rng.integers(0, CLASSES, len(images)))
    return model


def step(model, adam, images, labels):
    """Run one training step."""
    loss = auxiliary(functional.cross_entropy)(model(images), labels)
    adam.zero_grad()
    loss.backward()
    adam.step()


def count_of(module):
    """Count the weights of a module, without batch norm and biases."""
    return sum(p.size for p in module.parameters() if p.data.ndim > 1)


def shapes():
    """Print the layers with weights: output shapes and numbers of weights."""
    for name in NETS:
        model = build(name).eval()
        x = np.zeros((1, *IMAGE, 3), np.uint8)
        print(f"\n{name}: {'x'.join(map(str, IMAGE))}x3")
        with bitnet.no_grad():
            for layer in model.layers:
                x = layer(x)
                if count_of(layer):
                    kind = type(layer).__name__
                    if isinstance(layer, Branches):
                        kind = f"{len(layer.branches)} branches"
                    shape = "x".join(map(str, x.shape[1:]))
                    print(f"  {kind:12} {shape:>14} {count_of(layer):12,} weights")
        trunk, heads = bitnet.nn.Sequential(*model.layers), getattr(model, "heads", {})
        print(f"  {count_of(trunk):,} weights", end="")
        print(*(f", {count_of(h):,} in a head for training only" for h in heads.values()), sep="")


def sizes():
    """Print the bytes of the files, per bits of weights and activations."""
    images, _ = pictures(8)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "net.npz"
        for name in NETS:
            print(f"\n{name}: file size in bytes")
            for weights, activations in BITS:
                more = {"weight_quantizer": weights, "activation_quantizer": activations}
                if weights == 32:
                    n_bytes = 4 * count_of(bitnet.nn.Sequential(*build(name, **more).layers))
                    text = "float32 weights alone"
                else:
                    bitnet.freeze(trained(name, images, **more)).save(path)
                    n_bytes, text = path.stat().st_size, ""
                print(f"  {weights:2}w/{activations}a {n_bytes:12,} {text}", flush=True)


def steps(batch, threads):
    """Print time and peak memory of a step, each in a separate process."""
    print(f"\na training step with {batch} images, {threads} threads")
    for name in NETS:
        for weights, activations in ((1, 1), (1, 2), (2, 2), (4, 4)):
            words = ["--one", name, str(weights), str(activations)]
            words += ["--batch", str(batch), "--threads", str(threads)]
            command = [sys.executable, __file__, *words]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            seconds, mib = map(float, out.split())
            bits = f"{weights}w/{activations}a"
            print(f"  {name:10} {bits} {seconds:8.2f} s {mib:8.0f} MiB in all", flush=True)


def one_step(name, weights, activations, batch):
    """Print the median of three steps in seconds, and the peak of memory in MiB."""
    bitnet.kernels.keep_memory()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, *IMAGE, 3), dtype=np.uint8)
    model = build(name, int(weights), int(activations))
    adam, times_s = bitnet.optim.Adam(model.parameters(), 1e-3), []
    for _ in range(4):
        start_s = time.perf_counter()
        step(model, adam, images, rng.integers(0, CLASSES, batch))
        times_s.append(time.perf_counter() - start_s)
    print(np.median(times_s[1:]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def in_torch():
    """Return a float32 AlexNet of the same shape in torch, with folded batch norm."""
    from torch import nn

    pool, relu = nn.MaxPool2d(3, 2), nn.ReLU()
    layers = [nn.Conv2d(3, 64, 11, 4, 2), pool, relu, nn.Conv2d(64, 192, 5, 1, 2), pool, relu]
    layers += [nn.Conv2d(192, 384, 3, 1, 1), relu, nn.Conv2d(384, 256, 3, 1, 1), relu]
    layers += [nn.Conv2d(256, 256, 3, 1, 1), pool, relu, nn.Flatten()]
    layers += [nn.Linear(9216, 4096), relu, nn.Linear(4096, 4096), relu, nn.Linear(4096, CLASSES)]
    return nn.Sequential(*layers).eval()


def check():
    """Compare a narrow frozen AlexNet with the reference kernels, integer for integer."""
    images, _ = pictures(2, 64, 72)
    small = {"image": (64, 64), "inflation": 0.25, "units": (64, 64), "activation_quantizer": 2}
    model = trained("alexnet", images, **small)
    results = []
    for implementation in (kernels.implementation(), "reference"):
        with kernels.using(implementation):
            net = bitnet.freeze(model)
            results.append([*net.pre_activations(images), net.scores(images)])
    assert all(map(np.array_equal, *results))


def speed(batches, threads, turns):
    """Print images per second of the frozen AlexNet and of torch's, on photographs."""
    import torch

    torch.set_num_threads(threads)
    check()
    images, classes = pictures(max(batches))
    net = bitnet.freeze(trained("alexnet", images[:8], activation_quantizer=2))
    model = in_torch()
    print(f"\nAlexNet on parts of {', '.join(classes)}, {threads} threads")
    for batch in batches:
        own = images[:batch]
        contestants = {"bitnet, 1w/2a": lambda own=own: net.predict(own)}
        x = torch.from_numpy(bitnet.data.scale_pixels(own)).permute(0, 3, 1, 2)
        for layout in (torch.contiguous_format, torch.channels_last):
            copy = in_torch().to(memory_format=layout)
            copy.load_state_dict(model.state_dict())
            laid = x.contiguous(memory_format=layout)

            def predict(copy=copy, laid=laid):
                with torch.inference_mode():
                    return copy(laid).argmax(dim=1).numpy()

            last = layout is torch.channels_last
            contestants[f"torch float32{', channels last' if last else ''}"] = predict
        seconds = interleaved([*contestants.values()], turns, least_s=0.2)
        fastest = seconds[:, 1:].min(axis=1)
        for name, own_s in zip(contestants, seconds.T, strict=True):
            speed, times = batch / np.median(own_s), np.median(fastest / own_s)
            text = f"{speed:8.1f} images/s, {times:5.2f} times the faster torch"
            print(f"  batch {batch:3} {name:28} {text}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"parts of {', '.join(PARTS)} (default: all)")
    parser.add_argument(
        "--batch", type=machine.positive, default=64, help="images per step (default: 64)"
    )
    parser.add_argument("--threads", type=machine.positive, default=threads.num_threads())
    parser.add_argument(
        "--turns", type=machine.positive, default=5, help="timed turns (default: 5)"
    )
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    bitnet.set_num_threads(args.threads)
    bitnet.kernels.keep_memory()
    if args.one:
        one_step(*args.one, args.batch)
        return
    if wrong := set(args.parts) - set(PARTS):
        parser.error(f"part is {sorted(wrong)[0]!r}; expected some of {', '.join(PARTS)}")
    parts = args.parts or PARTS
    missing = machine.missing("torch") if "speed" in parts else None
    print("\n".join(machine.lines(*([] if missing or "speed" not in parts else ["torch"]))))
    for part, run in (("shapes", shapes), ("sizes", sizes)):
        if part in parts:
            run()
    if "steps" in parts:
        steps(args.batch, args.threads)
    if "speed" in parts:
        print(missing) if missing else speed((1, 16, 64), args.threads, args.turns)


if __name__ == "__main__":
    bitnet.cli.run(main)
