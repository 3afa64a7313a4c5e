"""Make the embedded digits from the full MNIST: `python tools/embed_digits.py`.

Reads MNIST where `load_dataset("mnist")` does, and writes the first 10 000 training images
and every fifth test image into the package's folder `data/digits`.
"""

from bitnet.cli.command import run
from bitnet.data.catalogue import IDX_FILES
from bitnet.data.datasets import EMBEDDED, load_dataset
from bitnet.data.idx import write_idx

TRAIN_COUNT = 10_000
TEST_STEP = 5


def embed(mnist, folder):
    """Write the four files of the embedded digits into a folder."""
    parts = (
        mnist.train_images[:TRAIN_COUNT],
        mnist.train_labels[:TRAIN_COUNT],
        mnist.test_images[::TEST_STEP],
        mnist.test_labels[::TEST_STEP],
    )
    for name, array in zip(IDX_FILES, parts, strict=True):
        write_idx(folder / f"{name}.gz", array)


def main():
    """Make the files in place."""
    embed(load_dataset("mnist"), EMBEDDED)


if __name__ == "__main__":
    run(main)
