"""Frozen nets: bits and integer thresholds, and their file."""

from bitnet import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {"bitnet.deploy.recurrent": "FrozenLanguageModel", "bitnet.deploy.runtime": "FrozenNet"},
)
