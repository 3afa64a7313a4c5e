"""Benchmark of language models against torch: a training step, and a generation step.

    python benchmarks/recurrent.py                  LSTM-300 of 10 000 words, batch 20, 35 steps
    python benchmarks/recurrent.py --kind rnn --units 2048 --vocabulary 50 --width 64
    python benchmarks/recurrent.py --threads 1 --turns 20

Training is forward, cross-entropy, backward through time, gradient norm clipping and SGD.
Generation is one step at batch 1 from a state, without sampling.  The contestants take turns in
one process.  The table has the fastest and the median of all turns but the first, and the ratio of
the medians to torch.  First, the scores of the float model are compared with torch's, and those of
the frozen model with the trained one's, which uses the reference kernels.
"""

import argparse
import os
import statistics
import sys
import time

os.environ.pop("OPENBLAS_CORETYPE", None)  # a forced core type can halve the BLAS

import machine
import numpy as np

import bitnet
from bitnet import kernels
from bitnet.nn import detach, functional
from bitnet.nn.models.language import language_model
from bitnet.nn.module import evaluating
from bitnet.optim import clip_grad_norm

BATCH, STEPS, LR, NORM = 20, 35, 1.0, 5.0


def settings(args):
    """Return the arguments of `language_model`."""
    options = {"kind": args.kind, "width": args.width, "units": args.units}
    return options | ({"activation": "relu"} if args.kind == "rnn" else {})


class InBitnet:
    """A model in bitnet, in floats or low-bit."""

    def __init__(self, args, **few):
        rng = np.random.default_rng(0)
        self.model = language_model(args.vocabulary, rng=rng, **settings(args), **few)
        self.sgd, self.state = bitnet.optim.SGD(self.model.parameters(), lr=LR), None

    def step(self, ids):
        scores, self.state = self.model(ids[:-1], detach(self.state))
        loss = functional.cross_entropy(scores, ids[1:].ravel())
        self.sgd.zero_grad()
        loss.backward()
        clip_grad_norm(self.model.parameters(), NORM)
        self.sgd.step()
        return loss.item()


class InTorch:
    """The same model in torch, with the weights of a float model in bitnet."""

    def __init__(self, args, model):
        import torch

        self.torch, few = torch, {"nonlinearity": "relu"} if args.kind == "rnn" else {}
        layer = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[args.kind]
        embedding = torch.nn.Embedding(args.vocabulary, args.width)
        recurrent = layer(args.width, args.units, **few)
        decoder = torch.nn.Linear(args.units, args.vocabulary)
        self.parts = torch.nn.ModuleList([embedding, recurrent, decoder])
        own = model.recurrent
        weights = [model.embedding.weight, own.input_weights[0], own.state_weights[0]]
        weights += [own.biases[0], None, model.decoder.weight, model.decoder.bias]
        with torch.no_grad():
            for to, weight in zip(self.parts.parameters(), weights, strict=True):
                if weight is None:  # the second bias of torch
                    to.zero_()
                else:
                    to.copy_(torch.from_numpy(weight.data.copy()))
        self.sgd, self.state = torch.optim.SGD(self.parts.parameters(), lr=LR), None

    def scores(self, ids, state=None):
        embedding, layer, decoder = self.parts
        y, state = layer(embedding(self.torch.from_numpy(ids)), state)
        return decoder(y).flatten(0, 1), state

    def detached(self):
        if not isinstance(self.state, tuple):
            return None if self.state is None else self.state.detach()
        return tuple(part.detach() for part in self.state)

    def step(self, ids):
        scores, self.state = self.scores(ids[:-1], self.detached())
        wanted = self.torch.from_numpy(ids[1:].ravel())
        loss = self.torch.nn.functional.cross_entropy(scores, wanted)
        self.sgd.zero_grad()
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.parts.parameters(), NORM)
        self.sgd.step()
        return loss.item()


def check(args, ids, floats, torch_model, few):
    """Raise an error if the models are not equal."""
    with evaluating(floats.model), torch_model.torch.inference_mode():
        own, other = floats.model(ids)[0].data, torch_model.scores(ids)[0].numpy()
    if not np.allclose(own, other, atol=1e-4):
        sys.exit(f"the scores differ from torch's by {abs(own - other).max()}")
    part = ids[:2, :1]
    with evaluating(few.model):
        trained = few.model(part)[0].data
    with kernels.using("reference"):
        frozen, _ = bitnet.freeze(few.model).scores(part)
    if not np.array_equal(trained, frozen):
        sys.exit("the scores of the frozen model differ from those of the trained one")


def report(title, calls, turns):
    """Time the contestants in turns, and print milliseconds."""
    times = {name: [] for name in calls}
    for turn in range(turns + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:
                times[name].append(1e3 * (time.perf_counter() - start))
    print(f"\n{title:28} {'fastest':>10} {'median':>10}   of torch")
    of_torch = statistics.median(times["torch"])
    for name, own in times.items():
        median = statistics.median(own)
        print(f"{name:28} {min(own):7.2f} ms {median:7.2f} ms {median / of_torch:10.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kind", choices=("lstm", "gru", "rnn"), default="lstm")
    usual = {"vocabulary": 10000, "width": 300, "units": 300, "turns": 10, "threads": 2}
    for name, value in usual.items():
        parser.add_argument(f"--{name}", type=machine.positive, default=value, help=str(value))
    args = parser.parse_args()
    if problem := machine.missing("torch", "threadpoolctl"):
        sys.exit(problem)
    import threadpoolctl
    import torch

    torch.set_num_threads(args.threads)
    bitnet.set_num_threads(args.threads)
    threadpoolctl.threadpool_limits(args.threads)
    bitnet.kernels.keep_memory()
    print(*machine.lines("torch"), sep="\n")
    rng = np.random.default_rng(0)
    ids = rng.integers(0, args.vocabulary, (STEPS + 1, BATCH))
    floats, few = InBitnet(args), InBitnet(args, weight_quantizer=4, activation_quantizer=4)
    in_torch = InTorch(args, floats.model)
    check(args, ids, floats, in_torch, few)
    frozen = bitnet.freeze(few.model)
    one = ids[:1, :1]
    _, state = frozen.scores(one)
    with torch.inference_mode():
        _, torch_state = in_torch.scores(one)

    def in_torch_once():
        with torch.inference_mode():
            in_torch.scores(one, torch_state)

    names = f"{args.kind} {args.vocabulary}-{args.width}-{args.units}, {args.threads} threads"
    print(f"\n{names}")
    calls = {"torch": in_torch, "bitnet, float": floats, "bitnet, 4/4 bits": few}
    steps = {name: lambda own=own: own.step(ids) for name, own in calls.items()}
    report(f"training, {STEPS} x {BATCH}", steps, args.turns)
    once = {"torch": in_torch_once, "frozen, 4/4 bits": lambda: frozen.scores(one, state)}
    report("generation, batch 1", once, 20 * args.turns)


if __name__ == "__main__":
    main()
