"""Make the embedded digits from the full MNIST: `python -m bitnet.data.embed_digits`.

Reads MNIST where `load_dataset("mnist")` does, and writes the first 10 000 training images
and every fifth test image into the package's folder `data/digits`.
"""

from bitnet.command import run
from bitnet.data.datasets import FILES, _folder, load_dataset
from bitnet.data.idx import write_idx

__all__ = ["embed"]

TRAIN_COUNT = 10_000
TEST_STEP = 5


def embed(folder):
    """Write the four files of the embedded digits.

    Parameters
    ----------
    folder : path
        Where to; it must exist.

    Raises
    ------
    InputError
        If the full MNIST is not there.
    OSError
        If a file cannot be written.

    Examples
    --------
    >>> embed("no/such/folder")  # doctest: +SKIP
    """
    mnist = load_dataset("mnist")
    parts = {
        "train_images": mnist.train_images[:TRAIN_COUNT],
        "train_labels": mnist.train_labels[:TRAIN_COUNT],
        "test_images": mnist.test_images[::TEST_STEP],
        "test_labels": mnist.test_labels[::TEST_STEP],
    }
    for field, array in parts.items():
        write_idx(folder / f"{FILES[field]}.gz", array)


def main():
    """Make the files in place."""
    embed(_folder("embedded"))


if __name__ == "__main__":
    run(main)
