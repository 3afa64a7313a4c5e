"""Data sets: readers of published files, image folders and texts, embedded data, and batches."""

from typing import TYPE_CHECKING

from bitnet import lazily

if TYPE_CHECKING:
    from bitnet.data.batching import batches as batches
    from bitnet.data.checksums import verify as verify
    from bitnet.data.cifar import read_cifar as read_cifar
    from bitnet.data.datasets import DATASETS as DATASETS
    from bitnet.data.datasets import Dataset as Dataset
    from bitnet.data.datasets import available as available
    from bitnet.data.datasets import load_dataset as load_dataset
    from bitnet.data.datasets import read_dataset as read_dataset
    from bitnet.data.datasets import scale_pixels as scale_pixels
    from bitnet.data.download import fetch as fetch
    from bitnet.data.idx import read_idx as read_idx
    from bitnet.data.image_folder import list_image_folder as list_image_folder
    from bitnet.data.image_folder import read_image as read_image
    from bitnet.data.image_folder import read_images_of as read_images_of
    from bitnet.data.pieces import sequences as sequences
    from bitnet.data.preparation import Preparation as Preparation
    from bitnet.data.svhn import read_svhn as read_svhn
    from bitnet.data.text import TEXTS as TEXTS
    from bitnet.data.text import Corpus as Corpus
    from bitnet.data.text import available_texts as available_texts
    from bitnet.data.text import load_corpus as load_corpus
    from bitnet.data.vocabulary import Vocabulary as Vocabulary

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "bitnet.data.batching": "batches",
        "bitnet.data.checksums": "verify",
        "bitnet.data.cifar": "read_cifar",
        "bitnet.data.datasets": "DATASETS Dataset available load_dataset read_dataset scale_pixels",
        "bitnet.data.download": "fetch",
        "bitnet.data.idx": "read_idx",
        "bitnet.data.image_folder": "list_image_folder read_image read_images_of",
        "bitnet.data.pieces": "sequences",
        "bitnet.data.preparation": "Preparation",
        "bitnet.data.svhn": "read_svhn",
        "bitnet.data.text": "TEXTS Corpus available_texts load_corpus",
        "bitnet.data.vocabulary": "Vocabulary",
    },
)
