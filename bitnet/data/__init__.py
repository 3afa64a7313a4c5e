"""Data sets from the files they are published in, pictures, texts, what is embedded, batches."""

from bitnet.data.batches import batches
from bitnet.data.checksums import verify
from bitnet.data.cifar import read_cifar, write_cifar
from bitnet.data.datasets import DATASETS, Dataset, available, load_dataset, scale_pixels
from bitnet.data.fetch import fetch
from bitnet.data.idx import read_idx, write_idx
from bitnet.data.image_folder import (
    list_image_folder,
    read_image,
    read_image_folder,
    read_images_of,
)
from bitnet.data.image_stream import crop_image, image_batches
from bitnet.data.photos import photographs, write_image_folder
from bitnet.data.sequences import Piece, sequences
from bitnet.data.svhn import read_svhn
from bitnet.data.text import TEXTS, Corpus, available_texts, load_corpus, read_text
from bitnet.preparation import Preparation

__all__ = [
    "DATASETS",
    "TEXTS",
    "Corpus",
    "Dataset",
    "Piece",
    "Preparation",
    "available",
    "available_texts",
    "batches",
    "crop_image",
    "fetch",
    "image_batches",
    "list_image_folder",
    "load_corpus",
    "load_dataset",
    "photographs",
    "read_cifar",
    "read_idx",
    "read_image",
    "read_image_folder",
    "read_images_of",
    "read_svhn",
    "read_text",
    "scale_pixels",
    "sequences",
    "verify",
    "write_cifar",
    "write_idx",
    "write_image_folder",
]
