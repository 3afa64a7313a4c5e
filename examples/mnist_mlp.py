"""Train a binary net on digits, freeze it to integers, check them all, and train a float twin.

    python examples/mnist_mlp.py       writes mnist_mlp.npz; see --help, or try --quick first
    bitnet evaluate mnist_mlp.npz      uses it; `bitnet train` has more nets and settings

The function `step` is Algorithm 1 of "Binarized Neural Networks" (arXiv 1602.02830).
"""

import pathlib

import numpy as np
from tqdm import tqdm

import bitnet
from bitnet.cli import options, report, run
from bitnet.nn.functional import cross_entropy, squared_hinge
from bitnet.nn.models import binary_mlp, float_mlp
from bitnet.optim import Adam, schedules

SETTINGS = "data", "hidden", "recipe", "epochs", "seed", "quick"  # which --resume has to repeat


def step(model, optimizer, loss_of, x, labels):
    """Take one step of Algorithm 1 and return the loss before it."""
    loss = loss_of(model(x), labels)  # forward, by layer: s = ab Wb, a = norm(s), ab = sign(a)
    optimizer.zero_grad()
    loss.backward()  # through sign where |a| <= 1; the gradients of Wb count as those of W
    optimizer.step()  # update and clip: W = clip(W - scale * rate * direction, -1, 1)
    return loss.item()


def train(model, schedule, loss_of, data, args, rng, file=None):
    """Train with Adam; print a line per epoch and, given a file, write a checkpoint there."""
    adam, settings = Adam(model.parameters()), {name: getattr(args, name) for name in SETTINGS}
    training = model, adam, schedule, rng
    for epoch, losses in report.epochs(args.epochs, training, data, file, args.resume, settings):
        batches = bitnet.data.batches(data.train_images, data.train_labels, 100, rng)
        for i, (x, labels) in enumerate(tqdm(batches, leave=False, disable=None)):
            adam.lr = schedule(epoch + i / len(batches))
            losses.append(step(model, adam, loss_of, x, labels))


def main():
    args = arguments()
    device, out = options.use_machine(args), pathlib.Path(args.out)
    report.check_options(args, checkpoint := pathlib.Path(f"{out}.checkpoint"))
    images = bitnet.load_dataset(args.data)
    data = images.first(2000, 500).flattened() if args.quick else images.flattened()
    sizes = [data.train_images.shape[1], *args.hidden, len(data.classes)]
    print(f"binary net {'-'.join(map(str, sizes))} on {len(data.train_images)} images")
    rng = np.random.default_rng(args.seed)
    if args.recipe == "paper":
        model = binary_mlp(sizes, rng=rng, dropout=(0.2, 0.5))
        schedule = schedules.Exponential(3e-3, 3e-7, args.epochs)
    else:
        model = binary_mlp(sizes, rng=rng, lr_scale=10)  # of gamma and beta
        schedule = schedules.Cosine(3e-3, args.epochs)
    train(model.to(device), schedule, squared_hinge, data, args, rng, checkpoint)
    rows = [report.row("binary, latent", model, data.test_images, data.test_labels)]

    net = bitnet.freeze(model)  # batch norm and sign become one integer threshold per unit
    net.classes, net.data = data.classes, args.data  # for `bitnet evaluate` and `bitnet plot`
    net.picture = images.with_channels().train_images.shape[1:]
    net.save(out)
    net = bitnet.load(out).to(device)
    agreement = bitnet.compare(model, net, data.test_images)
    print(f"frozen, saved to {out}, loaded: {agreement}")
    report.check_complete(agreement)
    rows.append(report.row("binary, frozen", net, data.test_images, data.test_labels, out))
    report.print_table(rows)

    if args.twin:
        rng, data = np.random.default_rng(args.seed), data.with_images(bitnet.data.scale_pixels)
        twin, schedule = float_mlp(sizes, rng=rng).to(device), schedules.Cosine(1e-3, args.epochs)
        report.estimate("float twin", step, twin, cross_entropy, data, args.epochs)
        train(twin, schedule, cross_entropy, data, args, rng)
        rows.insert(0, report.row("float twin", twin, data.test_images, data.test_labels))
        report.print_table(rows)
    report.write_json(args.json, args, agreement, rows)


def arguments():
    parser = report.parser_of(__doc__)
    add = parser.add_argument
    add("--data", choices=bitnet.data.DATASETS, default="embedded", help="data set (embedded)")
    add("--recipe", choices=("default", "paper"), default="default", help="paper: as the authors")
    add("--hidden", type=report.widths, metavar="UNITS", help="hidden layers (default: 3x512)")
    add("--resume", action="store_true", help="continue from OUT.checkpoint")
    args = parser.parse_args()
    units, epochs = (4096, 1000) if args.recipe == "paper" else (512, 20)
    args.out = args.out or f"mnist_mlp{'_quick' * args.quick}.npz"
    args.hidden = args.hidden or 3 * [units]
    if args.epochs is None:
        args.epochs = 2 if args.quick else epochs
    return args


if __name__ == "__main__":
    run(main)
