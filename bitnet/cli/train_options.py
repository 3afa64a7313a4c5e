"""The options of `bitnet train`, in the words of the command line."""

from bitnet.cli.options import add_data, add_gpu, add_threads
from bitnet.data import TEXTS
from bitnet.data.preparation import STEPS
from bitnet.data.vocabulary import UNITS
from bitnet.nn.functional.linear import GRADIENTS
from bitnet.nn.models import language_names, names
from bitnet.nn.quantized import ROUNDINGS
from bitnet.training.language.settings import CHOICES, LANGUAGE_RECIPES
from bitnet.training.language.training import REGIMES
from bitnet.training.recipes import NORMS, OPTIMIZERS, RECIPES, SCHEDULES

__all__ = ["DATA", "add_arguments"]

DATA = "embedded"


def add_arguments(parser):
    """Give a parser the arguments of `bitnet train`.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of the verb.

    Examples
    --------
    >>> import argparse
    >>> parser = argparse.ArgumentParser()
    >>> add_arguments(parser)
    >>> parser.parse_args(["--weights", "2"]).weights
    '2'
    """
    parser.epilog = "\n".join(
        module.__doc__.partition("\n\n")[2].replace("\n\n", "\n")
        for module in (names, language_names)
    )
    add = parser.add_argument
    add(
        "--net",
        metavar="NAME",
        help=f"{', '.join(names.PAPERS)}, mlp:UNITS,... or "
        "conv:CHANNELS,.../.../UNITS,... (mlp:512,512,512 for grey sets, mlp:512,512 for "
        "embedded, otherwise conv:32,32/64,64/256); of texts rnn:, lstm: or gru:UNITS,... "
        "(lstm:300)",
    )
    add_data(parser, f"{DATA}; of language models embedded-text", TEXTS)
    add(
        "--size",
        type=int,
        metavar="N",
        help="of the set folder: pixels along each side that pictures are scaled to (32)",
    )
    add("--channels", type=int, choices=(1, 3), help="of the set folder: grey, or colours (3)")
    add(
        "--recipe",
        choices=RECIPES + LANGUAGE_RECIPES[1:],
        help="optimizer, rates, loss, "
        "epochs, batch; theano and torch are the papers', zaremba-* of texts those of "
        "arXiv 1409.2329 (default)",
    )
    add(
        "--optimizer",
        choices=OPTIMIZERS,
        help="the recipe's: adam, torch shift-adamax-code; "
        "shift-adamax is the papers' algorithm, bop flips signs and has no latent weights, sgd "
        "has momentum 0.9, of texts none",
    )
    add(
        "--norm",
        choices=NORMS,
        help="batch norm, or shift-based batch norm with the paper's or "
        "the code's backward pass (the recipe's: batch, torch shift-code)",
    )
    add(
        "--schedule",
        choices=dict.fromkeys(SCHEDULES + CHOICES["schedule"]),
        help="how the "
        "rate falls (the recipe's: cosine, theano exponential, torch step; of texts plateau, "
        "zaremba-* delayed); flips: it is halved when the signs that an epoch flips stop "
        "getting fewer, until they are 1 %%; of texts plateau: it is halved when the loss on the "
        "validation text does not fall, or delayed: it falls after some epochs",
    )
    add(
        "--float",
        action="store_true",
        default=None,
        help="train the float twin: the same "
        "sizes and epochs with ReLU, cross-entropy, Adam; of texts without quantizers",
    )
    add(
        "--epochs",
        type=int,
        metavar="N",
        help="passes over the training set (the recipe's: "
        "default 20; MNIST, CIFAR, SVHN: theano 1000, 500, 200, torch 100, 500, 200; zaremba-* "
        f"{', '.join(str(regime.epochs) for regime in REGIMES.values())})",
    )
    add(
        "--batch",
        type=int,
        metavar="N",
        help="images in a batch (the recipe's: default 100, or "
        "50 for nets cifar10 and svhn); of texts streams (words 20, characters 32)",
    )
    add(
        "--lr",
        type=float,
        metavar="RATE",
        help="first learning rate (the recipe's: default "
        "0.003, with --float 0.001; of another optimizer that one's: sgd 0.1, shift-adamax 2^-10, "
        "shift-adamax-code 2^-6, bop 0.0001; of texts words 0.002, characters 0.001, sgd "
        "1)",
    )
    add(
        "--unit",
        choices=UNITS,
        help="of texts: what is predicted (rnn: characters, otherwise words)",
    )
    add(
        "--vocabulary",
        type=int,
        metavar="N",
        help="of texts: words that are kept, the most frequent ones (all; embedded-text 2000)",
    )
    add("--width", type=int, metavar="N", help="of texts: numbers of a token's vector (UNITS)")
    add(
        "--steps",
        type=int,
        metavar="N",
        help="of texts: steps of truncated backpropagation through time (words 35, characters 25)",
    )
    add(
        "--clip", type=float, metavar="NORM", help="of texts: the largest norm of all gradients (5)"
    )
    add(
        "--dropout",
        type=float,
        metavar="P",
        help="of texts: the probability of dropping what is not recurrent (the recipe's: 0)",
    )
    add("--seed", type=int, metavar="N", help="of weights, order, dropout, flips and crops (0)")
    add(
        "--weights",
        metavar="BITS",
        help="of each weight, 1 to 8, or a quantizer's name, as "
        "log:4 or ternary, see bitnet plot quantizers (1; of texts 4)",
    )
    add("--activations", metavar="BITS", help="of each activation, in the same way (1; of texts 4)")
    add(
        "--gradient",
        choices=GRADIENTS,
        help="numbers that the backward products multiply (int8; of texts float32)",
    )
    add("--rounding", choices=ROUNDINGS, help="of gradients of integers (nearest)")
    add(
        "--balance",
        action="store_true",
        default=None,
        help="balance weights: the signs are those "
        "of the weights less the mean of their row or filter",
    )
    add(
        "--widen",
        type=float,
        metavar="WINDOW",
        help="widen the hard tanh, behind whose window no "
        "gradient passes, from 1, or the activations' own, to WINDOW",
    )
    add(
        "--widen-after",
        type=float,
        metavar="SHARE",
        help="of the epochs, after which it is widened (0.7)",
    )
    add(
        "--teacher",
        metavar="FILE",
        help="learn from the scores of a trained net too, as of the "
        "float twin (distillation); on the same images",
    )
    add(
        "--temperature",
        type=float,
        metavar="T",
        help="that the scores of both nets are divided by (4)",
    )
    add("--teacher-weight", type=float, metavar="SHARE", help="of the teacher in the loss (0.5)")
    add(
        "--validation",
        type=int,
        metavar="N",
        help="hold back the last N training images, and "
        "keep the epoch that is best on them (0: no choice is made)",
    )
    add(
        "--flip",
        action="store_true",
        default=None,
        help="turn half of the training images, left to right",
    )
    add(
        "--crop",
        type=int,
        metavar="PAD",
        help="pad training images by PAD pixels and cut at random (0)",
    )
    add(
        "--prepare",
        metavar="STEPS",
        help=f"of {', '.join(STEPS)}, as gcn,lcn, or none (the recipe's: none)",
    )
    add(
        "--limit",
        type=int,
        metavar="N",
        help="only the first N training images and the first N "
        "test images, or words or characters of each text (0: all)",
    )
    add_threads(parser)
    add_gpu(parser)
    add(
        "--out",
        metavar="FILE",
        help="the checkpoint, written after each epoch "
        "(NET-SET.checkpoint, as mlp-512-512-embedded.checkpoint); with --validation, and of "
        "texts, the best epoch goes to FILE's name with .best",
    )
    add(
        "--resume",
        nargs="?",
        const=True,
        metavar="FILE",
        help="go on with the training in FILE (OUT), with its settings",
    )
    add("--log", metavar="FILE", help="JSON lines: the settings, then the figures of each epoch")
    add("--quiet", action="store_true", help="print nothing but errors")
