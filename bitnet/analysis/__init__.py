"""What a net costs and looks like: weights, bytes, energy, operations, repetition, pictures."""

from bitnet import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "bitnet.analysis.energy": "Energy estimate",
        "bitnet.analysis.operations": "count_operations",
        "bitnet.analysis.repetition": "repetitions",
        "bitnet.analysis.report": "Summary summary",
    },
    submodules="plots",
)
