"""The artifact: what a chip loads, and what every backend runs.

A folder: `profile.json` (the chip), `artifact.json` + `artifact.safetensors` (the quantized network
and the packed cores), and `manifest.json`, written last, with the SHA-256 of the others and, as
`io`, where every input and output is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from toolchain import codec
from toolchain.activity import Activity, neurons
from toolchain.arithmetic import ACTIVATION_LIMIT
from toolchain.errors import FileError, InputError
from toolchain.files import fit, read_bytes, read_json, sha256, to_json, write_json
from toolchain.hardware import CoreResources, HardwareProfile
from toolchain.network import QuantizedNetwork, QuantizedProjection, activation_bounds
from toolchain.whereabouts import io_section

IntArray = NDArray[np.int64]
_MANIFEST = "snn-deploy.artifact"
_VERSION = 3  # 2: blocks start:stop in one format, no mesh; 1: one threshold per population
_KEYS = {"schema", "schema_version", "fingerprint", "files", "io"}  # earlier ones have no "io"
_FILES = ("artifact.json", "artifact.safetensors", "profile.json")  # beside the manifest
FOLDER_FILES = (*_FILES, "manifest.json")  # what an artifact's folder holds


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacedBlock:
    """Neurons of one population on one core: neurons[i] is in compartment first_compartment + i."""

    population: str
    neurons: IntArray  # (size,) of the population, each once, in the order of their compartments
    first_compartment: int

    @property
    def size(self) -> int:
        """Number of neurons."""
        return len(self.neurons)

    @property
    def compartments(self) -> slice:
        """Where they are on their core."""
        return slice(self.first_compartment, self.first_compartment + self.size)


def runs(neurons: IntArray) -> list[tuple[int, int]]:
    """The fewest (start, stop) that name these neurons in this order."""
    cuts = np.flatnonzero(np.diff(neurons) != 1) + 1
    parts = np.split(neurons, cuts) if len(neurons) else []
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]


def name_runs(neurons: IntArray, most: int | None = None) -> str:
    """Neurons as a person names them: 0:16, 20, 31:40; beyond so many runs their number alone."""
    found = [f"{a}" if b == a + 1 else f"{a}:{b}" for a, b in runs(neurons)]
    beyond = 0 if most is None else max(0, len(found) - most)
    return ", ".join(found[: len(found) - beyond]) + (f", and {beyond} more runs" * (beyond > 0))


def name_neurons(block: PlacedBlock) -> str:
    """The neurons of a block as a person names them."""
    return name_runs(block.neurons)


@dataclass(frozen=True, slots=True, kw_only=True)
class SynapseFormat:
    """One way in which a core writes synapse lists; what it costs, not what arrives where."""

    kind: str  # sparse, run-length or dense
    weight_bits: int
    weight_exponent: int
    delay_bits: int
    index_bits: int
    skip_bits: int  # of run-length; 0 elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class SynapseBits:
    """What the words of a core's synapse lists hold, in bits."""

    weights: int
    delays: int
    indices: int  # and skips
    headers: int
    padding: int  # zeros in gaps, end markers and rounding up to words


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Core:
    """One core as the chip holds it.

    A spike that arrives on in-axon a adds synapse_weight[s] << weight_exponent to compartment
    synapse_compartment[s] for s in axon_start[a]:axon_start[a + 1], `delay` timesteps after it was
    sent; exponent and delay are those of projection axon_projection[a] of the network. A spike of
    compartment route_compartment[r] goes to in-axon route_axon[r] of core route_core[r].
    """

    number: int  # of the core on the machine, chip by chip
    blocks: tuple[PlacedBlock, ...]
    axon_projection: IntArray  # (in-axons,) index into network.projections
    axon_format: IntArray  # (in-axons,) index into formats
    axon_start: IntArray  # (in-axons + 1,)
    synapse_compartment: IntArray  # (synapses,)
    synapse_weight: IntArray  # (synapses,)
    route_compartment: IntArray  # (routes,) ascending
    route_core: IntArray  # (routes,) index into Artifact.cores
    route_axon: IntArray  # (routes,)
    formats: tuple[SynapseFormat, ...]
    bits: SynapseBits
    needed: CoreResources


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Cores that any packing needs at least, for one reason."""

    name: str
    cores: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Image:
    """The quantized network and the packed cores that hold it.

    Input neuron input_neuron[r] sends its spikes to in-axon input_axon[r] of core input_core[r].
    """

    network: QuantizedNetwork
    cores: tuple[Core, ...]
    input_neuron: IntArray  # (routes,) ascending
    input_core: IntArray  # (routes,) index into cores
    input_axon: IntArray  # (routes,)
    lower_bound: int  # cores that any packing would need at least
    bounds: tuple[Bound, ...]  # what each resource by itself makes necessary
    dropped: int  # trained synapses whose weight rounded to zero
    trained: str  # fingerprint of the trained Network that this came from
    placer: str | None = None  # what chose the cores' numbers; None: they are as packed
    activity: Activity | None = None  # the spikes that the cores were placed by


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Artifact:
    """An image for one chip. `fingerprint` is the SHA-256 over the content of its files."""

    profile: HardwareProfile
    image: Image
    fingerprint: str

    @property
    def network(self) -> QuantizedNetwork:
        """The quantized network that the cores hold."""
        return self.image.network

    @property
    def cores(self) -> tuple[Core, ...]:
        """The cores in use."""
        return self.image.cores

    def core_of(self, population: str, neuron: int) -> int:
        """Number of the core on which a neuron lives."""
        for core in self.cores:
            for block in core.blocks:
                if block.population == population and neuron in block.neurons:
                    return core.number
        raise InputError(f"no core holds neuron {neuron} of '{population}'")


def make_artifact(profile: HardwareProfile, image: Image) -> Artifact:
    """An artifact with its fingerprint."""
    content = to_json([profile.model_dump(), codec.fingerprint(image)])
    return Artifact(profile=profile, image=image, fingerprint=sha256(content.encode()))


def write_artifact(artifact: Artifact, folder: Path) -> None:
    """Write an artifact's folder under a temporary name, then rename it: whole or not at all.

    Replaces an artifact that is there; raises FileError where something else is.
    """
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if folder.is_file() or (there and there != {*_FILES, "manifest.json"}):
        raise FileError(f"{folder}: is there already and is no artifact; choose another --out")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
            new, old = Path(name) / "new", Path(name) / "old"
            _write_files(artifact, new)
            if folder.exists():
                folder.rename(old)
            try:
                new.rename(folder)
            except OSError:
                if old.exists():
                    old.rename(folder)
                raise
    except OSError as problem:
        raise FileError(f"{folder}: cannot be written ({problem.strerror})") from problem


def _write_files(artifact: Artifact, folder: Path) -> None:
    write_json(folder / "profile.json", artifact.profile.model_dump())
    codec.write(artifact.image, folder, "artifact")
    manifest = {
        "schema": _MANIFEST,
        "schema_version": _VERSION,
        "fingerprint": artifact.fingerprint,
        "files": {name: sha256(read_bytes(folder / name)) for name in _FILES},
        "io": io_section(artifact.image),
    }
    write_json(folder / "manifest.json", manifest)


def read_artifact(folder: Path) -> Artifact:
    """Read an artifact's folder; raises FileError where a file is missing or a byte has changed."""
    if not (folder / "manifest.json").is_file():
        raise FileError(
            f"{folder}: is no artifact, or its writing was interrupted: it has no manifest.json;"
            " make one with 'snn-deploy map'"
        )
    manifest = _read_manifest(folder / "manifest.json")
    _check_files(folder, manifest)
    profile = fit(HardwareProfile, read_json(folder / "profile.json"), folder / "profile.json")
    artifact = make_artifact(profile, codec.read(Image, folder, "artifact"))
    if not all((*_number_laws(artifact), *_index_laws(artifact.image))):
        raise FileError(
            f"{folder}: a table of its cores points outside; run 'snn-deploy map' again"
        )
    _check_activation(folder, artifact.network)
    if artifact.fingerprint != manifest.get("fingerprint"):
        raise FileError(f"{folder}/manifest.json: key 'fingerprint' does not belong to its files")
    if "io" in manifest and manifest["io"] != io_section(artifact.image):
        raise FileError(f"{folder}/manifest.json: key 'io' does not belong to its files")
    return artifact


