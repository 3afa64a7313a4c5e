"""Language models: measures, training by truncated backpropagation through time, and texts."""

from bitnet.language.measures import (
    bits_per_character,
    evaluate_language,
    generate,
    perplexity,
)
from bitnet.language.training import REGIMES, LanguageEpoch, Regime, fit_language

__all__ = [
    "REGIMES",
    "LanguageEpoch",
    "Regime",
    "bits_per_character",
    "evaluate_language",
    "fit_language",
    "generate",
    "perplexity",
]
