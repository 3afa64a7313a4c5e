"""The settings of a training, a dict that JSON can hold: their ranges, and what they describe.

A training's file holds its settings, and what comes from a file is not trusted: names must be
known and numbers in range before anything is built.
"""

import re

from bitnet.data import DATASETS, load_dataset, scale_pixels
from bitnet.errors import InputError
from bitnet.nn.models.names import net_named
from bitnet.quantizers import quantizer_named
from bitnet.training.loop import Split
from bitnet.training.recipes import recipe_for

__all__ = [
    "DEFAULTS",
    "SETTINGS",
    "as_before",
    "bits_or_name",
    "check_names",
    "check_settings",
    "check_value",
    "complete",
    "inputs_of",
    "model_of",
    "read_data",
    "recipe_of",
]

# each setting of a training: its type, and for numbers the least and the most
SETTINGS = {
    "net": (str,),
    "data": (str,),
    "folder": (str, None),
    "size": (int, 1, 4096, None),
    "channels": (int, 1, 3, None),
    "recipe": (str,),
    "optimizer": (str,),
    "norm": (str,),
    "schedule": (str,),
    "float": (bool,),
    "epochs": (int, 1, 10**6),
    "batch": (int, 2, 10**6),
    "lr": (float, 1e-9, 1e3),
    "seed": (int, 0, 2**32),
    "gradient": (str, None),
    "rounding": (str, None),
    "validation": (int, 0, 10**9),
    "limit": (int, 0, 10**9),
    "flip": (bool,),
    "crop": (int, 0, 64),
    "prepare": (list,),
    "picture": (list,),
    "classes": (list,),
    "crc32": (int, 0, 2**32),
    "weights": (str,),
    "activations": (str,),
    "balance": (bool,),
    "widen": (float, 1e-3, 1e3, None),
    "widen_after": (float, 0, 1),
    "teacher": (str, None),
    "teacher_crc32": (int, 0, 2**32, None),
    "temperature": (float, 1e-3, 1e3),
    "teacher_weight": (float, 0, 1),
}
# of settings that files of trainings before them lack
DEFAULTS = {
    "weights": "1",
    "activations": "1",
    "balance": False,
    "widen": None,
    "widen_after": 0.7,
    "teacher": None,
    "teacher_crc32": None,
    "temperature": 4.0,
    "teacher_weight": 0.5,
}
KINDS = {str: "text", bool: "true or false", list: "a list"}
KINDS |= {int: "a whole number", float: "a number"}
MAX_CLASSES, MAX_SIDE = 10**5, 10**4


def check_names(settings, known):
    """Refuse settings that lack one of the known names, or have another.

    Parameters
    ----------
    settings, known : dict
        By name.

    Raises
    ------
    InputError
        See above.

    Examples
    --------
    >>> check_names({"net": "mlp:8"}, {"net": str})
    """
    if missing := [name for name in known if name not in settings]:
        raise InputError(f"the settings lack {missing[0]}")
    if unknown := sorted(settings.keys() - known.keys()):
        raise InputError(f"the settings hold an unknown {unknown[0]!r:.60}")


def check_settings(settings):
    """Refuse settings that are no training's, before anything is built from them.

    Parameters
    ----------
    settings : dict
        As `SETTINGS` describes them: the net, data set, folder and recipe by name, the numbers
        of a training, rows, columns and channels of a picture, the classes, the CRC-32 of
        the training images, and the switches: balanced weights, the window of the signs from a
        share of the epochs on, a teacher's file, its weights' CRC-32, temperature and weight.

    Raises
    ------
    InputError
        If a name is missing or unknown, or a value out of its range.

    Examples
    --------
    >>> try:
    ...     check_settings({"net": "mlp:8"})
    ... except InputError as error:
    ...     print(error)
    the settings lack data
    """
    check_names(settings, SETTINGS)
    for name in SETTINGS:
        check_value(name, settings[name])
    if settings["data"] not in DATASETS:
        raise InputError(f"data is {settings['data']!r:.60}; expected one of {', '.join(DATASETS)}")
    picture, classes = settings["picture"], settings["classes"]
    whole = len(picture) == 3 and all(type(n) is int and 0 < n <= MAX_SIDE for n in picture)
    if not whole:
        raise InputError(f"picture is {picture!r:.60}; expected [rows, columns, channels]")
    named = 0 < len(classes) <= MAX_CLASSES and all(type(name) is str for name in classes)
    if not named or not all(type(step) is str for step in settings["prepare"]):
        raise InputError("classes and prepare must be names, and classes 1 or more")


