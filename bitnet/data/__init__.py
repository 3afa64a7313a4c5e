"""Data sets from the files they are published in, the embedded digits, and batches."""

from bitnet.data.batches import batches
from bitnet.data.datasets import DATASETS, Dataset, available, load_dataset, scale_pixels
from bitnet.data.idx import read_idx, write_idx

__all__ = [
    "DATASETS",
    "Dataset",
    "available",
    "batches",
    "load_dataset",
    "read_idx",
    "scale_pixels",
    "write_idx",
]
