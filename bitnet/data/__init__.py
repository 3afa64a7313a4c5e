"""Data sets from the files they are published in, pictures, texts, what is embedded, batches."""

from bitnet import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "bitnet.data.batching": "batches",
        "bitnet.data.checksums": "verify",
        "bitnet.data.cifar": "read_cifar",
        "bitnet.data.datasets": "DATASETS Dataset available load_dataset scale_pixels",
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
