"""Read files with changed bytes, headers and arrays: each is read, or refused by InputError.

    python tests/campaigns/mutations.py [--minutes 30] [--seed 1] [--number N]

Each number changes a valid file by seed: a frozen net, a checkpoint, or a file of images.  Archives
get a valid SHA-256 and valid CRC-32s again.  Another process reads the file and uses it, within
TIME_S seconds and ROOM more bytes of address space.  What a frozen net computes is compared with
`evaluator.py`.  Any other exception, a crash, more time or memory, or a difference is a fault, and
the exit code is 1.  `--number N` repeats a single one; `--keep FOLDER` keeps the files of faults.
"""

import collections
import contextlib
import io
import json
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zlib

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(path) for path in (HERE, HERE.parent, HERE.parent.parent)]

import arguments  # noqa: E402
import damage  # noqa: E402
import evaluator  # noqa: E402
from frozen_nets import NETS, sizes_of  # noqa: E402
from variants import available, computed_by  # noqa: E402

import bitnet  # noqa: E402
from bitnet import InputError  # noqa: E402
from bitnet.__main__ import main as command_line  # noqa: E402
from bitnet.data.preparation import Preparation  # noqa: E402
from bitnet.training import Experiment  # noqa: E402

TIME_S, ROOM = 30, 2 << 30
MOST = 1 << 18  # elements of all values of a net that is run
IMAGES = {"net": "mlp:9", "data": "embedded", "epochs": 2, "batch": 50, "limit": 100}
TEXTS = {"net": "lstm:8", "limit": 300, "epochs": 2}
CONV = {**IMAGES, "net": "conv:3/5", "prepare": ["gcn"], "weights": "2", "activations": "log:3"}


class Valid:
    """A folder of valid files, each with the name of its reader before the dash."""

    def __init__(self, folder):
        self.folder = folder
        for path in sorted(HERE.parent.glob("conformance/*.npz")):
            shutil.copy(path, folder / f"net-{path.name}")
        for name, make in NETS.items():
            make().save(folder / f"net-made_{name}.npz")
        self._prepared().save(folder / "net-prepared.npz")
        for name, settings in {"images": IMAGES, "conv": CONV, "texts": TEXTS}.items():
            experiment = Experiment(settings)
            experiment.save(folder / f"checkpoint-{name}.checkpoint")
            next(experiment.epochs())
            experiment.save(folder / f"checkpoint-{name}_trained.checkpoint")
        self._images()
        self.files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    def _prepared(self):
        """Return a net with all that a file may have about its data."""
        model = bitnet.nn.models.binary_mlp([12, 5, 2], rng=np.random.default_rng(0))
        net = bitnet.freeze(model)
        net.classes, net.data, net.picture = ("a", "b"), "digits", (3, 4, 1)
        images = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 1), np.uint8)
        net.preparation = Preparation.fit(("gcn", "zca"), images)
        return net

    def _images(self):
        """Write small files of images."""
        from bitnet.data.cifar import write_cifar
        from bitnet.data.idx import write_idx

        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (3, 32, 32, 3), np.uint8)
        write_idx(self.folder / "idx-plain", images[..., 0])
        write_idx(self.folder / "idx-packed.gz", images[:, ::4, ::4, 0])
        write_cifar(self.folder / "cifar-batch.bin", images, np.arange(3, dtype=np.uint8))
        np.save(self.folder / "arrays-pixels.npy", images[0])
        np.savez(self.folder / "arrays-many.npz", a=images[0, :4], b=images[1, :4, :4])
        np.savez_compressed(self.folder / "arrays-compressed.npz", a=images[0] // 99)
        try:
            from PIL import Image
        except ImportError:
            return
        for name in ("a.png", "b.jpg", "c.gif", "d.bmp"):
            Image.fromarray(images[0]).save(self.folder / f"image-{name}")

    def case(self, seed, number):
        """Return the name of a file, its changed bytes, and the kind of the change."""
        rng = np.random.default_rng([seed, number])
        names = list(self.files)
        nets = [name for name in names if name.startswith("net-")]
        name = damage.one_of(rng, nets if rng.random() < 0.5 else names)
        is_archive = name.startswith(("net-", "checkpoint-"))
        if is_archive and rng.random() < 0.9:
            return name, *damage.damaged_archive(rng, self.files[name])
        return name, *damage.damaged_bytes(rng, self.files[name])


# what the other process does with a file


def show(path):
    """Show the file of a net from the command line."""
    for words in (["inspect"], ["inspect", "--layer", "0"], ["summary", "--energy"]):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(InputError):
            command_line([words[0], str(path), *words[1:]])


def use_net(path):
    """Show and run a frozen net, and compare its values with the evaluator's."""
    net = bitnet.load(path)
    assert repr(net) in net._repr_html_() or "&" in net._repr_html_()
    net.contents()
    inputs = inputs_of(net)
    show(path)
    if inputs is None:
        return "read, too large to run"
    variants = available()
    variant = variants[zlib.crc32(path.read_bytes()) % len(variants)]
    with np.errstate(all="ignore"), computed_by(*variant):
        results = net.run(*inputs, prepared=True)
        if getattr(net, "preparation", None) is not None:
            picture = net.picture or net.preparation.header["image"]
            net.predict(np.zeros((1, *picture), np.uint8))
            return "read and run"
    _check(path, inputs, results)
    return "read and run"


def _check(path, inputs, results):
    """Compare results with those of the evaluator."""
    from exactness import differing, plain

    header, expected = evaluator.evaluate(path, *map(plain, inputs))
    for at, found in zip(header["outputs"], results, strict=True):
        kind, total, wrong = differing(found, expected[at], zeros=True)
        if wrong:
            raise AssertionError(f"node {at}: {wrong} of {total} {kind} differ by the evaluator")


def inputs_of(net):
    """Return small inputs of a net, or None if it states large values."""
    from bitnet.deploy.sizes import at, total

    sizes = sizes_of(net.graph, 2)
    shapes = [at(value.shape, sizes) for value in net.graph.values]
    if sum(total(shape) for shape in shapes) > MOST or min(map(min, filter(None, shapes))) < 0:
        return None
    rng, inputs = np.random.default_rng(0), []
    for node in net.graph.inputs:
        shape = at(node.shape, sizes)
        if node.kind == "pixels":
            x = rng.integers(0, 256, shape, np.uint8)
        elif node.kind == "ids":
            x = rng.integers(0, min(node.below, 2), shape)
        elif node.kind == "signs":
            x = np.where(rng.random(shape) < 0.5, np.float32(-1), np.float32(1))
        else:
            x = rng.standard_normal(shape).astype(np.float32)
        inputs.append(x)
    return inputs


def use_checkpoint(path):
    """Show and run the net of a checkpoint, freeze it, and resume the training."""
    trained = bitnet.load(path)
    show(path)
    repr(trained)
    if trained.task == "images":
        trained.predict(np.zeros((2, *trained.picture), np.uint8))
    else:
        trained.model(np.zeros((3, 1), np.int64))
    trained.freeze()
    Experiment.resume(path)
    return "read and run"


def use_image(path):
    from bitnet.data.image_folder import read_image

    assert read_image(path, 8, 3).shape == (8, 8, 3)
    return "read"


def use_idx(path):
    from bitnet.data.idx import read_idx

    read_idx(path)
    return "read"


def use_cifar(path):
    from bitnet.data.cifar import read_cifar

    read_cifar(path)
    return "read"


def use_arrays(path):
    from bitnet.data.arrays import read_arrays

    read_arrays(path)
    return "read"


USES = {
    "net": use_net,
    "checkpoint": use_checkpoint,
    "image": use_image,
    "idx": use_idx,
    "cifar": use_cifar,
    "arrays": use_arrays,
}


def serve(folder):
    """Use the files whose names come on standard input; print an outcome in JSON for each."""
    import resource

    warnings.simplefilter("ignore")
    bitnet.set_num_threads(1)
    for name in sorted(path.name for path in folder.iterdir()):  # loads libraries and kernels
        USES[name.partition("-")[0]](folder / name)
    n_bytes = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (n_bytes + ROOM, n_bytes + ROOM))
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        path = pathlib.Path(json.loads(line))
        try:
            outcome = USES[path.name.partition("-")[0]](path)
        except InputError as error:
            is_line = len(str(error)) < 1000 and str(error).isprintable()
            outcome = "refused" if is_line else f"fault: a long or strange error, {error!r:.400}"
        except BaseException as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{pathlib.Path(last.filename).name}:{last.lineno}"
            outcome = f"fault: {type(error).__name__} in {where}: {error!s:.200}"
        print(json.dumps(outcome), flush=True)


