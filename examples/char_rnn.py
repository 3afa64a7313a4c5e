"""Predict the next character with float and low-bit recurrent nets, and generate text.

    python examples/char_rnn.py                     three plays by Shakespeare, float and 4/4 bits
    python examples/char_rnn.py --data ptb --units 2048 --bits float,4/4,3/3
    python examples/char_rnn.py --quick             a test: small nets, a part of the plays

The net of the second paper (arXiv 1609.07061, section 4.5) is one layer of 2048 ReLU units on
the Penn Treebank.  The paper states no optimizer.  This example uses Adam with a cosine schedule,
and truncated backpropagation through few steps, because ReLU units grow from step to step.
Weights and the inputs of all products, including the state, are quantized.
"""

import argparse
import json
import pathlib
from functools import partial

import numpy as np
from tqdm import tqdm

import bitnet
from bitnet.cli import report, run
from bitnet.data import TEXTS, load_corpus
from bitnet.data.vocabulary import Vocabulary
from bitnet.files import check_writable, replacing
from bitnet.nn.functional.linear import GRADIENTS
from bitnet.nn.models import language_model
from bitnet.optim import schedules
from bitnet.training import (
    Texts,
    bits_per_character,
    evaluate_language,
    fit,
    generate,
    read_checkpoint,
)

ROW = "{:>6} {:>8} {:>8} {:>8} {:>9} {:>8} {:>8}"


def net(bits, count, args):
    """Return the net for "float" or "weights/activations" and the generator of its training."""
    rng = np.random.default_rng(args.seed)
    sizes = {"kind": args.kind, "width": args.width, "units": args.units, "layers": args.layers}
    if bits != "float":
        weights, activations = map(int, bits.split("/"))
        sizes |= {
            "weight_quantizer": weights,
            "activation_quantizer": activations,
            "grad_format": args.grad_format,
        }
    if args.kind == "rnn":
        sizes["activation"] = "relu"
    return language_model(count, rng=rng, **sizes, dropout=args.dropout), rng


def train(model, rng, corpus, args, path):
    """Train, print one line per epoch, and save the last and the best epoch."""
    adam = bitnet.optim.Adam(model.parameters(), args.lr)
    schedule = schedules.Cosine(args.lr, args.epochs)
    training, best, done = (model, adam, schedule, rng), None, 0
    settings = {name: value for name, value in vars(args).items() if name not in NOT_OF_TRAINING}
    if args.resume and path.exists():
        done = bitnet.training.load_checkpoint(path, *training, settings)
        best = read_checkpoint(path).notes["best"]
        print(f"{path}: {done} epochs are done")
    print(ROW.format("epoch", "loss", "valid.", "test", "rate", "flips", "seconds"))
    texts = Texts(corpus, args.batch, args.steps, args.clip)
    more = {"schedule": schedule, "epochs": args.epochs, "rng": rng, "done": done}
    bar = partial(tqdm, leave=False, disable=None)
    try:
        for epoch in fit(model, adam, texts, **more, progress=bar):
            valid, test = map(bits_per_character, (epoch.valid_loss, epoch.test_loss))
            figures = f"{epoch.loss:.4f}", f"{valid:.4f}", f"{test:.4f}"
            figures += f"{epoch.learning_rate:.2e}", f"{epoch.flip_ratio:.2%}"
            print(ROW.format(epoch.epoch, *figures, f"{epoch.seconds:.1f}"), flush=True)
            better = best is None or valid < best["valid"]
            best = {"epoch": epoch.epoch, "valid": valid, "test": test} if better else best
            notes = {"vocabulary": corpus.vocabulary.header(), "best": best}
            # the best epoch first: if the process dies before the second file, --resume repeats it
            for file in [best_of(path)] * better + [path]:
                if done == 0 and file.exists():  # keep the file of another training
                    file.replace(f"{file}.old")
                bitnet.training.save_checkpoint(file, epoch.epoch, *training, settings, notes)
            done = epoch.epoch
    except KeyboardInterrupt:
        kept = f"{done} epochs are in {path}" if done else f"no epoch is done for {path}"
        raise KeyboardInterrupt(f"{kept}; add --resume to continue") from None
    return best


def best_of(path):
    """Return the path of the checkpoint of the best epoch."""
    return path.with_suffix(".best.npz")


def reload(bits, path, args):
    """Load the net and the vocabulary from a file that `train` wrote."""
    file = read_checkpoint(path)
    vocabulary = Vocabulary.from_header(file.notes["vocabulary"])
    model, _ = net(bits, len(vocabulary), args)
    model.load_state_dict(file.model)
    return model, vocabulary


