"""The settings of the training of a language model: their ranges, and what they describe.

They are kept in the file of a training, and what comes from a file is not trusted: names must be
known and numbers in range before anything is built.

The gradients of nets of few bits are float32 by default, unlike those of nets of images: of a
softmax over thousands of words nearly all numbers are so small that the nearest int8 is 0, and the
scores of the words that did not come are not pushed down.  With stochastic rounding int8 is right
in the mean.
"""

from bitnet.data import TEXTS
from bitnet.data.vocabulary import UNITS
from bitnet.errors import InputError
from bitnet.nn.functional.linear import GRADIENTS
from bitnet.nn.models.language_names import language_net_named
from bitnet.nn.quantized import ROUNDINGS
from bitnet.optim.optimizers import SGD, Adam
from bitnet.optim.schedules import Constant, Cosine, Delayed, Plateau
from bitnet.training.language.training import REGIMES
from bitnet.training.settings import bits_or_name, check_names

__all__ = [
    "LANGUAGE_RECIPES",
    "LANGUAGE_SETTINGS",
    "check_language_settings",
    "language_defaults",
    "language_model_of",
    "optimizer_of",
    "schedule_of",
]

# each setting: its type, and for numbers the least and the most; None where it may be left open
LANGUAGE_SETTINGS = {
    "net": (str,),
    "data": (str,),
    "folder": (str, None),
    "unit": (str,),
    "vocabulary": (int, 3, 10**6, None),
    "float": (bool,),
    "weights": (str,),
    "activations": (str,),
    "gradient": (str, None),
    "rounding": (str, None),
    "width": (int, 1, 10**5),
    "dropout": (float, 0, 0.95),
    "recipe": (str,),
    "optimizer": (str,),
    "schedule": (str,),
    "epochs": (int, 1, 10**6),
    "batch": (int, 1, 10**5),
    "steps": (int, 1, 10**5),
    "lr": (float, 1e-9, 1e3),
    "clip": (float, 1e-6, 1e6),
    "limit": (int, 0, 10**9),
    "seed": (int, 0, 2**32),
    "crc32": (int, 0, 2**32),
}
KINDS = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}
CHOICES = {
    "data": TEXTS,
    "unit": UNITS,
    "optimizer": ("adam", "sgd"),
    "schedule": ("plateau", "cosine", "constant", "delayed"),
    "gradient": tuple(GRADIENTS),
    "rounding": ROUNDINGS,
    "recipe": ("default", *(f"zaremba-{name}" for name in REGIMES)),
}
LANGUAGE_RECIPES = CHOICES["recipe"]
# of "default": Adam, and a rate that is halved when the validation loss does not fall
OF_UNIT = {
    "words": {"batch": 20, "steps": 35, "lr": 2e-3},
    "characters": {"batch": 32, "steps": 25, "lr": 1e-3},  # rectified units grow over more steps
}
LR_OF_SGD = 1.0  # as in the regimes
DEFAULT = {"optimizer": "adam", "schedule": "plateau", "epochs": 20, "clip": 5.0, "dropout": 0.0}


def language_defaults(given):
    """The settings of a training, of which some are given.

    Parameters
    ----------
    given : dict
        Some of `LANGUAGE_SETTINGS`.  The net is lstm:300 by default, or
        the recipe's own; an rnn predicts characters,
        the others words, as in the second paper; weights and activations have 4 bits; the recipe
        says the rest.

    Returns
    -------
    dict
        All but crc32.

    Raises
    ------
    InputError
        If the net or the recipe has an unknown name.

    Examples
    --------
    >>> settings = language_defaults({"net": "rnn:512", "data": "ptb"})
    >>> settings["unit"], settings["weights"], settings["steps"], settings["width"]
    ('characters', '4', 25, 512)
    """
    recipe = given.get("recipe", "default")
    _check_choice("recipe", recipe)
    regime = REGIMES.get(recipe.removeprefix("zaremba-"))
    own = "lstm:" + ",".join([str(regime.units)] * regime.layers) if regime else "lstm:300"
    net = language_net_named(given.get("net", own))
    unit = given.get("unit", "characters" if net.kind == "rnn" else "words")
    _check_choice("unit", unit)
    start = {
        "net": net.name,
        "data": "embedded-text",
        "folder": None,
        "unit": unit,
        "vocabulary": None,
        "float": False,
        "weights": "4",
        "activations": "4",
        "width": net.units,
        "recipe": recipe,
        "limit": 0,
        "seed": 0,
    }
    few = {"gradient": "float32", "rounding": "nearest"}  # see the module's first lines
    start |= dict.fromkeys(few) if given.get("float") else few
    start |= DEFAULT | OF_UNIT[unit]
    start |= {"lr": LR_OF_SGD} if given.get("optimizer") == "sgd" else {}
    if regime:
        names = "epochs", "batch", "steps", "lr", "clip", "dropout"
        start |= {name: getattr(regime, name) for name in names}
        start |= {"optimizer": "sgd", "schedule": "delayed"}
    return start | given


