"""Cores -> core numbers: which of the packed cores stands where on the machine.

A placer is a function of one signature; all are deterministic. Cores stay on the fewest chips that
hold them all, because an out-axon to another chip costs more. `together` (cores,) says which cores
share a chip and may not be parted: what the packer's chips are where cores have hardly an out-axon
left. Then each chip's cores are placed by themselves, and whole chips by what they send each other.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import ArpackError, eigsh

from toolchain.hardware import HardwareProfile
from toolchain.mapper.swaps import descend
from toolchain.mesh import hops, tiles

IntArray = NDArray[np.int64]
Placer = Callable[[HardwareProfile, csr_array, IntArray | None], IntArray]

_SWEEPS = 100  # of swaps over all cores; a dozen are the rule
_DENSE = 2048  # cores up to which a dense solver of eigenvalues takes seconds, and is exact
_NOISE = 1e-4  # of the largest eigenvalue: ARPACK begins anew, at random, where few are not 0


def place_in_order(
    profile: HardwareProfile, between: csr_array, together: IntArray | None = None
) -> IntArray:
    """Core i of the artifact is core i of the machine; with `together`, in order on each chip."""
    if together is not None:
        return _chip_by_chip(place_in_order, profile, between, together)
    return np.arange(between.shape[0])


def place_on_curve(
    profile: HardwareProfile, between: csr_array, together: IntArray | None = None
) -> IntArray:
    """In order along a Hilbert curve through each chip's tiles; chips to and fro, if free."""
    if together is not None:
        return _chip_by_chip(place_on_curve, profile, between, together)
    return curve(profile)[: between.shape[0]]


