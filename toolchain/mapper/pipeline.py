"""The way of a network onto a chip, on one screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from toolchain.artifact import Artifact, make_artifact
from toolchain.codec import fingerprint
from toolchain.errors import DoesNotFitError
from toolchain.hardware import HardwareProfile
from toolchain.mapper.assemble import assemble
from toolchain.mapper.calibrate import Calibration
from toolchain.mapper.partition import partition
from toolchain.mapper.place import PLACERS, Placement, check_placement
from toolchain.mapper.quantize import Quantized, Rounding, quantize, taken
from toolchain.mapper.resources import FanOut
from toolchain.network import Network, QuantizedNetwork

Watch = Callable[[str, int, int], None]  # (what is being done, done, of how many)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mapped:
    """An artifact, and what quantizing did to each population."""

    artifact: Artifact
    roundings: tuple[Rounding, ...]
    scales: str  # how the scales of the populations were chosen


def map_network(
    network: Network | QuantizedNetwork,
    profile: HardwareProfile,
    *,
    placer: str,
    watch: Watch,
    weight_bits: int | None = None,
    calibration: Calibration | None = None,
) -> Mapped:
    """Turn a trained network into what the chip loads; one of integers is taken as it is.

    Raises DoesNotFitError listing every limit that the network breaks, in registers and in cores.
    Same network, profile, calibration and placer: same bytes.
    """
    watch("quantize", 0, 3)
    if isinstance(network, QuantizedNetwork):
        quantized = taken(network, profile)
    else:
        quantized = quantize(network, profile, weight_bits=weight_bits, calibration=calibration)
    watch("place", 1, 3)
    placement, fan_out = _legal_placement(quantized, profile, placer)
    watch("assemble", 2, 3)
    image = assemble(
        quantized.network,
        profile,
        placement,
        fan_out,
        dropped=quantized.dropped,
        trained=fingerprint(network),
    )
    watch("assemble", 3, 3)
    artifact = make_artifact(profile, image)
    return Mapped(artifact=artifact, roundings=quantized.roundings, scales=quantized.scales)


def _legal_placement(
    quantized: Quantized, profile: HardwareProfile, placer: str
) -> tuple[Placement, FanOut]:
    """Partition and place; what quantizing found illegal is listed with what the cores lack."""
    found = list(quantized.violations)
    try:
        blocks = partition(quantized.network, profile)
        placement = PLACERS[placer](quantized.network, profile, blocks)
        fan_out = check_placement(quantized.network, profile, placement)
    except DoesNotFitError as lacking:
        found += lacking.violations
    if found:
        raise DoesNotFitError(f"the network does not fit '{profile.name}'", found)
    return placement, fan_out
