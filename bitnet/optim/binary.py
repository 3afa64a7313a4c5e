"""Optimizers for binary nets: shift-based AdaMax, and Bop, which flips signs."""

import math
from collections.abc import Iterable

import numpy as np

from bitnet import kernels
from bitnet.arrays import array_module
from bitnet.autograd import Parameter
from bitnet.errors import InputError, check_choice
from bitnet.optim.optimizers import Adam, Optimizer, check_betas

VARIANTS = {  # lr, betas, eps
    "paper": (2.0**-10, (1 - 2.0**-3, 1 - 2.0**-10), 0.0),
    "code": (2.0**-6, (0.9, 0.999), 2.0**-27),
}


def ap2(number):
    """Return AP2 of one number."""
    return float(kernels.ap2(np.array([number], np.float64))[0])


class ShiftAdaMax(Optimizer):
    """Shift-based AdaMax: Algorithm 3 of arXiv 1602.02830 (version 2) and 1609.07061, or its code.

    "paper": `m <- b1 m + (1 - b1) g`, `v <- max(b2 v, |g|)`; the step is
    `lr * AP2(1 / (1 - b1^t)) * m / AP2(v)`, so that, with a power of two for `lr`, all products
    of the step are shifts.  The paper's last line has 1 - b1 instead of 1 - b1^t and does not
    define its corrected m; the line here is the one that AdaMax requires.  v is stored unrounded.

    "code": the authors' Torch code (`adaMax_binary_clip_shift.lua`), which stores `v <- AP2(max(b2
    v, |g|)) + eps` in the state and updates by `AP2(lr / (1 - b1^t)) * m / v`. Since b2 times a
    power of two is rounded back to it, its v never falls.

    Parameters
    ----------
    parameters : iterable of Parameter
        The parameters to optimize.
    lr : float, optional
        Learning rate, above 0; by default 2^-10 ("paper", its alpha), or 2^-6 ("code").
    variant : {"paper", "code"}, optional
        Which of the two rules to use.
    betas : (float, float), optional
        b1 and b2; default: 1 - 2^-3 and 1 - 2^-10 ("paper"), or 0.9 and 0.999 ("code").
    eps : float, optional
        Added to v: 0 ("paper", where it is added before AP2), or 2^-27 ("code").
    scale_power : float, optional
        Default: 1, as in the papers' code.
    weight_decay, moments, rng : optional
        See `Optimizer`.

    Examples
    --------
    >>> from bitnet.autograd import Parameter
    >>> w = Parameter([1.0])
    >>> optimizer = ShiftAdaMax([w], lr=0.25)
    >>> w.grad = np.float32([8.0])
    >>> optimizer.step()  # 1 - 0.25 * 8 * (m = 1) / (v = 8)
    >>> w.data
    array([0.75], dtype=float32)
    """

    state_names = ("m", "v")

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float | None = None,
        variant: str = "paper",
        betas: tuple[float, float] | None = None,
        eps: float | None = None,
        scale_power: float = 1.0,
        weight_decay: float = 0.0,
        moments: str = "float32",
        rng: np.random.Generator | None = None,
    ) -> None:
        check_choice("ShiftAdaMax", VARIANTS, variant=variant)
        usual_lr, usual_betas, usual_eps = VARIANTS[variant]
        self.beta1, self.beta2 = check_betas("ShiftAdaMax", usual_betas if betas is None else betas)
        self.variant, self.eps = variant, usual_eps if eps is None else eps
        if not (0 < self.eps < math.inf or (variant == "paper" and self.eps == 0)):
            raise InputError(
                f"ShiftAdaMax: eps is {eps!r}; expected a number above 0, or 0 with variant 'paper'"
            )
        lr = usual_lr if lr is None else lr
        super().__init__(parameters, lr, scale_power, weight_decay, moments, rng)

    def rule_of(self, parameter):
        """Return the paper's rule, or the code's."""
        return "shift_adamax" if self.variant == "paper" else "shift_adamax_code"

    def rate_of(self, parameter):
        """Return the learning rate and the correction, shifted, times the parameter's scale."""
        correction = 1 / (1 - self.beta1**self.steps)
        paper = self.variant == "paper"
        shifted = self.lr * ap2(correction) if paper else ap2(self.lr * correction)
        return shifted * self.scale_of(parameter)

    def constants(self, parameter):
        return 1 - self.beta1, self.beta2, self.eps

    def settings(self):
        own = {"variant": self.variant, "betas": [self.beta1, self.beta2], "eps": self.eps}
        return {**super().settings(), **own}


