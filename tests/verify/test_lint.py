"""Each kind of finding is found where it is planted, and bounds hold for whatever is shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from tests.strategies import Case, cases, neurons, rows, synapses
from toolchain import arithmetic
from toolchain.arithmetic import STATE_LIMIT
from toolchain.backends import quantized
from toolchain.backends.quantized import run_network
from toolchain.errors import InputError
from toolchain.network import Input, Network, Population, Projection, QuantizedNetwork
from toolchain.raster import Raster, Recording
from toolchain.verify.lint import Finding, lint_measured, lint_ranges, lint_structure
from toolchain.verify.margins import Margins, gather
from toolchain.verify.ranges import ranges


def network(**given: object) -> QuantizedNetwork:
    """2 inputs, 3 hidden, 2 outputs; every neuron is reached, matters, and can spike."""
    plain = QuantizedNetwork(
        input=Input(name="input", size=2),
        populations=(neurons("hidden", 3, decay_v=1024), neurons("out", 2, decay_v=1024)),
        projections=(
            synapses("input", "hidden", rows([[120, 0], [0, 120], [120, 120]])),
            synapses("hidden", "out", rows([[120, 0, 120], [0, 120, -40]])),
        ),
        output="out",
    )
    return replace(plain, **given)  # type: ignore[arg-type]


def hidden(**given: object) -> QuantizedNetwork:
    plain = network()
    return replace(plain, populations=(neurons("hidden", 3, **given), plain.populations[1]))


def weights(first: list[list[int]], second: list[list[int]]) -> QuantizedNetwork:
    ways = (("input", "hidden", first), ("hidden", "out", second))
    return network(projections=tuple(synapses(a, b, rows(matrix)) for a, b, matrix in ways))


def shown(of: QuantizedNetwork, *, rate: float = 1.0, timesteps: int = 40) -> Margins:
    spikes = np.random.default_rng(0).random((3, timesteps, 2)) < rate
    stimulus = Raster(spikes={"input": spikes}, labels=np.zeros(3, np.int64))
    return gather(of, [run_network(of, stimulus, states=True)])


def kinds(findings: list[Finding]) -> dict[str, tuple[str, str, tuple[tuple[int, int], ...]]]:
    return {f.kind: (f.weight, f.population, f.neurons) for f in findings}


def test_a_healthy_network_has_no_finding() -> None:
    assert lint_structure(network()) == []
    assert lint_ranges(network()) == []


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        (
            weights([[0, 0]] * 3, [[2, 0, 2], [0, 2, 2]]),
            {"zero-layer": ("error", "hidden", ((0, 3),)),
             "unreachable-output": ("error", "out", ((0, 2),))},
        ),
        (
            weights([[2, 0], [0, 0], [2, 2]], [[2, 2, 0], [0, 2, 0]]),
            {"no-input": ("warning", "hidden", ((1, 2),)),
             "no-output": ("warning", "hidden", ((2, 3),)),
             "unreachable-output": ("error", "out", ((1, 2),))},
        ),
        (
            network(
                projections=(*network().projections, synapses("out", "out", rows([[0, 0]] * 2)))
            ),
            {"zero-projection": ("warning", "out", ((0, 2),))},
        ),
    ],
)  # fmt: skip
def test_what_the_synapses_say_is_found(
    planted: QuantizedNetwork, found: dict[str, tuple[str, str, tuple[tuple[int, int], ...]]]
) -> None:
    assert kinds(lint_structure(planted)) == found


def test_a_network_in_real_numbers_is_looked_at_too() -> None:
    real = Network(
        input=Input(name="input", size=2),
        populations=tuple(
            Population(name=n, size=2, decay_u=1.0, decay_v=0.1, threshold=1.0, bias=np.zeros(2))
            for n in ("hidden", "out")
        ),
        projections=(
            Projection(source="input", target="hidden", weights=rows([[0.5, 0], [0, 0]], float)),
            Projection(source="hidden", target="out", weights=rows([[1, 1], [1, 1]], float)),
        ),
        output="out",
    )

    assert kinds(lint_structure(real)) == {"no-input": ("warning", "hidden", ((1, 2),))}


@pytest.mark.parametrize(
    ("planted", "kind", "weight", "spans"),
    [
        (hidden(threshold=[100, 131071, 100], decay_v=4096), "never-fires", "warning", ((1, 2),)),
        (hidden(decay_u=0, decay_v=4096), "may-wrap", "warning", ((0, 3),)),
        (hidden(threshold=131071), "may-clip", "note", ((0, 3),)),
    ],
)
def test_what_is_proved_is_found(
    planted: QuantizedNetwork, kind: str, weight: str, spans: tuple[tuple[int, int], ...]
) -> None:
    planted = replace(
        planted,
        projections=tuple(replace(e, weight_exponent=3) for e in planted.projections),
    )
    assert kinds(lint_ranges(planted))[kind] == (weight, "hidden", spans)


@pytest.mark.parametrize(
    ("planted", "kind", "weight", "spans", "number"),
    [
        (hidden(threshold=131071), "silent-layer", "error", ((0, 3),), 0),
        (hidden(threshold=[100, 20000, 100], decay_v=1), "silent", "note", ((1, 2),), 0),
        (hidden(threshold=0), "always-firing", "warning", ((0, 3),), 1),
        (hidden(threshold=131071, bias_mantissa=np.full(3, -4096), bias_exponent=7,
                decay_v=0), "saturated", "warning", ((0, 3),), None),
    ],
)  # fmt: skip
def test_what_a_stimulus_shows_is_found(
    planted: QuantizedNetwork,
    kind: str,
    weight: str,
    spans: tuple[tuple[int, int], ...],
    number: float | None,
) -> None:
    findings = lint_measured(shown(planted), 1)
    found = next(f for f in findings if f.kind == kind)

    assert (found.weight, found.population, found.neurons) == (weight, "hidden", spans)
    assert number is None or found.number == number
    assert found.mend


def test_a_current_that_wraps_is_an_error() -> None:
    planted = hidden(decay_u=0)
    planted = replace(
        planted, projections=tuple(replace(e, weight_exponent=7) for e in planted.projections)
    )
    margins = shown(planted, timesteps=60)

    found = kinds(lint_measured(margins, 1))
    assert found["wrapped"] == ("error", "hidden", ((0, 3),))


def test_silence_and_nothing_are_no_pass() -> None:
    (found,) = lint_measured(shown(network(), rate=0.0), 0)
    assert (found.kind, found.weight) == ("silent-input", "error")
    empty = Raster(
        spikes={name: np.zeros((0, 3, n), bool) for name, n in (("hidden", 3), ("out", 2))}
    )
    states = {name: bits.astype(np.int64) for name, bits in empty.spikes.items()}
    with pytest.raises(InputError, match="nothing was seen of any neuron"):
        gather(network(), [Recording(raster=empty, u=states, v=states)])


@given(case=cases(most_samples=2, most_timesteps=10, largest=8))
@settings(max_examples=15)
def test_no_state_leaves_its_proved_range(case: Case) -> None:
    recording = run_network(case.network, case.stimulus, states=True)
    margins = gather(case.network, [recording])
    assert recording.u is not None
    for name, bound in ranges(case.network).items():
        seen = margins.populations[name]
        sure = ~bound.may_wrap
        u = recording.u[name]
        assert not seen.wrapped[sure].any()
        assert np.all((u <= bound.u_high)[..., sure])
        assert np.all((u >= bound.u_low)[..., sure])
        assert not seen.clipped[sure & ~bound.may_clip].any()
        widest = np.maximum(bound.v_high, -bound.v_low)
        assert np.all((seen.v_peak <= np.minimum(widest, STATE_LIMIT))[sure])


@pytest.mark.parametrize("weight", [100, -100])
def test_a_proved_range_is_met_where_all_spike_for_ever(weight: int) -> None:
    """Up to what rounding toward zero takes away: the bound is no wider than it has to be."""
    simple = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("out", 1, threshold=131071, decay_u=1023, decay_v=1024),),
        projections=(synapses("input", "out", rows([[weight]]), exponent=3),),
        output="out",
    )
    stimulus = Raster(spikes={"input": np.ones((1, 120, 1), bool)})
    recording = run_network(simple, stimulus, states=True)
    assert recording.u is not None
    assert recording.v is not None
    bound = ranges(simple)["out"]
    u = (bound.u_high if weight > 0 else -bound.u_low).item()
    v = (bound.v_high if weight > 0 else -bound.v_low).item()
    assert u - 4 <= np.abs(recording.u["out"]).max() <= u
    assert v - 20 <= np.abs(recording.v["out"]).max() <= v


@given(case=cases(most_samples=3, most_timesteps=10, largest=8))
@settings(max_examples=10)
def test_margins_are_the_same_however_samples_are_parted(case: Case) -> None:
    recording = run_network(case.network, case.stimulus, states=True)
    parts = [
        run_network(case.network, case.stimulus.between(at, at + 1), states=True)
        for at in range(case.stimulus.samples)
    ]
    whole, parted = gather(case.network, [recording]), gather(case.network, parts)

    assert whole.to_json() == parted.to_json()
    bits = sum(spikes.size for spikes in recording.raster.spikes.values())
    assert whole.to_json()["decisions"] == bits


@given(case=cases(most_samples=3, most_timesteps=10, largest=6))
@settings(max_examples=15)
def test_a_sample_without_a_decision_one_bit_away_is_unshaken(case: Case) -> None:
    """All thresholds one bit lower, and one bit higher: not one spike of it changes."""
    whole = run_network(case.network, case.stimulus, states=True)
    parts = [case.stimulus.between(at, at + 1) for at in range(case.stimulus.samples)]
    for at, part in enumerate(parts):
        alone = gather(case.network, [run_network(case.network, part, states=True)])
        if alone.fragile_samples:
            continue
        for shift in (-1, 1):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(quantized.arithmetic, "fire", shifted(shift))
                moved = run_network(case.network, part)
            for name, spikes in moved.raster.spikes.items():
                assert np.array_equal(spikes[0], whole.raster.spikes[name][at])


def shifted(shift: int):  # type: ignore[no-untyped-def]
    def fire(v, threshold):  # type: ignore[no-untyped-def]
        spikes = v > (threshold << arithmetic.ALIGN_BITS) + shift
        return np.where(spikes, 0, v), spikes

    return fire


def test_a_margin_by_hand() -> None:
    """Threshold 1 is 64 of v; 2 << 6 = 128 arrives and stays: v is 128 each time, 64 above."""
    simple = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("out", 2, threshold=[1, 2]),),
        projections=(synapses("input", "out", rows([[2], [2]])),),
        output="out",
    )
    spikes = np.ones((1, 2, 1), bool)
    stimulus = Raster(spikes={"input": spikes}, labels=np.zeros(1, np.int64))
    found = gather(simple, [run_network(simple, stimulus, states=True)]).to_json()

    seen = found["populations"]["out"]
    # neuron 0: 64 above, twice; neuron 1: at its threshold (silent, 1), then 128 above
    assert seen["silent"][:2] == [1, 0]
    assert {at: n for at, n in enumerate(seen["spiking"]) if n} == {6: 2, 7: 1}
    assert (seen["at_one"], seen["nearest"], seen["decisions"]) == (1, 1, 4)
    assert found["unshaken_samples"] == 0
    # counts 2 and 1: one more spike makes them even, and the lower number still wins
    assert found["classes"] == {
        "share_at_one": 0.0, "labelled": 1, "right": 1, "right_at_one": 0,
    }  # fmt: skip
