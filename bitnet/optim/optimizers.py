"""Optimizers: the update, learning-rate scale and clipping of latent weights and other parameters.

Each update ends like that of Algorithm 1: `W <- clip(W - lr_scale * lr * direction, -1, 1)`, where
`clip` and `lr_scale` belong to the parameter (a binary layer sets them to 1 and to
sqrt((in_features + out_features) / 1.5), as in the papers' code).  Only latent weights are clipped.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from bitnet import kernels
from bitnet.arrays import like, to_cpu
from bitnet.autograd import Parameter
from bitnet.errors import InputError, unfit
from bitnet.nn.state import check_state
from bitnet.optim.gradients import expect_gradients
from bitnet.optim.moments import check_halves, seed_for, seeds_of, zeros_for


class Optimizer:
    """The base of all optimizers; a subclass names a rule of `kernels.update` and its state.

    A subclass sets `rule` and `state_names`, or overrides the methods that choose by parameter
    (`rule_of`, `state_of`, `rate_of`), and defines `constants`.

    Parameters
    ----------
    parameters : iterable of Parameter
        The parameters to optimize, such as `model.parameters()`.
    lr : float
        Learning rate, above 0.
    scale_power : float, optional
        The learning rate of a clipped parameter is multiplied by `lr_scale**scale_power`.
    weight_decay : float, optional
        Decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101): before its update a
        parameter with two axes or more is multiplied by `1 - lr * weight_decay`, so gammas, betas
        and biases do not decay; default: 0.
    moments : {"float32", "bfloat16"}, optional
        The type in which moments are stored between steps; default: float32, that is, the type of
        the parameter.  With bfloat16 they take half the memory.  Each step computes in float32 and
        then rounds them stochastically, without bias; rounding to the nearest would lose changes
        below 2^-9 of a moment, such as most of those of Adam's v.
    rng : numpy.random.Generator, optional
        The generator that draws the seed of this rounding; required for bfloat16.  A checkpoint
        contains the seed, so that a resumed training has the same moments.

    Attributes
    ----------
    lr : float
        The learning rate of the next step; a schedule sets it.
    steps : int
        The number of steps so far.
    flips : int
        The number of signs of latent weights that the last step changed.
    """

    rule: str | None = None
    state_names: tuple[str, ...] = ()

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float,
        scale_power: float = 1.0,
        weight_decay: float = 0.0,
        moments: str = "float32",
        rng: np.random.Generator | None = None,
    ) -> None:
        name, self.parameters = type(self).__name__, list(parameters)
        if not self.parameters or not all(isinstance(p, Parameter) for p in self.parameters):
            raise InputError(f"{name}: expected one or more Parameters, such as model.parameters()")
        if len({id(p) for p in self.parameters}) < len(self.parameters):
            raise InputError(f"{name}: a Parameter is given twice; expected each once")
        self.lr = lr
        if self.lr == 0:
            raise InputError(f"{name}: lr is 0; expected a number above 0")
        is_number = isinstance(weight_decay, (int, float, np.number))
        if not is_number or not 0 <= weight_decay < 1 / self.lr:
            raise InputError(
                f"{name}: weight_decay is {weight_decay!r}; expected at least 0 and below 1 / lr"
            )
        self.scale_power, self.weight_decay = scale_power, weight_decay
        self.steps = self.flips = 0
        self.seed = seed_for(name, moments, self.parameters, rng)
        self.state = [zeros_for(p, self.state_of(p), moments) for p in self.parameters]

    def __repr__(self):
        return f"{type(self).__name__}(lr={self.lr:g}, {len(self.parameters)} parameters)"

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return self._lr

    @lr.setter
    def lr(self, lr: float) -> None:
        if not isinstance(lr, (int, float, np.number)) or not 0 <= lr < math.inf:
            raise InputError(
                f"{type(self).__name__}: lr is {lr!r}; expected a number above 0, or 0 at the end "
                "of a schedule"
            )
        self._lr = float(lr)

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to None."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient, and clip latent weights.

        Before the first step a warning says which parameters have no gradient, if any.
        Latent weights are packed in the same sweep, for the next forward pass.  If the memory of a
        GPU runs out, only some parameters are updated: resume from a checkpoint.
        """
        with_gradient = [i for i, p in enumerate(self.parameters) if p.lazy_grad is not None]
        expect_gradients(type(self).__name__, self.parameters, warns=not self.steps)
        for i in with_gradient:  # all of them, before the first one moves
            self._check(self.parameters[i])
            self.state[i] = like(self.state[i], self.parameters[i])
        self.steps += 1
        seeds = seeds_of(self.seed, self.steps, len(self.parameters))
        moving = [(self.parameters[i], [*self.state[i].values()], seeds[i]) for i in with_gradient]
        self.flips = sum(self._move(*own) for own in moving)

    def _check(self, parameter):
        """Refuse a gradient that the kernels cannot use."""
        data, grad = parameter.data, parameter.lazy_grad
        if grad.shape != data.shape or grad.dtype != data.dtype:
            raise unfit(type(self).__name__, "a gradient like its Parameter", data, grad)

    def _move(self, parameter, state, seed):
        """Update one parameter; returns how many of its packed signs changed."""
        binary = parameter.is_binary
        words = parameter.signs.words.copy() if binary else None  # the old ones may be in use
        data = parameter.edit()
        if self.weight_decay and data.ndim > 1:
            data *= data.dtype.type(1 - self.lr * self.weight_decay)
        constants = [self.rate_of(parameter), *self.constants(parameter)]
        given = self.rule_of(parameter), parameter.data, parameter.lazy_grad, state, constants
        flips = kernels.update(*given, parameter.clip, words, seed)
        if binary and flips is not None:  # None: a weight became NaN; sign() will say so
            parameter.keep_signs(words)
        return flips or 0

    def scale_of(self, parameter):
        """Return the factor of the learning rate of a parameter."""
        return parameter.lr_scale ** (1.0 if parameter.clip is None else self.scale_power)

    def rule_of(self, parameter):
        """Return the rule that updates a parameter."""
        return self.rule

    def state_of(self, parameter):
        """Return the names of the moments of a parameter."""
        return self.state_names

    def rate_of(self, parameter):
        """Return the learning rate of a parameter in the next step."""
        return self.lr * self.scale_of(parameter)

    def constants(self, parameter):
        """Return the numbers after the rate that `kernels.update` takes in this step."""
        raise TypeError(f"{type(self).__name__} has no constants; an Optimizer defines them")

    def settings(self) -> dict[str, Any]:
        """Return the settings that a resumed training must share, by name."""
        own = {"optimizer": type(self).__name__, "scale_power": self.scale_power}
        own |= {"weight_decay": self.weight_decay} if self.weight_decay else {}
        return own | ({"moments": "bfloat16"} if self.seed is not None else {})

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return copies of the moments, by "index.name", the number of steps, and a seed."""
        arrays = {f"{i}.{k}": v for i, state in enumerate(self.state) for k, v in state.items()}
        copies = {name: np.array(to_cpu(array)) for name, array in arrays.items()}
        seed = {} if self.seed is None else {"seed": np.array(self.seed, np.int64)}
        return {"steps": np.array(self.steps, np.int64), **seed, **copies}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Set the moments and the number of steps; change nothing if anything does not fit."""
        check_state(type(self).__name__, self.state_dict(), state)
        check_halves(type(self).__name__, state)
        self.steps = int(state["steps"])
        self.seed = int(state["seed"]) if "seed" in state else None
        for i, arrays in enumerate(self.state):
            for name, array in arrays.items():
                array[...] = like(state[f"{i}.{name}"], array)