class Bop(Adam):
    """Bop (Helwegen et al., arXiv 1906.02107): binary weights that flip, without latent weights.

    The weights of binary layers are set to +1.0 and -1.0 in `data` and stay at these values.
    `m <- (1 - gamma) m + gamma g`; a weight is flipped where `|m| > threshold` and m has the
    weight's sign.  Adam updates all other parameters, such as gamma and beta.

    Parameters
    ----------
    parameters : iterable of Parameter
        The parameters to optimize; those that are clipped and have two axes or more are binary
        weights.
    lr : float, optional
        The adaptivity rate gamma, above 0 and at most 1; the default is the paper's.  A schedule
        that lowers it lowers Adam's learning rate in the same ratio.
    threshold : float, optional
        The threshold, 0 or more; the default is the paper's.  Good values depend on the scale of
        the loss.
    adam_lr : float, optional
        Adam's learning rate while `lr` has its initial value.
    betas, eps : optional
        As for `Adam`.

    Examples
    --------
    >>> from bitnet.autograd import LatentWeight
    >>> weight = LatentWeight([[0.3, -0.2]], clip=1.0)
    >>> optimizer = Bop([weight], lr=0.5, threshold=0.1)
    >>> weight.grad = np.float32([[0.1, -2.0]])
    >>> optimizer.step()  # m = 0.05 and -1: only the second one is large enough
    >>> weight.data, optimizer.flips
    (array([[1., 1.]], dtype=float32), 1)
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-4,
        threshold: float = 1e-8,
        adam_lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, lr, betas, eps)
        if not 0 <= threshold < math.inf or not 0 < adam_lr < math.inf or lr > 1:
            raise InputError(
                f"Bop: lr is {lr!r}, threshold {threshold!r}, adam_lr {adam_lr!r}; expected lr "
                "above 0 and at most 1, a threshold of 0 or more, and adam_lr above 0"
            )
        self.threshold, self.adam_lr, self.first_lr = threshold, adam_lr, self.lr
        for parameter in self.parameters:
            if parameter.clip is not None and parameter.ndim > 1 and not parameter.is_binary:
                raise InputError(
                    f"Bop: weights of shape {parameter.shape} have more than one bit; expected "
                    "one-bit layers; choose another optimizer, such as Adam"
                )
            if parameter.is_binary:
                data = parameter.edit()
                data[...] = array_module(data).where(data >= 0, 1, -1)

    def rule_of(self, parameter):
        """Return the rule: flips for binary weights, Adam for the others."""
        return "bop" if parameter.is_binary else "adam"

    def state_of(self, parameter):
        """Return the moments: one for binary weights, Adam's two for the others."""
        return ("m",) if parameter.is_binary else ("m", "v")

    def rate_of(self, parameter):
        """Return gamma, or Adam's rate, scaled as gamma is, times the parameter's scale."""
        if parameter.is_binary:
            return self.lr
        return self.adam_lr * (self.lr / self.first_lr) * self.scale_of(parameter)

    def constants(self, parameter):
        return (self.threshold,) if parameter.is_binary else super().constants(parameter)

    def settings(self):
        own = {"gamma": self.first_lr, "threshold": self.threshold, "adam_lr": self.adam_lr}
        return {**super().settings(), **own}
