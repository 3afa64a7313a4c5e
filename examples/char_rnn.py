"""The next character: a recurrent net in float and in a few bits, and texts that it writes.

    python examples/char_rnn.py                     three plays by Shakespeare, float and 4/4 bits
    python examples/char_rnn.py --data ptb --units 2048 --bits float,4/4,3/3
    python examples/char_rnn.py --quick             small nets, a part of the plays

The second paper's net (arXiv 1609.07061, section 4.5) is one layer of 2048 rectified units on the
Penn Treebank.  It states no optimizer and no more; here it is Adam with truncated backpropagation
through time, of few steps, as rectified units grow from step to step, and a rate that falls along a
cosine.  Bits are those of the weights and of the inputs of all products, the state among them.
"""

import argparse
import json
import pathlib
import re
from functools import partial

import numpy as np
from tqdm import tqdm

import bitnet
from bitnet.archive import check_writable, replacing
from bitnet.cli import run
from bitnet.data import TEXTS, load_corpus
from bitnet.data.vocabulary import Vocabulary
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
    """The net of so many bits, with the generator of its weights, which draws all else too."""
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
    """Train, print a line an epoch, and keep the epoch that is best on the validation text."""
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
            # the best one first: were the process killed between them, the epoch would come again
            for file in [best_of(path)] * better + [path]:
                if done == 0 and file.exists():  # of another training: it is not lost
                    file.replace(f"{file}.old")
                bitnet.training.save_checkpoint(file, epoch.epoch, *training, settings, notes)
            done = epoch.epoch
    except KeyboardInterrupt:
        kept = f"{done} epochs are in {path}" if done else f"no epoch is done for {path}"
        raise KeyboardInterrupt(f"{kept}; add --resume to go on") from None
    return best


def best_of(path):
    return path.with_suffix(".best.npz")


def reload(bits, path, args):
    """The net and the vocabulary of a file of `train`, with nothing taken from the training."""
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
        print(f"\n{bits}: bits of weights and activations" if bits != "float" else "\nin float")
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
            raise SystemExit("error: the reloaded net is not the trained one; please report this")
        draw = np.random.default_rng(args.seed)
        drawn = generate(scores, vocabulary, args.prompt, args.count, draw, args.temperature)
        print(f"it goes on:\n{args.prompt}{''.join(drawn)}")
        n_bytes = 4 * sum(parameter.data.size for parameter in model.parameters())
        n_bytes = n_bytes if bits == "float" else file.stat().st_size
        rows.append({"bits": bits, "bytes": n_bytes, **best})

    print("\nbits per character, weights/activations\n bits  valid.   test  epoch       bytes")
    for row in rows:
        print("{bits:>5} {valid:7.4f} {test:7.4f} {epoch:5} {bytes:11,}".format(**row))
    if args.json:
        with replacing(args.json) as file:
            file.write(json.dumps({"settings": vars(args), "rows": rows}, indent=1).encode())


def bits_list(text):
    """The bits that "float,4/4,3/3" stands for."""
    if not re.fullmatch(r"(float|[1-8]/[1-8])(,(float|[1-8]/[1-8])){0,20}", text):
        raise argparse.ArgumentTypeError(f"{text!r}; expected float or WEIGHTS/ACTIVATIONS, ...")
    return list(dict.fromkeys(text.split(",")))


NOT_OF_TRAINING = ("threads", "out", "resume", "json", "folder", "bits")
NOT_OF_TRAINING += ("prompt", "count", "temperature")  # of the samples


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--data", choices=TEXTS, default="embedded-text", help="text (embedded-text)")
    add("--folder", help="of ptb.train.txt and the others (BITNET_DATA/text)")
    usual, about = "float,4/4", "of weights and activations"
    add("--bits", type=bits_list, default=bits_list(usual), help=f"{about} ({usual})")
    add("--kind", choices=("rnn", "lstm", "gru"), default="rnn", help="of the layers (rnn)")
    add("--units", type=int, help="of each layer (512; quick: 64)")
    add("--layers", type=int, default=1, help="how many (1)")
    add("--width", type=int, help="numbers of a character's vector (64; quick: 32)")
    add("--dropout", type=float, default=0.0, help="probability of dropping an input (0)")
    add("--epochs", type=int, help="passes over the text (20; quick: 2)")
    add("--batch", type=int, help="streams (32; quick: 20)")
    add("--steps", type=int, help="of backpropagation through time (25)")
    add("--lr", type=float, default=1e-3, help="first learning rate (0.001)")
    add("--clip", type=float, default=5.0, help="largest norm of all gradients (5)")
    about = "numbers that the backward products of few bits multiply (float32)"
    add("--grad-format", choices=GRADIENTS, default="float32", help=about)
    add("--seed", type=int, default=0, help="of weights, pieces and samples (0)")
    add("--threads", type=int, help="threads of the kernels and of the BLAS (all cores)")
    add("--prompt", default="The ", help="beginning of the samples ('The ')")
    add("--count", type=int, default=300, help="characters of a sample (300)")
    add("--temperature", type=float, default=0.7, help="of the samples (0.7)")
    add("--out", help="beginning of the files' names (char_rnn; quick: char_rnn_quick)")
    add("--resume", action="store_true", help="go on from the files")
    add("--quick", action="store_true", help="100 000 characters, 2 epochs: does everything work?")
    add("--json", help="file for the figures of the closing table")
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
