"""Optimizers with clipping and learning-rate scales for latent weights, and schedules."""

from bitnet.optim import schedules
from bitnet.optim.binary import Bop, ShiftAdaMax
from bitnet.optim.gradients import clip_grad_norm
from bitnet.optim.optimizers import SGD, Adam, AdaMax

__all__ = ["SGD", "AdaMax", "Adam", "Bop", "ShiftAdaMax", "clip_grad_norm", "schedules"]
