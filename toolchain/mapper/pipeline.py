"""The way of a network onto a chip, on one screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from toolchain.activity import Activity, assumed_activity
from toolchain.artifact import Artifact, Image, make_artifact
from toolchain.codec import fingerprint
from toolchain.errors import DoesNotFitError, Violation
from toolchain.hardware import HardwareProfile
from toolchain.mapper.assemble import assemble
from toolchain.mapper.bound import Bounds, lower_bound
from toolchain.mapper.calibrate import Calibration
from toolchain.mapper.legality import check_neurons, check_packing, too_few_cores
from toolchain.mapper.numbering import number_cores
from toolchain.mapper.pack import PACKERS
from toolchain.mapper.quantize import Quantized, Rounding, quantize, taken
from toolchain.mapper.resources import Packed
from toolchain.mapper.stable import Stayed, stay
from toolchain.network import Network, QuantizedNetwork

Watch = Callable[[str, int, int], None]  # (what is being done, done, of how many)
Measure = Callable[[Artifact], Activity]  # how often each neuron of packed cores spikes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mapped:
    """An artifact, and what quantizing did to each population."""

    artifact: Artifact
    roundings: tuple[Rounding, ...]
    scales: str  # how the scales of the populations were chosen
    remark: str | None = None  # what the placer could not do
    unheld: str | None = None  # why the neurons could not stay where they were


def map_network(
    network: Network | QuantizedNetwork,
    profile: HardwareProfile,
    *,
    packer: str,
    placer: str = "force",
    measure: Measure | None = None,
    watch: Watch,
    weight_bits: int | None = None,
    calibration: Calibration | None = None,
    before: Image | None = None,
) -> Mapped:
    """Turn a trained network into what the chip loads; one of integers is taken as it is.

    `measure` counts the spikes of the packed cores, by which they are then placed; without it every
    neuron counts one spike per timestep. `before` is an earlier image on this chip, whose neurons
    stay on their cores where they can; packer and placer come in where that fails. Raises
    DoesNotFitError listing every limit that the network breaks, in registers and in cores. Same
    arguments: same bytes.
    """
    watch("quantize", 0, 4)
    quantized = on_integers(network, profile, weight_bits=weight_bits, calibration=calibration)
    watch("pack", 1, 4)
    there = None if before is None else _stayed(quantized, profile, before)
    if isinstance(there, Stayed):
        packed, bounds = there.packed, lower_bound(quantized.network, profile)
    else:
        packed, bounds = legal_packing(quantized, profile, packer)
    watch("assemble", 2, 4)
    image = assemble(
        quantized.network,
        packed,
        bounds,
        dropped=quantized.dropped,
        trained=fingerprint(network),
    )
    watch("place", 3, 4)
    activity = assumed_activity(image.network)
    if measure is not None:
        activity = measure(make_artifact(profile, image))
    kept = there.numbers if isinstance(there, Stayed) else None
    numbered = number_cores(profile, image, activity, placer, kept=kept)
    watch("place", 4, 4)
    return Mapped(
        artifact=make_artifact(profile, numbered.image),
        roundings=quantized.roundings,
        scales=quantized.scales,
        remark=numbered.remark,
        unheld=there if isinstance(there, str) else None,
    )


def _stayed(quantized: Quantized, profile: HardwareProfile, before: Image) -> Stayed | str | None:
    """The neurons where they were, or why not; None where no packing is legal at all."""
    if quantized.violations or impossible(quantized.network, profile)[0]:
        return None
    return stay(quantized.network, profile, before)


def on_integers(
    network: Network | QuantizedNetwork,
    profile: HardwareProfile,
    *,
    weight_bits: int | None,
    calibration: Calibration | None,
) -> Quantized:
    """A network of real numbers quantized; one of integers as it is."""
    if isinstance(network, QuantizedNetwork):
        return taken(network, profile)
    return quantize(network, profile, weight_bits=weight_bits, calibration=calibration)


def impossible(
    network: QuantizedNetwork, profile: HardwareProfile
) -> tuple[list[Violation], Bounds]:
    """What no packing can mend: neurons that exceed a core alone, and too few cores by the bound.

    Nothing is packed for it, so a network that is far too large is refused at once.
    """
    found = check_neurons(network, profile)
    bounds = lower_bound(network, profile)
    if bounds.cores > profile.cores:
        found.append(too_few_cores(profile, bounds.cores, "the network, by any packing"))
    return found, bounds


def pack(network: QuantizedNetwork, profile: HardwareProfile, packer: str) -> tuple[Packed, Bounds]:
    """Packed cores, counted and found legal, and what any packing needs at least.

    Raises DoesNotFitError: what is impossible, before anything is packed, or what the packer lacks.
    """
    found, bounds = impossible(network, profile)
    if found:
        raise DoesNotFitError(f"the network exceeds '{profile.name}'", found)
    packing = PACKERS[packer](network, profile)
    return check_packing(network, profile, packing), bounds


def legal_packing(
    quantized: Quantized, profile: HardwareProfile, packer: str
) -> tuple[Packed, Bounds]:
    """Packed cores; what quantizing found illegal is listed with what the cores lack."""
    found = list(quantized.violations)
    try:
        result = pack(quantized.network, profile, packer)
    except DoesNotFitError as lacking:
        found += lacking.violations
    if found:
        raise DoesNotFitError(f"the network does not fit '{profile.name}'", found)
    return result
