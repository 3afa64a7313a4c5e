"""Train networks: the loop, metrics, checkpoints, and loading of trained and frozen nets."""

from typing import TYPE_CHECKING

from bitnet import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "bitnet.training.checkpoint": "load_checkpoint read_checkpoint save_checkpoint",
        "bitnet.training.experiment": "Experiment",
        "bitnet.training.files": "load",
        "bitnet.training.initial": "initialize",
        "bitnet.training.log": "read_log",
        "bitnet.training.loop": "fit steps",
        "bitnet.training.metrics": "accuracy bits_per_character evaluate evaluate_language "
        "flip_ratio images_per_second perplexity predict set_clip_value weight_bits",
        "bitnet.training.rates": "RateCurve find_rate",
        "bitnet.training.reestimation": "reestimate",
        "bitnet.training.sources": "Images Split Texts",
        "bitnet.training.targets": "f1_score mean_absolute_error r2_score",
        "bitnet.training.stopping": "EarlyStopping",
        "bitnet.training.texts": "generate",
    },
)

if TYPE_CHECKING:
    from bitnet.training.checkpoint import load_checkpoint as load_checkpoint
    from bitnet.training.checkpoint import read_checkpoint as read_checkpoint
    from bitnet.training.checkpoint import save_checkpoint as save_checkpoint
    from bitnet.training.experiment import Experiment as Experiment
    from bitnet.training.files import load as load
    from bitnet.training.initial import initialize as initialize
    from bitnet.training.log import read_log as read_log
    from bitnet.training.loop import fit as fit
    from bitnet.training.loop import steps as steps
    from bitnet.training.metrics import accuracy as accuracy
    from bitnet.training.metrics import bits_per_character as bits_per_character
    from bitnet.training.metrics import evaluate as evaluate
    from bitnet.training.metrics import evaluate_language as evaluate_language
    from bitnet.training.metrics import flip_ratio as flip_ratio
    from bitnet.training.metrics import images_per_second as images_per_second
    from bitnet.training.metrics import perplexity as perplexity
    from bitnet.training.metrics import predict as predict
    from bitnet.training.metrics import set_clip_value as set_clip_value
    from bitnet.training.metrics import weight_bits as weight_bits
    from bitnet.training.rates import RateCurve as RateCurve
    from bitnet.training.rates import find_rate as find_rate
    from bitnet.training.reestimation import reestimate as reestimate
    from bitnet.training.sources import Images as Images
    from bitnet.training.sources import Split as Split
    from bitnet.training.sources import Texts as Texts
    from bitnet.training.stopping import EarlyStopping as EarlyStopping
    from bitnet.training.targets import f1_score as f1_score
    from bitnet.training.targets import mean_absolute_error as mean_absolute_error
    from bitnet.training.targets import r2_score as r2_score
    from bitnet.training.texts import generate as generate
