"""Training: the loop, measures, checkpoints, settings, and the files that come of it."""

from bitnet import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "bitnet.training.checkpoint": "load_checkpoint read_checkpoint save_checkpoint",
        "bitnet.training.experiment": "Experiment",
        "bitnet.training.files": "load",
        "bitnet.training.log": "read_log",
        "bitnet.training.loop": "fit",
        "bitnet.training.metrics": "accuracy bits_per_character evaluate evaluate_language "
        "flip_ratio images_per_second perplexity predict set_clip_value weight_bits",
        "bitnet.training.reestimation": "reestimate",
        "bitnet.training.sources": "Images Split Texts",
        "bitnet.training.texts": "generate",
    },
)
