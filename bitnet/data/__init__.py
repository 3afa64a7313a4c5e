"""Data sets from the files they are published in, the embedded digits, and batches."""

from bitnet.data.batches import batches
from bitnet.data.cifar import read_cifar, write_cifar
from bitnet.data.datasets import DATASETS, Dataset, available, load_dataset, scale_pixels
from bitnet.data.idx import read_idx, write_idx
from bitnet.data.svhn import read_svhn

__all__ = [
    "DATASETS",
    "Dataset",
    "available",
    "batches",
    "load_dataset",
    "read_cifar",
    "read_idx",
    "read_svhn",
    "scale_pixels",
    "write_cifar",
    "write_idx",
]
