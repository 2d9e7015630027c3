"""PQ index: how compressible a vector of weights is, and how many of them that lets go.

Sources: Diao et al., "Pruning Deep Neural Networks from a Sparsity Perspective", ICLR 2023,
arXiv 2302.05601 (code: diaoenmao/Pruning-Deep-Neural-Networks-from-a-Sparsity-Perspective,
`make_si`, `make_bound_si`); used for rewiring by the two-stage method, arXiv 2502.13572, Eqs. 2-4.
"""

from __future__ import annotations

from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]

_ROUNDING = 1e-5  # a negative index below this size is rounding (SAP's guard)


def pq_index(weights: FloatArray, *, p: float, q: float) -> float:
    """I = 1 - d^(1/q - 1/p) ||w||_p / ||w||_q of the existing weights; 0 < p < q.

    0 where all have one magnitude, toward 1 the fewer of them matter; d counts the existing
    synapses, those at weight 0 among them. Ratio form as in SAP's `make_si` (Eq. 2 of 2502.13572
    is printed as a difference). No weights, or only zeros: 0, as there.
    """
    assert 0 < p < q, (p, q)
    magnitudes = np.abs(weights.ravel()).astype(np.float64)
    largest = magnitudes.max(initial=0.0)
    if largest == 0:
        return 0.0
    scaled = magnitudes / largest  # the index ignores scale; the powers must not under- or overflow
    mean_p = float(np.mean(scaled**p)) ** (1 / p)
    mean_q = float(np.mean(scaled**q)) ** (1 / q)
    index = 1 - mean_p / mean_q
    assert index > -_ROUNDING, index  # the power mean inequality
    return max(index, 0.0)


def retain_bound(count: int, index: float, *, p: float, q: float, alpha: float) -> float:
    """r = d (1 + alpha)^(-q/(q-p)) (1 - I)^(pq/(q-p)): synapses that must stay (Eq. 3).

    `alpha`: the p-th powers of those let go may sum to this share of the kept ones'. Follows from
    Hoelder's inequality.
    """
    return float(count * (1 + alpha) ** (-q / (q - p)) * (1 - index) ** (p * q / (q - p)))


def rewire_count(count: int, retained: float, *, gamma: float, beta: float) -> int:
    """c = floor(d min(gamma (1 - r/d), beta)): synapses to rewire (Eq. 4); 0 where d = 0.

    `gamma` scales the share, `beta` < 1 bounds it, so that at least one synapse stays.
    """
    if count == 0:
        return 0
    share = gamma * (1 - retained / count)
    return floor(count * min(max(share, 0.0), beta))
