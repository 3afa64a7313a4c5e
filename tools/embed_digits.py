"""Make the embedded digits from the full MNIST: `python tools/embed_digits.py`.

Reads MNIST where `load_dataset("mnist")` does, and writes the first 10 000 training images
and every fifth test image into the package's folder `data/digits`.
"""

from bitnet.cli.command import run
from bitnet.data.catalogue import IDX_FILES
from bitnet.data.datasets import EMBEDDED, load_dataset
from bitnet.data.idx import write_idx

__all__ = ["embed"]

TRAIN_COUNT = 10_000
TEST_STEP = 5


def embed(mnist, folder):
    """Write the four files of the embedded digits.

    Parameters
    ----------
    mnist : Dataset
        The full MNIST.
    folder : path
        Where to; it must exist.

    Raises
    ------
    OSError
        If a file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from bitnet.data import Dataset, read_idx
    >>> images, labels = np.zeros((10, 28, 28), np.uint8), np.arange(10, dtype=np.uint8)
    >>> few = Dataset("few", images, labels, images, labels, tuple("0123456789"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     embed(few, pathlib.Path(folder))
    ...     read_idx(f"{folder}/t10k-labels-idx1-ubyte.gz")
    array([0, 5], dtype=uint8)
    """
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
