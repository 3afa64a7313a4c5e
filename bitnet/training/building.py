"""What settings stand for: their defaults, the recipe and the model of a training."""

from bitnet.data.own import is_own
from bitnet.nn.models.ends import with_ends
from bitnet.nn.models.names import net_named
from bitnet.nn.quantized import default_grad_format
from bitnet.training import recipes, texts
from bitnet.training.settings import (
    ARGUMENTS,
    BY_DATA,
    COMPUTED,
    bits_or_name,
    check_value,
    settings_of,
    task_of,
)

# default nets by data set: they train in minutes
NETS = dict.fromkeys(("mnist", "fashion-mnist"), "mlp:512,512,512") | {"embedded": "mlp:512,512"}
NET_OF_FILES = "mlp:512,512"  # own data; tables have no rows and columns of pixels


def complete(given):
    """Return the given settings with all defaults, except those that follow from the data."""
    task = task_of(given)
    table = settings_of(task)
    for name in given.keys() & table.keys():
        check_value(name, given[name], task)
    start = {name: setting.of("default", task) for name, setting in table.items()}
    start = {name: value for name, value in start.items() if value not in (COMPUTED, BY_DATA)}
    start |= dict.fromkeys(("grad_format", "rounding")) if given.get("float") else {}
    start |= given
    return (_of_texts if task == "texts" else _of_images)(start) | start


def _of_images(start):
    """Return the computed defaults for images: those of the recipe."""
    own = NET_OF_FILES if is_own(start["data"]) else "conv:32,32/64,64/256"
    start = {"net": NETS.get(start["data"], own), **start}
    recipe = recipe_of(start)
    computed = {name: getattr(recipe, name) for name in ("optimizer", "norm", "epochs", "batch")}
    computed |= {"schedule": recipe.fall, "lr": recipe.start, "prepare": list(recipe.prepare)}
    nearest = start["rounding"] == "nearest"  # which float32 needs
    computed["grad_format"] = default_grad_format() if nearest else "int8"
    return computed | {"net": start["net"]}


def _of_texts(start):
    """Return the computed defaults for texts: those of the recipe and the unit."""
    regime = texts.regime_of(start["recipe"])
    own = "lstm:" + ",".join([str(regime.units)] * regime.layers) if regime else "lstm:300"
    net = net_named(start.get("net", own))
    unit = start.get("unit", "characters" if net.kind == "rnn" else "words")
    numbers = texts.defaults(start["recipe"], unit, start.get("optimizer"))
    return {"net": net.name, "unit": unit, "width": net.units, **numbers}


def recipe_of(settings):
    """Return the recipe of a training on images, changed by the settings."""
    net = net_named(settings["net"])
    recipe = recipes.recipe_for(settings["recipe"], settings["data"], net, settings["float"])
    names = "epochs", "batch", "lr", "optimizer", "norm", "schedule"
    return recipe.changed(*map(settings.get, names))


def model_of(settings, rng):
    """Return the untrained model of a training; `rng` draws its weights."""
    net, is_few = net_named(settings["net"]), not settings["float"]
    options = {name: settings[name] for name in ("grad_format", "rounding") if is_few}
    if net.task == "texts":
        given = {ARGUMENTS[k]: bits_or_name(k, settings[k]) for k in ARGUMENTS if is_few}
        options |= given
        sizes = settings["tokens"], settings["width"]
        return net.build(*sizes, rng, dropout=settings["dropout"], **options)
    options = {name: settings[name] for name in options if settings[name] is not None}
    options |= {"balance": True} if settings["balance"] else {}
    if settings["input_planes"] < 8:
        options["input_planes"] = settings["input_planes"]
    for name in ARGUMENTS:
        if is_few and settings[name] != "1":
            options[ARGUMENTS[name]] = bits_or_name(name, settings[name])
    picture, n_classes = tuple(settings["picture"]), len(settings["classes"])
    model = recipe_of(settings).model(net, picture, n_classes, rng, **options)
    ends = {"numbers_in": settings["input"] == "numbers"}
    ends |= {"numbers_out": n_classes if settings["target"] == "regression" else 0}
    return with_ends(model, **ends, bits=settings["input_planes"] if is_few else None)
