"""Targets: classes, the numbers of a regression, or several labels that are 0 or 1."""

import numpy as np

from bitnet.errors import InputError, visible

TARGETS = ("classification", "regression", "multilabel")
MANY, ROWS = 20, 10  # more classes than MANY need at least ROWS rows each, or the target's name
MAX_CLASSES = 1 << 16


def predictions(scores, target):
    """Return what a net with this target predicts from its scores (B, K).

    classification: the index of the largest score, int64 (B,).  regression: the scores, which are
    numbers, (B, K), or (B,) if K is 1.  multilabel: whether each score is above 0, bool (B, K).
    """
    if target == "classification":
        return scores.argmax(axis=1)
    if target == "multilabel":
        return scores > 0
    return scores[:, 0] if scores.shape[1:] == (1,) else scores


def check_targets(what, images, labels, target, n_outputs):
    """Raise InputError unless `labels` are one target per image, of this kind."""
    if target == "classification":
        check_labels(what, images, labels, n_outputs)
        return
    expected = (*np.atleast_1d(images).shape[:1], n_outputs)
    if labels.shape != expected:
        came = f"targets of shape {labels.shape}"
        raise InputError(f"{what} has {came}; expected {expected}, one row per image")
    if target == "regression":
        if labels.dtype.kind not in "fiu" or not np.isfinite(labels).all():
            raise InputError(f"{what} has {labels.dtype} targets; expected finite numbers")
    elif labels.dtype.kind not in "biu" or not ((labels == 0) | (labels == 1)).all():
        raise InputError(f"{what} has {labels.dtype} labels; expected booleans, or 0 and 1")


def check_labels(what, images, labels, n_classes):
    """Raise InputError unless there is one whole number below `n_classes` per image."""
    images = np.atleast_1d(images)
    if labels.shape != images.shape[:1]:
        came = f"labels of shape {labels.shape} for images of shape {images.shape}"
        raise InputError(f"{what} has {came}; expected {len(images)}, one per image")
    if labels.dtype.kind not in "iu":
        raise InputError(f"{what} has {labels.dtype} labels; expected whole numbers")
    if labels.size and not 0 <= labels.min() <= labels.max() < n_classes:
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise InputError(f"{what} has the label {wrong}; expected 0 to {n_classes - 1}")


def targets_of(where, train, test=None, target=None, names=None, classes=None):
    """Return the target, the targets of the training and the test rows, and their names.

    `train` and `test` hold numbers, booleans or text, (count,) or (count, K); `names` are those of
    the K columns.  Without a `target` it follows from the training rows.  `classes` are the names
    of a trained net, otherwise those in the training rows.
    """
    parts = [_plain(where, part) for part in (train, test) if part is not None]
    if len({part.shape[1:] for part in parts}) > 1:
        shapes = " and ".join(str(part.shape) for part in parts)
        raise InputError(f"{where}: the labels have shapes {shapes}; expected the same columns")
    target = target or _target_of(where, parts[0])
    if target == "classification":
        parts, classes = _classes(where, parts, names, classes)
    else:
        parts = [part.reshape(len(part), -1) for part in parts]
        own = tuple(names or map(str, range(parts[0].shape[1])))
        if classes and len(own) != len(classes):
            expected = f"{len(classes)}, as the net has"
            raise InputError(f"{where}: {len(own)} columns of labels; expected {expected}")
        classes = classes or own
        parts = [(_numbers if target == "regression" else _flags)(where, part) for part in parts]
    return target, parts[0], parts[1] if test is not None else None, classes


def _plain(where, part):
    """Return labels with one or two axes; a single column of anything has one."""
    part = np.asarray(part)
    if part.ndim not in (1, 2) or not part.size:
        came = f"labels of shape {part.shape}"
        raise InputError(f"{where}: {came}; expected (count,), or (count, columns)")
    if part.dtype.kind == "f" and not np.isfinite(part).all():
        raise InputError(f"{where}: a label is NaN or infinity; remove its row, or fill it in")
    return part[:, 0] if part.shape[1:] == (1,) else part