def place_by_force(
    profile: HardwareProfile, between: csr_array, together: IntArray | None = None
) -> IntArray:
    """The better of curve and spectrum, each swapped and moved while its spike-hops fall.

    After Jin et al., ASPLOS 2023 (Hilbert curve, then force-directed swaps), with exact gains: what
    a swap saves is computed from the traffic, not estimated from forces.
    """
    each, cores = profile.chips.cores_per_chip, between.shape[0]
    chips = -(-cores // each) if together is None else len(np.unique(together))
    sites = _sites(profile, chips)
    region = np.zeros_like(sites) if together is None else sites // each
    way, both = hops(profile, sites[:, None], sites[None, :]), _both_ways(between)
    found = []
    for place in (place_on_curve, place_by_spectrum):
        start = np.searchsorted(sites, place(profile, between, together))
        found.append(sites[descend(both, way, start, region, _SWEEPS)])
    return min(found, key=lambda numbers: _total(profile, between, numbers))


def place_by_spectrum(
    profile: HardwareProfile, between: csr_array, together: IntArray | None = None
) -> IntArray:
    """Cores that talk much come close: in the order of the Fiedler vector along the curve.

    Or where the two smoothest eigenvectors of the traffic's Laplacian put them on the plane, column
    by column, if that gives fewer spike-hops. After Hall 1970, as in arXiv 2601.16118.
    """
    if together is not None:
        return _chip_by_chip(place_by_spectrum, profile, between, together)
    cores = between.shape[0]
    if cores < 4:
        return place_on_curve(profile, between)
    first, second = _smoothest(_both_ways(between))
    line = np.empty(cores, np.int64)
    line[np.argsort(first, kind="stable")] = curve(profile)[:cores]
    found = [line, _on_plane(profile, first, second), _on_plane(profile, second, first)]
    return min(found, key=lambda numbers: _total(profile, between, numbers))


PLACERS: dict[str, Placer] = {
    "force": place_by_force,
    "curve": place_on_curve,
    "spectral": place_by_spectrum,
    "in-order": place_in_order,
}


def curve(profile: HardwareProfile) -> IntArray:
    """Every core number of the machine, tile after tile along a curve that leaves no neighbourhood.

    Chips go to and fro, row by row; within one, Hilbert's curve of the smallest square that covers
    it, the tiles beyond its edge skipped.
    """
    chips, mesh = profile.chips, profile.mesh
    rows = chips.cores_per_chip // mesh.cores_per_tile // mesh.tile_columns
    way = _hilbert(max(rows, mesh.tile_columns))
    if rows > mesh.tile_columns:
        way = way[:, ::-1]  # the first half of the curve covers what is wider than high
    way = way[(way[:, 0] < mesh.tile_columns) & (way[:, 1] < rows)]
    tile = way[:, 1] * mesh.tile_columns + way[:, 0]
    within = (tile[:, None] * mesh.cores_per_tile + np.arange(mesh.cores_per_tile)).reshape(-1)
    grid = np.arange(chips.chips).reshape(-1, mesh.chip_columns)
    grid[1::2] = grid[1::2, ::-1].copy()
    return (grid.reshape(-1, 1) * chips.cores_per_chip + within).reshape(-1)


def _chip_by_chip(
    place: Placer, profile: HardwareProfile, between: csr_array, together: IntArray
) -> IntArray:
    """Each chip's cores placed as on a machine of one chip; the chips where they talk least far."""
    each, group = profile.chips.cores_per_chip, np.unique(together, return_inverse=True)[1]
    alone, within = _one_chip(profile), np.empty(len(group), np.int64)
    for number in range(int(group.max()) + 1):
        mine = np.flatnonzero(group == number)
        within[mine] = place(alone, csr_array(between[mine][:, mine]), None)
    return _chips(profile, between, group)[group] * each + within


def _one_chip(profile: HardwareProfile) -> HardwareProfile:
    """The same chip, once."""
    chips = profile.chips.model_copy(update={"chips": 1})
    mesh = profile.mesh.model_copy(update={"chip_columns": 1})
    return profile.model_copy(update={"chips": chips, "mesh": mesh})


def _chips(profile: HardwareProfile, between: csr_array, group: IntArray) -> IntArray:
    """(groups,) the chip of each group of cores: along the curve, then swapped."""
    each, groups = profile.chips.cores_per_chip, int(group.max()) + 1
    first = curve(profile)[: groups * each : each] // each * each
    lives = csr_array((np.ones_like(group), (group, np.arange(len(group)))))
    both = _both_ways(csr_array(lives @ between @ lives.T))
    way, start = hops(profile, first[:, None], first[None, :]), np.arange(groups)
    return np.asarray(first[descend(both, way, start, np.zeros_like(start), _SWEEPS)] // each)


def _hilbert(side: int) -> IntArray:
    """(n * n, 2) the cells (x, y) along Hilbert's curve of a square, n a power of two >= side.

    Four copies of the next smaller curve: the first and the last turned over a diagonal.
    """
    way, size = np.zeros((1, 2), np.int64), 1
    while size < side:
        turned = way[:, ::-1]
        last = np.stack([2 * size - 1 - way[:, 1], size - 1 - way[:, 0]], axis=1)
        above = way + np.array([0, size])
        way = np.concatenate([turned, above, above + np.array([size, 0]), last])
        size *= 2
    return way[:, ::-1]


def _sites(profile: HardwareProfile, chips: int) -> IntArray:
    """Core numbers, ascending, of the first chips along the curve."""
    return np.sort(curve(profile)[: chips * profile.chips.cores_per_chip])


def _both_ways(between: csr_array) -> csr_array:
    """Messages between two cores, whoever sends them; those of a core to itself left out."""
    pairs = between.tocoo()
    apart = (pairs.row != pairs.col) & (pairs.data != 0)
    one = csr_array((pairs.data[apart], (pairs.row[apart], pairs.col[apart])), between.shape)
    both = csr_array(one + one.T)
    both.sort_indices()
    return both


def _total(profile: HardwareProfile, between: csr_array, numbers: IntArray) -> int:
    pairs = between.tocoo()
    return int(hops(profile, numbers[pairs.row], numbers[pairs.col]) @ pairs.data)


def _smoothest(both: csr_array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two eigenvectors of the normalized Laplacian next to the trivial one, signs fixed.

    Rounded, so that what is equal in truth is not ordered by the last bits.
    """
    degree = np.maximum(np.asarray(both.sum(axis=1), np.float64).reshape(-1), 1.0)
    scale = diags_array(degree**-0.5)
    near = scale @ both.astype(np.float64) @ scale  # Laplacian = 1 - near: its largest are wanted
    vectors = _largest(csr_array(near))
    found = []
    for vector in (vectors[:, 1], vectors[:, 0]):
        plain = np.round(vector / np.sqrt(degree) / np.abs(vector / np.sqrt(degree)).max(), 9)
        found.append(plain if plain[np.argmax(np.abs(plain))] >= 0 else -plain)
    return found[0], found[1]


def _largest(near: csr_array) -> NDArray[np.float64]:
    """Eigenvectors of the three largest eigenvalues, ascending; same input, same bytes."""
    cores = near.shape[0]
    if cores > _DENSE:
        rng = np.random.default_rng(0)
        start, noise = rng.random(cores), diags_array(_NOISE * rng.random(cores))
        try:
            values, vectors = eigsh(near + noise, k=3, which="LA", v0=start, tol=1e-6, maxiter=5000)
        except ArpackError:
            pass
        else:
            return np.asarray(vectors[:, np.argsort(values, kind="stable")])
    return np.asarray(eigh(near.toarray(), subset_by_index=[cores - 3, cores - 1])[1])


def _on_plane(
    profile: HardwareProfile, across: NDArray[np.float64], down: NDArray[np.float64]
) -> IntArray:
    """Core numbers: sorted into columns of the mesh by one coordinate, within them by the other."""
    cores = len(across)
    sites = _sites(profile, -(-cores // profile.chips.cores_per_chip))
    x, y = tiles(profile, sites)
    filled = sites[np.lexsort((sites, y, x))][:cores]  # column by column
    column = tiles(profile, filled)[0]
    strip = np.empty(cores, np.int64)
    strip[np.argsort(across, kind="stable")] = column
    numbers = np.empty(cores, np.int64)
    numbers[np.lexsort((down, strip))] = filled
    return numbers