def _check_activation(folder: Path, network: QuantizedNetwork) -> None:
    """Refuse weights whose sum could leave the 16 bits in which a chip adds them up."""
    for name, bound in activation_bounds(network.projections).items():
        if bound >= ACTIVATION_LIMIT:
            raise FileError(
                f"{folder}: population '{name}': up to {bound:,} can arrive in one timestep, a chip"
                f" holds {ACTIVATION_LIMIT - 1:,}, over by {bound - ACTIVATION_LIMIT + 1:,}; lower"
                " its weight exponents or weights, or run 'snn-deploy map' on the trained network"
            )


def _number_laws(artifact: Artifact) -> Iterator[bool]:
    """Whether every core has a number of its own on the machine."""
    numbers = np.array([core.number for core in artifact.cores], np.int64)
    yield len(np.unique(numbers)) == len(numbers)
    yield _within(numbers, artifact.profile.cores)
    activity = artifact.image.activity
    yield activity is None or len(activity.spikes) == neurons(artifact.network)


def _index_laws(image: Image) -> Iterator[bool]:
    """Whether every index of every table points inside; each may rely on those before it."""
    sizes = {p.name: p.size for p in image.network.populations}
    for core in image.cores:
        used = core.needed.compartments
        yield all(_within(b.neurons, sizes.get(b.population, 0)) for b in core.blocks)
        yield used == sum(block.size for block in core.blocks)
        yield len(core.axon_start) == len(core.axon_projection) + 1
        yield len(core.axon_format) == len(core.axon_projection)
        yield _within(core.axon_format, len(core.formats))
        yield core.axon_start[0] == 0 and core.axon_start[-1] == len(core.synapse_weight)
        yield bool(np.all(np.diff(core.axon_start) >= 0))
        yield len(core.synapse_compartment) == len(core.synapse_weight)
        yield _within(core.synapse_compartment, used)
        yield _within(core.axon_projection, len(image.network.projections))
    origin = (image.input_neuron, image.network.input.size, image.input_core, image.input_axon)
    yield from _route_laws(image, *origin)
    for core in image.cores:
        used = core.needed.compartments
        routes = (core.route_compartment, used, core.route_core, core.route_axon)
        yield from _route_laws(image, *routes)


