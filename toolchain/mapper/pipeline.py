"""The way of a network onto a chip, on one screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from toolchain.artifact import Artifact, make_artifact
from toolchain.hardware import HardwareProfile
from toolchain.mapper.assemble import assemble
from toolchain.mapper.partition import partition
from toolchain.mapper.place import PLACERS, check_placement
from toolchain.mapper.quantize import Rounding, quantize
from toolchain.network import Network

Watch = Callable[[str, int, int], None]  # (what is being done, done, of how many)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mapped:
    """An artifact, and what quantizing did to each population."""

    artifact: Artifact
    roundings: tuple[Rounding, ...]


def map_network(network: Network, profile: HardwareProfile, *, placer: str, watch: Watch) -> Mapped:
    """Turn a trained network into what the chip loads.

    Raises DoesNotFitError listing every limit that the network breaks in the first step that finds
    one. Same network, profile and placer: same bytes.
    """
    watch("quantize", 0, 4)
    quantized = quantize(network, profile)
    watch("partition", 1, 4)
    blocks = partition(quantized.network, profile)
    watch("place", 2, 4)
    placement = PLACERS[placer](quantized.network, profile, blocks)
    fan_out = check_placement(quantized.network, profile, placement)
    watch("assemble", 3, 4)
    image = assemble(quantized.network, profile, placement, fan_out, dropped=quantized.dropped)
    watch("assemble", 4, 4)
    return Mapped(artifact=make_artifact(profile, image), roundings=quantized.roundings)