def complete(settings):
    """The settings with the defaults of those that the first trainings did not have.

    Parameters
    ----------
    settings : dict
        With or without the names in `DEFAULTS`.

    Returns
    -------
    dict

    Examples
    --------
    >>> complete({"net": "mlp:8"})["balance"]
    False
    """
    return {**DEFAULTS, **settings}


def check_value(name, value):
    """Refuse a value of another type than the setting's, or out of its range.

    Parameters
    ----------
    name : str
        One of `SETTINGS`.
    value : object
        What came.

    Raises
    ------
    InputError
        If it does not fit.

    Examples
    --------
    >>> try:
    ...     check_value("epochs", 0)
    ... except InputError as error:
    ...     print(error)
    epochs is 0; expected a whole number from 1 to 1000000
    """
    kind, *limits = SETTINGS[name]
    if name in ("weights", "activations"):
        bits_or_name(name, value)
    if value is None and None in limits:
        return
    numeric = kind in (int, float)
    if type(value) is not kind or (numeric and not limits[0] <= value <= limits[1]):
        span = f" from {limits[0]} to {limits[1]}" if numeric else ""
        raise InputError(f"{name} is {value!r:.60}; expected {KINDS[kind]}{span}")


def as_before(settings):
    """The settings in a file, with those that older files lack as they were then.

    Parameters
    ----------
    settings : dict
        What a file holds.

    Returns
    -------
    dict

    Examples
    --------
    >>> as_before({"recipe": "torch", "float": False})["optimizer"]
    'adamax'
    """
    settings = complete(settings)
    if "norm" in settings:
        return settings
    recipe, is_float = settings.get("recipe"), settings.get("float")
    of_torch = recipe == "torch" and not is_float
    falls = {} if is_float else {"theano": "exponential", "torch": "step"}
    fall = falls.get(recipe, "cosine") if isinstance(recipe, str) else "cosine"
    optimizer = "adamax" if of_torch else "adam"
    return {**settings, "optimizer": optimizer, "norm": "batch", "schedule": fall}


def bits_or_name(name, text):
    """What a setting of weights or activations means.

    Parameters
    ----------
    name : str
        "weights" or "activations".
    text : str
        "1" to "8", or the name of a quantizer.

    Returns
    -------
    int or str

    Raises
    ------
    InputError
        If it is neither, or a quantizer of weights is to be of activations.

    Examples
    --------
    >>> bits_or_name("weights", "2"), bits_or_name("weights", "log:4")
    (2, 'log:4')
    """
    if type(text) is str and re.fullmatch("[1-8]", text):
        return int(text)
    try:
        quantizer = quantizer_named(text)
    except InputError as error:
        raise InputError(f"{name} is {text!r:.60}; expected 1 to 8, or a name: {error}") from None
    if name == "activations" and not quantizer.elementwise:
        raise InputError(
            f"activations is {text!r}, a quantizer of weights, which looks at all of them at once; "
            "expected one of single numbers, as uniform, linear or log, or 1 to 8"
        )
    return text