def _route_laws(
    image: Image, source: IntArray, sources: int, cores: IntArray, axons: IntArray
) -> Iterator[bool]:
    held = np.array([len(core.axon_projection) for core in image.cores], np.int64)
    yield len(source) == len(cores) == len(axons)
    yield _within(source, sources)
    yield _within(cores, len(held))
    yield bool(np.all((axons >= 0) & (axons < held[cores])))


def _within(index: IntArray, size: int) -> bool:
    return bool(np.all((index >= 0) & (index < size)))


def _read_manifest(file: Path) -> dict[str, Any]:
    manifest = read_json(file, schema=_MANIFEST)
    if manifest.get("schema_version") != _VERSION:
        raise FileError(
            f"{file}: schema_version {manifest.get('schema_version')!r} cannot be read; this"
            f" version of snn-deploy reads {_VERSION}"
        )
    if read_bytes(file) != to_json(manifest).encode() or not set(manifest) <= _KEYS:
        raise FileError(f"{file}: was altered after it was written; run 'snn-deploy map' again")
    return manifest


def _check_files(folder: Path, manifest: dict[str, Any]) -> None:
    files = manifest.get("files")
    if not isinstance(files, dict) or set(files) != set(_FILES):
        raise FileError(f"{folder}/manifest.json: key 'files' does not name an artifact's files")
    for name, expected in files.items():
        if sha256(read_bytes(folder / name)) != expected:
            raise FileError(
                f"{folder / name}: was altered after it was written (its SHA-256 is not the"
                " manifest's); run 'snn-deploy map' again"
            )


def reassemble(image: Image) -> tuple[QuantizedProjection, ...]:
    """The network's projections put together again from the packed cores alone.

    Follows every route to its in-axon and every in-axon to its synapses: a synapse that the mapper
    lost or misplaced is lost or misplaced here too.
    """
    entries = [_input_entries(image)]
    entries += [_core_entries(image, core) for core in image.cores]
    projection, source, target, weight = (
        np.concatenate(column) for column in zip(*entries, strict=True)
    )
    parts = []
    for index, original in enumerate(image.network.projections):
        mine = projection == index
        where = (target[mine], source[mine])
        weights = coo_array((weight[mine], where), shape=original.weights.shape).tocsr()
        weights.sum_duplicates()
        parts.append(replace(original, weights=weights))
    return tuple(parts)


def _input_entries(image: Image) -> tuple[IntArray, ...]:
    return _follow(image, image.input_neuron, image.input_core, image.input_axon)


def _core_entries(image: Image, core: Core) -> tuple[IntArray, ...]:
    neuron = neuron_of_compartment(core)[core.route_compartment]
    return _follow(image, neuron, core.route_core, core.route_axon)


def neuron_of_compartment(core: Core) -> IntArray:
    """(compartments in use,) index in its population of the neuron in each compartment."""
    return np.concatenate([block.neurons for block in core.blocks])


def _follow(
    image: Image, source: IntArray, cores: IntArray, axons: IntArray
) -> tuple[IntArray, ...]:
    """(projection, source neuron, target neuron, weight) of all synapses behind some routes."""
    found = [_empty()]
    for index in np.unique(cores):
        core = image.cores[index]
        mine = cores == index
        count = np.diff(core.axon_start)[axons[mine]]
        first = core.axon_start[axons[mine]]
        synapse = np.repeat(first - np.cumsum(count) + count, count) + np.arange(count.sum())
        found.append(
            (
                np.repeat(core.axon_projection[axons[mine]], count),
                np.repeat(source[mine], count),
                neuron_of_compartment(core)[core.synapse_compartment[synapse]],
                core.synapse_weight[synapse],
            )
        )
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def _empty() -> tuple[IntArray, ...]:
    return tuple(np.zeros(0, np.int64) for _ in range(4))