class SGD(Optimizer):
    """Stochastic gradient descent, with optional momentum, plain or Nesterov.

    `v <- momentum * v + g`; the direction is `v`, or `g + momentum * v` with Nesterov.

    Parameters
    ----------
    parameters : iterable of Parameter
        The parameters to optimize.
    lr : float
        Learning rate, above 0.
    momentum : float, optional
        The momentum, from 0 to below 1.
    nesterov : bool, optional
        Whether to use Nesterov's momentum.
    scale_power : float, optional
        Default: 2, because BinaryConnect (section 2.5) scales by the square with SGD.
    weight_decay, moments, rng : optional
        See `Optimizer`.

    Examples
    --------
    >>> w = Parameter([1.0])
    >>> optimizer = SGD([w], lr=0.5, momentum=0.9)
    >>> w.grad = np.float32([1.0])
    >>> optimizer.step()
    >>> w.data
    array([0.5], dtype=float32)
    """

    rule, state_names = "sgd", ("velocity",)

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        scale_power: float = 2.0,
        weight_decay: float = 0.0,
        moments: str = "float32",
        rng: np.random.Generator | None = None,
    ) -> None:
        if not 0 <= momentum < 1:
            raise InputError(f"SGD: momentum is {momentum!r}; expected 0 to below 1")
        super().__init__(parameters, lr, scale_power, weight_decay, moments, rng)
        self.momentum, self.nesterov = momentum, nesterov

    def constants(self, parameter):
        return self.momentum, float(self.nesterov)

    def settings(self):
        return {**super().settings(), "momentum": self.momentum, "nesterov": self.nesterov}