def check_language_settings(settings):
    """Refuse settings that are no training's, before anything is built from them.

    Parameters
    ----------
    settings : dict
        As `LANGUAGE_SETTINGS` describes them.

    Raises
    ------
    InputError
        If a name is missing or unknown, or a value out of its range.

    Examples
    --------
    >>> try:
    ...     check_language_settings({"net": "lstm:8"})
    ... except InputError as error:
    ...     print(error)
    the settings lack data
    """
    check_names(settings, LANGUAGE_SETTINGS)
    for name, (kind, *limits) in LANGUAGE_SETTINGS.items():
        value = settings[name]
        if value is None and None in limits:
            continue
        numeric = kind in (int, float)
        if type(value) is not kind or (numeric and not limits[0] <= value <= limits[1]):
            span = f" from {limits[0]} to {limits[1]}" if numeric else ""
            raise InputError(f"{name} is {value!r:.60}; expected {KINDS[kind]}{span}")
        if name in CHOICES:
            _check_choice(name, value)
        if name in ("weights", "activations"):
            bits_or_name(name, value)
    language_net_named(settings["net"])


def _check_choice(name, value):
    """Refuse what is none of the choices."""
    if value not in CHOICES[name]:
        raise InputError(
            f"{name} is {value!r:.60}; for a text expected one of {', '.join(CHOICES[name])}"
        )


def language_model_of(settings, count, rng):
    """The model of a training, as it is at the start.

    Parameters
    ----------
    settings : dict
        Checked.
    count : int
        Tokens of the vocabulary.
    rng : numpy.random.Generator
        The source of all that the model draws.

    Returns
    -------
    Module
        As `bitnet.training.language.measures` describes it.

    Raises
    ------
    InputError
        If there is no such model.

    Examples
    --------
    >>> import numpy as np
    >>> settings = language_defaults({"net": "gru:5"})
    >>> model = language_model_of(settings, 9, np.random.default_rng(0))
    >>> scores, state = model(np.zeros((2, 3), int))
    >>> scores.shape
    (6, 9)
    """
    options = {"dropout": settings["dropout"]}
    if not settings["float"]:
        bits = {name: bits_or_name(name, settings[name]) for name in ("weights", "activations")}
        options |= bits | {name: settings[name] for name in ("gradient", "rounding")}
    return language_net_named(settings["net"]).build(count, settings["width"], rng, **options)


def optimizer_of(settings, model):
    """The optimizer of a training.

    Parameters
    ----------
    settings : dict
        Checked.
    model : Module
        Whose parameters it moves.

    Returns
    -------
    Optimizer

    Examples
    --------
    >>> from bitnet.nn import Linear
    >>> import numpy as np
    >>> model = Linear(3, 2, np.random.default_rng(0))
    >>> optimizer_of({"optimizer": "sgd", "lr": 0.5}, model).lr
    0.5
    """
    return {"adam": Adam, "sgd": SGD}[settings["optimizer"]](model.parameters(), settings["lr"])


def schedule_of(settings):
    """The learning rates of a training.

    Parameters
    ----------
    settings : dict
        Checked.

    Returns
    -------
    Schedule
        "delayed" has the numbers of the recipe, and of "default" those of "zaremba-medium".

    Examples
    --------
    >>> schedule_of({"schedule": "plateau", "lr": 0.5})
    Plateau(start=0.5, factor=0.5)
    """
    lr, name = settings["lr"], settings["schedule"]
    if name == "cosine":
        return Cosine(lr, settings["epochs"])
    if name == "delayed":
        regime = REGIMES.get(settings["recipe"].removeprefix("zaremba-"), REGIMES["medium"])
        return Delayed(lr, regime.factor, regime.after)
    return {"plateau": Plateau, "constant": Constant}[name](lr)