def main():
    args = arguments()
    paths = {bits: pathlib.Path(f"{args.out}_{bits.replace('/', '')}.npz") for bits in args.bits}
    for path in [*paths.values()] + ([args.json] if args.json else []):
        check_writable(path)
    if args.threads is not None:
        bitnet.set_num_threads(args.threads)
    corpus = load_corpus(args.data, args.folder, "characters")
    corpus = corpus.first(100_000, 5000) if args.quick else corpus
    count, rows = len(corpus.vocabulary), []
    print(
        f"{args.kind} of {args.layers} x {args.units} units on {args.data}: {len(corpus.train)} "
        f"characters, {count} different"
    )
    for bits, path in paths.items():
        print("\nfloat" if bits == "float" else f"\n{bits} bits per weight and activation")
        model, rng = net(bits, count, args)
        best = train(model, rng, corpus, args, path)
        model, vocabulary = reload(bits, best_of(path), args)
        scores, file = model, best_of(path)
        if bits != "float":
            file = path.with_suffix(".frozen.npz")
            bitnet.freeze(model, vocabulary=vocabulary).save(file)
            scores = bitnet.load(file).scores  # needs no trainer
        loss = evaluate_language(scores, corpus.test, args.batch, args.steps)
        if bits_per_character(loss) != best["test"]:
            raise SystemExit("error: the loaded net is not the trained one; please report this")
        draw = np.random.default_rng(args.seed)
        drawn = generate(scores, vocabulary, args.prompt, args.count, draw, args.temperature)
        print(f"sample:\n{args.prompt}{''.join(drawn)}")
        n_bytes = 4 * sum(parameter.data.size for parameter in model.parameters())
        n_bytes = n_bytes if bits == "float" else file.stat().st_size
        rows.append({"bits": bits, "bytes": n_bytes, **best})

    print("\nbits per character, weights/activations\n bits  valid.   test  epoch       bytes")
    for row in rows:
        print("{bits:>5} {valid:7.4f} {test:7.4f} {epoch:5} {bytes:11,}".format(**row))
    if args.json:
        with replacing(args.json) as file:
            file.write(json.dumps({"settings": vars(args), "rows": rows}, indent=1).encode())


# arguments that may change when a training is resumed
NOT_OF_TRAINING = ("threads", "out", "resume", "json", "folder", "bits")
NOT_OF_TRAINING += ("prompt", "count", "temperature")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--data", choices=TEXTS, default="embedded-text", help="text; default: embedded-text")
    about = "folder of ptb.train.txt and the other files; default: BITNET_DATA/text"
    add("--folder", metavar="FOLDER", help=about)
    usual, about = "float,4/4", "bits per weight/activation of each net"
    add(
        "--bits",
        type=report.bits_list,
        default=report.bits_list(usual),
        help=f"{about}; default: {usual}",
    )
    kinds, about = ("rnn", "lstm", "gru"), "kind of the layers; default: rnn"
    add("--kind", choices=kinds, default="rnn", help=about)
    about = "units per layer; default: 512, with --quick 64"
    add("--units", type=int, metavar="N", help=about)
    add("--layers", type=int, default=1, metavar="N", help="number of layers; default: 1")
    about = "length of the vector of a character; default: 64, with --quick 32"
    add("--width", type=int, metavar="N", help=about)
    about = "probability of dropping an input; default: 0"
    add("--dropout", type=float, default=0.0, metavar="P", help=about)
    about = "passes over the text; default: 20, with --quick 2"
    add("--epochs", type=int, metavar="N", help=about)
    about = "number of streams; default: 32, with --quick 20"
    add("--batch", type=int, metavar="N", help=about)
    about = "steps of backpropagation through time; default: 25"
    add("--steps", type=int, metavar="N", help=about)
    about = "first learning rate; default: 0.001"
    add("--lr", type=float, default=1e-3, metavar="RATE", help=about)
    about = "largest norm of all gradients; default: 5"
    add("--clip", type=float, default=5.0, metavar="NORM", help=about)
    about = "number format of the gradients in the backward products; default: float32"
    add("--grad-format", choices=GRADIENTS, default="float32", help=about)
    about = "seed of the weights, the pieces and the samples; default: 0"
    add("--seed", type=int, default=0, metavar="N", help=about)
    about = "threads of the kernels and the BLAS; default: all cores"
    add("--threads", type=int, metavar="N", help=about)
    about = "beginning of the samples; default: 'The '"
    add("--prompt", default="The ", metavar="TEXT", help=about)
    about = "characters per sample; default: 300"
    add("--count", type=int, default=300, metavar="N", help=about)
    about = "temperature of the samples; default: 0.7"
    add("--temperature", type=float, default=0.7, metavar="T", help=about)
    about = "beginning of the file names; default: char_rnn, with --quick char_rnn_quick"
    add("--out", metavar="NAME", help=about)
    add("--resume", action="store_true", help="resume from the checkpoints")
    add("--quick", action="store_true", help="train on 100 000 characters for 2 epochs, as a test")
    add("--json", metavar="FILE", help="write the figures of the final table to this file")
    args = parser.parse_args()
    defaults = {
        "units": (512, 64),
        "width": (64, 32),
        "epochs": (20, 2),
        "batch": (32, 20),
        "steps": (25, 25),
        "out": ("char_rnn", "char_rnn_quick"),
    }
    for name, pair in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, pair[args.quick])
    ranges = {"units": (1, 1e5), "layers": (1, 20), "width": (1, 1e5), "dropout": (0, 0.95)}
    ranges |= {"epochs": (1, 1e9), "batch": (1, 1e5), "steps": (1, 1e5), "lr": (1e-9, 1e3)}
    ranges |= {"clip": (1e-6, 1e6), "seed": (0, 1e9), "threads": (1, 1024), "count": (0, 1e6)}
    ranges |= {"temperature": (0, 1e3)}
    for name, (least, most) in ranges.items():
        given = getattr(args, name)
        if given is not None and not least <= given <= most:
            parser.error(f"--{name} is {given}; expected a number from {least:g} to {most:g}")
    return args


if __name__ == "__main__":
    run(main)