def check_betas(name, betas):
    """Return both decay rates, once they are two numbers from 0 to below 1."""
    two = isinstance(betas, (tuple, list)) and len(betas) == 2
    if not two or not all(isinstance(b, (int, float, np.number)) and 0 <= b < 1 for b in betas):
        raise InputError(f"{name}: betas are {betas!r:.60}; expected two rates from 0 to below 1")
    return tuple(map(float, betas))


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1), the papers' optimizer on small data sets.

    `m <- b1 m + (1 - b1) g`, `v <- b2 v + (1 - b2) g^2`; the direction is
    `(m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)`.

    Parameters
    ----------
    parameters : iterable of Parameter
        The parameters to optimize.
    lr : float, optional
        Learning rate, above 0.
    betas : (float, float), optional
        Decay rates b1 and b2, from 0 to below 1.
    eps : float, optional
        Added to the denominator.
    scale_power : float, optional
        Default: 1, as in the papers' code.
    weight_decay, moments, rng : optional
        See `Optimizer`.

    Examples
    --------
    >>> w = Parameter([1.0])
    >>> optimizer = Adam([w], lr=0.25)
    >>> w.grad = np.float32([10.0])
    >>> optimizer.step()
    >>> w.data
    array([0.75], dtype=float32)
    """

    rule, state_names = "adam", ("m", "v")

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        scale_power: float = 1.0,
        weight_decay: float = 0.0,
        moments: str = "float32",
        rng: np.random.Generator | None = None,
    ) -> None:
        self.beta1, self.beta2 = check_betas(type(self).__name__, betas)
        if not 0 < eps < math.inf:
            raise InputError(f"{type(self).__name__}: eps is {eps!r}; expected a number above 0")
        super().__init__(parameters, lr, scale_power, weight_decay, moments, rng)
        self.eps = eps

    def constants(self, parameter):
        correction1 = 1 / (1 - self.beta1**self.steps)
        correction2 = 1 / math.sqrt(1 - self.beta2**self.steps)
        return 1 - self.beta1, 1 - self.beta2, correction2, self.eps, correction1

    def settings(self):
        return {**super().settings(), "betas": [self.beta1, self.beta2], "eps": self.eps}


class AdaMax(Adam):
    """AdaMax (Kingma and Ba 2015, algorithm 2): Adam scaled by the largest gradient.

    `m <- b1 m + (1 - b1) g`, `u <- max(b2 u, |g|)`; the direction is
    `m / (1 - b1^t) / (u + eps)`.  Takes the arguments of `Adam`, with the same defaults.

    Examples
    --------
    >>> w = Parameter([1.0])
    >>> optimizer = AdaMax([w], lr=0.25)
    >>> w.grad = np.float32([10.0])
    >>> optimizer.step()
    >>> w.data
    array([0.75], dtype=float32)
    """

    rule, state_names = "adamax", ("m", "u")

    def constants(self, parameter):
        return 1 - self.beta1, self.beta2, self.eps, 1 / (1 - self.beta1**self.steps)
