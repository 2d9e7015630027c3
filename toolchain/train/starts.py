"""How synapses are shared out over the layers: one function per start, exact in sum.

A start says in which ratio the layers share; `counts` does the sharing. The shape of a layer's
synapses is (out, in) or (out, in / groups, height, width).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import prod

import numpy as np

from toolchain.errors import ConfigError, did_you_mean, number

Shape = tuple[int, ...]
Ratio = Callable[[Shape], float]  # of a layer's synapses, to those of the other layers


def uniform(shape: Shape) -> float:
    """Every layer at one density."""
    return float(prod(shape))


def erdos_renyi(shape: Shape) -> float:
    """Density as (out + in) / (out in), whatever the kernel (Mocanu et al. 2018)."""
    return float(sum(shape[:2]) * prod(shape[2:]))


def erk(shape: Shape) -> float:
    """Density as (out + in + height + width) / (out in height width): kernel-aware.

    Evci et al. 2020, arXiv 1911.11134; google-research/rigl, `sparse_utils`.
    """
    return float(sum(shape))


STARTS: dict[str, Ratio] = {"uniform": uniform, "erdos-renyi": erdos_renyi, "erk": erk}


def counts(
    shapes: Mapping[str, Shape], density: float, ratio: Ratio, keep_dense: Collection[str] = ()
) -> dict[str, int]:
    """Synapses of each layer, round(density * all) in sum.

    Layers kept dense have all of theirs, and count; what would exceed a layer's size goes to the
    others in the same ratio. Raises ConfigError where those kept dense alone hold more, or one of
    them is unknown.
    """
    _check_names(keep_dense, shapes)
    sizes = {name: prod(shape) for name, shape in shapes.items()}
    total = round(density * sum(sizes.values()))
    kept = sum(sizes[name] for name in keep_dense)
    if kept > total:
        raise ConfigError(
            f"[sparsity] keep_dense: its layers alone have {number(kept)} synapses, the density"
            f" {density:g} allows {number(total)} in all, over by {number(kept - total)}; keep"
            " fewer layers dense, or raise the density"
        )
    shares = _with_caps({n: ratio(s) for n, s in shapes.items()}, sizes, total, set(keep_dense))
    found = _rounded(list(shares.values()), total)
    assert all(count <= size for count, size in zip(found, sizes.values(), strict=True))
    return dict(zip(shapes, found, strict=True))


def _check_names(keep_dense: Collection[str], shapes: Mapping[str, Shape]) -> None:
    for name in keep_dense:
        if name not in shapes:
            raise ConfigError(
                f"[sparsity] keep_dense: no layer is called '{name}'; {did_you_mean(name, shapes)}"
            )


def _with_caps(
    ratios: Mapping[str, float], sizes: Mapping[str, int], total: int, full: set[str]
) -> dict[str, float]:
    """`total` shared out in these ratios: none above its size, those in `full` exactly there."""
    full = set(full)
    while True:
        free = [name for name in sizes if name not in full]
        left = total - sum(sizes[name] for name in full)
        unit = left / sum(ratios[name] for name in free) if free else 0.0
        over = {name for name in free if unit * ratios[name] >= sizes[name]}
        if not over:
            break
        full |= over
    return {
        name: float(size) if name in full else unit * ratios[name] for name, size in sizes.items()
    }


def _rounded(shares: Sequence[float], total: int) -> list[int]:
    """Whole numbers of sum `total` near the shares: the largest remainders are rounded up."""
    found = [int(share) for share in shares]
    remainders = np.array([share - down for share, down in zip(shares, found, strict=True)])
    for at in np.argsort(-remainders, kind="stable")[: total - sum(found)]:
        found[at] += 1
    assert sum(found) == total, (shares, total)
    return found
