"""What a net costs and looks like: weights, bytes, energy, operations, repetition, plots."""

from typing import TYPE_CHECKING

from bitnet import lazily

if TYPE_CHECKING:
    from bitnet.analysis import plots as plots
    from bitnet.analysis.energy import Energy as Energy
    from bitnet.analysis.energy import estimate as estimate
    from bitnet.analysis.operations import count_operations as count_operations
    from bitnet.analysis.repetition import repetitions as repetitions
    from bitnet.analysis.report import Summary as Summary
    from bitnet.analysis.report import summary as summary
    from bitnet.analysis.runs import RunTable as RunTable
    from bitnet.analysis.runs import compare_runs as compare_runs
    from bitnet.analysis.runs import read_run as read_run

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "bitnet.analysis.energy": "Energy estimate",
        "bitnet.analysis.operations": "count_operations",
        "bitnet.analysis.repetition": "repetitions",
        "bitnet.analysis.report": "Summary summary",
        "bitnet.analysis.runs": "RunTable compare_runs read_run",
    },
    submodules="plots",
)
