"""What learning lowers: a function of the output's spikes and the labels, one for each name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

# An output neuron that spikes at every step has this logit: well above ln(10), so that the
# cross-entropy can come near 0, and low enough that the gradients of wrong answers stay moderate.
_LARGEST_LOGIT = 10.0
_TET_SHARE = 0.05  # of the regularising term, as in the authors' code for event data


def cross_entropy(spikes: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy on spike counts; spikes (timesteps, samples, classes), labels (samples,)."""
    return functional.cross_entropy(spikes.mean(dim=0) * _LARGEST_LOGIT, labels)


def mean_square(spikes: Tensor, labels: Tensor) -> Tensor:
    """Mean squared error of firing rates: 1 for the labelled class, 0 for the others.

    As in Fang et al., "Incorporating Learnable Membrane Time Constant ...", ICCV 2021 (PLIF).
    """
    wanted = functional.one_hot(labels, spikes.shape[2]).to(spikes.dtype)
    return functional.mse_loss(spikes.mean(dim=0), wanted)


def tet(spikes: Tensor, labels: Tensor) -> Tensor:
    """Temporal efficient training: the cross-entropy of every timestep by itself, in the mean.

    (1 - share) mean_t CE(o_t, y) + share mean_t MSE(o_t, 1): Deng et al., ICLR 2022, arXiv
    2202.11946, Eqs. 10-12. There o is an analog readout; a chip's output spikes, so o is its spike.
    """
    steps = spikes.shape[0]
    flat = spikes.flatten(0, 1)
    apart = functional.cross_entropy(flat * _LARGEST_LOGIT, labels.repeat(steps))
    return (1 - _TET_SHARE) * apart + _TET_SHARE * functional.mse_loss(flat, torch.ones_like(flat))


Loss = Callable[[Tensor, Tensor], Tensor]
LOSSES: dict[str, Loss] = {
    "cross-entropy": cross_entropy,
    "mean-square": mean_square,
    "tet": tet,
}