def _is_whole(part):
    """Return whether all labels are whole numbers."""
    return part.dtype.kind in "biu" or (part.dtype.kind == "f" and (part == np.rint(part)).all())


def _is_flags(part):
    """Return whether all labels are 0 or 1."""
    return part.dtype.kind in "biuf" and ((part == 0) | (part == 1)).all()


def _is_one_hot(part):
    """Return whether each row has one 1 among zeros."""
    return part.ndim == 2 and _is_flags(part) and (part.sum(axis=1) == 1).all()


def _target_of(where, part):
    """Return the target that labels suggest; ask where whole numbers may be either."""
    if part.ndim == 2:
        one_hot = _is_one_hot(part)
        return TARGETS[0] if one_hot else "multilabel" if _is_flags(part) else "regression"
    if part.dtype.kind in "US":
        return TARGETS[0]
    if not _is_whole(part):
        return "regression"
    n_classes = len(np.unique(part))
    if n_classes > MANY and n_classes * ROWS > len(part):
        raise InputError(
            f"{where}: the labels are {n_classes} different whole numbers in {len(part)} rows; "
            "say whether they are numbers to predict (target regression) or classes (target "
            "classification)"
        )
    return TARGETS[0]


def _classes(where, parts, names, classes):
    """Return class indices and the names of the classes, those of the training rows or given."""
    if parts[0].ndim == 2:
        if not all(map(_is_one_hot, parts)):
            raise InputError(
                f"{where}: the labels have {parts[0].shape[1]} columns, and some row has other "
                "than one 1 among zeros; expected one class per row, or target multilabel"
            )
        own = tuple(names or map(str, range(parts[0].shape[1])))
        if classes and len(classes) != len(own):
            raise InputError(f"{where}: {len(own)} classes; expected the net's {len(classes)}")
        return [part.argmax(axis=1) for part in parts], classes or own
    if not all(part.dtype.kind in "US" or _is_whole(part) for part in parts):
        raise InputError(
            f"{where}: a label is not a whole number; expected classes, or target regression"
        )
    parts = [part if part.dtype.kind in "US" else part.astype(np.int64) for part in parts]
    whose = "the net" if classes else "the training part"
    classes = classes or tuple(map(_name, np.unique(parts[0])))
    if len(classes) > MAX_CLASSES:
        raise InputError(f"{where}: {len(classes)} classes; expected at most {MAX_CLASSES}")
    index_of, indices = {name: i for i, name in enumerate(classes)}, []
    for part in parts:
        found, which = np.unique(part, return_inverse=True)
        known = [index_of.get(_name(label)) for label in found]
        if None in known:
            unknown = _name(found[known.index(None)])
            raise InputError(
                f"{where}: the class {visible(unknown)!r:.60} is among the labels, but {whose} has "
                "no such class; correct the label, or remove its rows"
            )
        indices.append(np.array(known)[which])
    return indices, classes


def _name(label):
    """Return the name of a class."""
    label = label.item()
    return label.decode("latin1") if isinstance(label, bytes) else str(label)


def _numbers(where, part):
    """Return the numbers of a regression as float32."""
    if part.dtype.kind not in "biuf":
        raise InputError(f"{where}: the labels are text; expected numbers for target regression")
    with np.errstate(over="ignore"):
        part = part.astype(np.float32)
    if not np.isfinite(part).all():
        raise InputError(f"{where}: a label is too large for float32; use other units")
    return part


def _flags(where, part):
    """Return the labels of a multi-label set as uint8."""
    if not _is_flags(part):
        raise InputError(
            f"{where}: a label is neither 0 nor 1; expected a column of 0 and 1 for each label of "
            "target multilabel"
        )
    return part.astype(np.uint8)
