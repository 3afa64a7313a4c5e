"""Training: the loop, measures, checkpoints, settings, and the files that come of it."""

from bitnet import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "bitnet.training.checkpoint": "load_checkpoint save_checkpoint",
        "bitnet.training.files": "load",
        "bitnet.training.log": "read_log",
        "bitnet.training.loop": "fit",
        "bitnet.training.metrics": "accuracy evaluate flip_ratio images_per_second predict "
        "set_window weight_bits",
        "bitnet.training.reestimation": "reestimate",
    },
    submodules="language",
)
