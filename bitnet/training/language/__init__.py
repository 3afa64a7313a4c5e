"""Language models: measures, training by truncated backpropagation through time, and texts."""

from bitnet.training.language.measures import (
    bits_per_character,
    evaluate_language,
    generate,
    perplexity,
)
from bitnet.training.language.training import REGIMES, LanguageEpoch, Regime, fit_language