class Worker:
    """The other process, started again after a fault."""

    def __init__(self, folder):
        self.command = [sys.executable, __file__, "--serve", str(folder)]
        self.process = None

    def outcome(self, path):
        """Return what happened to a file."""
        if self.process is None:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            if self._answer(600) != "ready":
                raise SystemExit("the process that reads files did not start")
        self.process.stdin.write(json.dumps(str(path)) + "\n")
        self.process.stdin.flush()
        outcome = self._answer(TIME_S)
        if outcome.startswith("fault"):
            self.end()
        return outcome

    def _answer(self, seconds):
        """Return the next outcome that the process prints."""
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return f"fault: more than {seconds} seconds"
        line = self.process.stdout.readline()
        return json.loads(line) if line else f"fault: exit code {self.process.wait()}"

    def end(self):
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        self.process = None


def campaign(seed, seconds=None, numbers=None, keep=None, say=print):
    """Read the files of some numbers, or of all until the time is over; return the counts."""
    counts = collections.Counter()
    numbers = iter(range(1 << 40) if numbers is None else numbers)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for part in ("valid", "changed"):
            (folder / part).mkdir()
        valid, worker = Valid(folder / "valid"), Worker(folder / "valid")
        begin = time.monotonic()
        while seconds is None or time.monotonic() < begin + seconds:
            if (number := next(numbers, None)) is None:
                break
            name, content, how = valid.case(seed, number)
            if content == valid.files[name]:
                continue
            path = folder / "changed" / name
            path.write_bytes(content)
            outcome = worker.outcome(path)
            kind = name.partition("-")[0]
            counts[f"{kind}: {outcome.partition(':')[0]}"] += 1
            counts["files"] += 1
            if outcome.startswith("fault"):
                counts["faults"] += 1
                say(f"--seed {seed} --number {number}: {name}, {how}: {outcome}")
                if keep is not None:
                    shutil.copy(path, keep / f"{seed}-{number}-{name}")
        worker.end()
    return counts


def main():
    """Run a campaign and print its counts."""
    parser = arguments.parser(__doc__)
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for the files of faults")
    parser.add_argument("--serve", type=pathlib.Path, help="for the process that reads the files")
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
        return
    numbers = None if args.number is None else [args.number]
    counts = campaign(args.seed, 60 * args.minutes, numbers=numbers, keep=args.keep)
    arguments.finish(counts, "faults")


if __name__ == "__main__":
    main()
