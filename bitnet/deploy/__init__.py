"""Frozen nets: bits and integer thresholds, and their file."""

from typing import TYPE_CHECKING

from bitnet import lazily

if TYPE_CHECKING:
    from bitnet.deploy.language import FrozenLanguageModel as FrozenLanguageModel
    from bitnet.deploy.runtime import FrozenNet as FrozenNet

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {"bitnet.deploy.language": "FrozenLanguageModel", "bitnet.deploy.runtime": "FrozenNet"},
)