def recipe_of(settings):
    """The recipe of a training with its settings put in.

    Parameters
    ----------
    settings : dict
        With net, data, recipe, float, epochs, batch and lr; optimizer, norm and schedule are the
        recipe's where they are left out.

    Returns
    -------
    Recipe

    Raises
    ------
    InputError
        If a name is unknown.

    Examples
    --------
    >>> settings = {"net": "mlp:8", "data": "mnist", "recipe": "theano", "float": False}
    >>> recipe_of({**settings, "epochs": 7, "batch": 10, "lr": 0.003}).schedule()
    Exponential(start=0.003, end=3e-07, epochs=7)
    """
    net = net_named(settings["net"])
    recipe = recipe_for(settings["recipe"], settings["data"], net, settings["float"])
    parts = (settings.get(name) for name in ("optimizer", "norm", "schedule"))
    return recipe.changed(settings["epochs"], settings["batch"], settings["lr"], *parts)


def model_of(settings, rng):
    """The model of a training, as it is at the start.

    Parameters
    ----------
    settings : dict
        Checked.
    rng : numpy.random.Generator
        The source of all that the model draws.

    Returns
    -------
    Sequential

    Raises
    ------
    InputError
        If there is no such model.

    Examples
    --------
    >>> import numpy as np
    >>> settings = {"net": "mlp:8", "data": "mnist", "recipe": "default", "float": False}
    >>> settings |= {"epochs": 7, "batch": 10, "lr": 0.003, "gradient": None, "rounding": None}
    >>> settings |= {"picture": [28, 28, 1], "classes": ["a", "b"]}
    >>> model_of(settings, np.random.default_rng(0)).layers[3]
    BinaryLinear(8, 2)
    """
    options = {k: settings[k] for k in ("gradient", "rounding") if settings[k] is not None}
    options |= {"balance": True} if settings.get("balance") else {}
    for name in ("weights", "activations"):
        if not settings["float"] and (value := settings.get(name, "1")) != "1":
            options[name] = bits_or_name(name, value)
    picture, n_classes = tuple(settings["picture"]), len(settings["classes"])
    return recipe_of(settings).model(net_named(settings["net"]), picture, n_classes, rng, **options)


def inputs_of(settings):
    """The function from prepared uint8 images (B, H, W, C) to what the model of a training takes.

    Parameters
    ----------
    settings : dict
        With net and float.

    Returns
    -------
    callable
        Makes rows of pixels for an MLP, and floats from -1 to 1 for a float twin.

    Examples
    --------
    >>> import numpy as np
    >>> inputs_of({"net": "mlp:8", "float": True})(np.zeros((5, 28, 28, 1), np.uint8)).shape
    (5, 784)
    """
    is_conv, is_float = net_named(settings["net"]).is_conv, settings["float"]

    def inputs(images):
        images = images if is_conv else images.reshape(len(images), -1)
        return scale_pixels(images) if is_float else images

    return inputs


def read_data(name, folder=None, limit=0, validation=0, size=None, channels=None):
    """The images of a training.

    Parameters
    ----------
    name : str
        One of `bitnet.data.DATASETS`.
    folder : str, optional
        Where the files are, if not at the usual place.
    limit : int, optional
        Only so many images of the training set, and of the test set, the first ones; 0 is all.
    validation : int, optional
        Hold back so many training images, the last ones.
    size, channels : int, optional
        Of the data set "folder": pixels along each side, 32, and 1 or 3 channels, 3.

    Returns
    -------
    Split

    Raises
    ------
    InputError
        If the data set is not there, or the training set has not more images than are held back.

    Examples
    --------
    >>> read_data("embedded").test[1].shape
    (2000,)
    """
    data = load_dataset(name, folder, size, channels).with_channels()
    data = data.first(limit, limit) if limit else data
    train = data.train_images, data.train_labels
    test = data.test_images, data.test_labels
    held, count = None, len(train[0])
    if validation >= count:
        raise InputError(f"validation is {validation}; expected fewer than the {count} images")
    if validation:
        train, held = zip(*((a[:-validation], a[-validation:]) for a in train), strict=True)
    return Split(train, test, held, tuple(data.classes))
