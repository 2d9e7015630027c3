"""The whole way of a trained network onto a chip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given

from tests.examples import examples
from tests.strategies import networks, place, rows
from toolchain.backends import ignore
from toolchain.errors import DoesNotFitError
from toolchain.hardware import find_profile
from toolchain.mapper.pack import PACKERS
from toolchain.mapper.pipeline import map_network
from toolchain.mapper.quantize import quantize
from toolchain.network import Input, Network, Population, Projection

TINY = find_profile("tiny")


@pytest.mark.parametrize("packer", [name for name in PACKERS if name != "exact"])
@examples(25)
@given(network=networks())
def test_mapping_is_quantizing_then_placing_and_the_same_each_time(
    packer: str, network: Network
) -> None:
    quantized = quantize(network, TINY)
    assume(not quantized.violations)

    mapped = map_network(network, TINY, packer=packer, placer="in-order", watch=ignore)
    again = map_network(network, TINY, packer=packer, placer="in-order", watch=ignore)

    assert mapped.artifact.fingerprint == again.artifact.fingerprint
    assert mapped.roundings == quantized.roundings
    assert mapped.artifact.image.dropped == quantized.dropped
    by_hand = place(quantized.network, TINY, packer=packer)
    assert len(mapped.artifact.cores) == len(by_hand.cores)


def wide(weight: float, sources: int) -> Network:
    """One neuron with many sources."""
    return Network(
        input=Input(name="input", size=sources),
        populations=(
            Population(
                name="a", size=1, decay_u=1.0, decay_v=0.0, threshold=1.0, bias=np.array([0.0])
            ),
        ),
        projections=(
            Projection(source="input", target="a", weights=rows([[weight] * sources], float)),
        ),
        output="a",
    )


def test_what_registers_and_what_cores_lack_is_listed_together() -> None:
    slow = wide(1.0, 300)
    network = replace(slow, projections=(replace(slow.projections[0], delay=64),))

    with pytest.raises(DoesNotFitError, match=r"does not fit 'tiny' \(3 violations\)") as caught:
        map_network(network, TINY, packer="akin", watch=ignore)

    assert [violation.resource for violation in caught.value.violations] == [
        "timesteps of delay",
        "in axons",
        "synapse words",
    ]


def test_every_step_is_watched_until_all_are_done() -> None:
    seen: list[tuple[str, int, int]] = []

    map_network(wide(1.0, 3), TINY, packer="akin", watch=lambda *step: seen.append(step))

    assert [done for _, done, _ in seen] == list(range(seen[-1][2] + 1))
