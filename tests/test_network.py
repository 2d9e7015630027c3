"""What a network may not be, each in one sentence that names who is wrong."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from tests.strategies import neurons, rows, synapses
from toolchain.encoding import Encoding
from toolchain.errors import InputError, UnsupportedError
from toolchain.network import (
    Input,
    Network,
    Population,
    Projection,
    QuantizedNetwork,
    QuantizedProjection,
)


def population(**given: Any) -> Population:
    plain: dict[str, Any] = {
        "name": "a",
        "size": 2,
        "decay_u": 0.5,
        "decay_v": 0.5,
        "threshold": 1.0,
        "bias": np.zeros(2),
    }
    return Population(**(plain | given))


def projection(**given: Any) -> Projection:
    plain: dict[str, Any] = {
        "source": "input",
        "target": "a",
        "weights": rows([[1, 0, 1], [0, 1, 0]], float),
    }
    return Projection(**(plain | given))


def network(**given: Any) -> Network:
    plain: dict[str, Any] = {
        "input": Input(name="input", size=3),
        "populations": (population(),),
        "projections": (projection(),),
        "output": "a",
    }
    return Network(**(plain | given))


def test_density_counts_synapses_of_weight_zero() -> None:
    zero = csr_array((np.zeros(2), [0, 2], [0, 1, 2]), shape=(2, 3))

    built = network(projections=(projection(weights=zero),))

    assert built.synapses == 2
    assert built.density == 2 / 6


def test_an_encoding_must_be_for_the_input() -> None:
    code = Encoding(kind="rate", timesteps=4, sample=(1, 2, 2), minimum=0, maximum=9)

    with pytest.raises(InputError, match="input 'input': its encoding gives 4 neurons, it has 3"):
        network(encoding=code)


def test_networks_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'output'"):
        network().output = "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"size": 0, "bias": np.zeros(0)}, r"population 'a': size must be at least 1, is 0"),
        ({"decay_u": 0.0}, r"decay_u must be in \(0, 1\], is 0.0"),
        ({"decay_u": 1.01}, r"decay_u must be in \(0, 1\], is 1.01"),
        ({"decay_u": float("nan")}, r"decay_u must be in \(0, 1\], is nan"),
        ({"decay_v": -0.1}, r"decay_v must be in \[0, 1\], is -0.1"),
        ({"decay_v": float("nan")}, r"decay_v must be in \[0, 1\], is nan"),
        ({"threshold": 0.0}, r"threshold must be in 1e-30\.\.1e\+30, is 0.0"),
        ({"threshold": float("inf")}, r"threshold must be in 1e-30\.\.1e\+30, is inf"),
        ({"threshold": float("nan")}, r"threshold must be in 1e-30\.\.1e\+30, is nan"),
        ({"bias": np.zeros(3)}, r"bias must be 2 finite numbers, has shape \(3,\)"),
        ({"bias": np.array([0, np.inf])}, r"bias must be 2 finite numbers"),
    ],
)
def test_a_population_with_impossible_numbers_is_refused(wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        population(**wrong)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"decay_u": 4096}, r"population 'a': decay_u must be in 0\.\.4095, is 4096"),
        ({"decay_v": 4097}, r"decay_v must be in 0\.\.4096, is 4097"),
        ({"threshold": 131072}, r"threshold must be 2 integers in 0\.\.131071"),
        ({"threshold": -1}, r"threshold must be 2 integers in 0\.\.131071"),
        ({"bias_exponent": 8}, r"bias_exponent must be in 0\.\.7, is 8"),
        (
            {"bias_mantissa": np.array([0, 4096])},
            r"bias_mantissa must be 2 integers in -4096\.\.4095",
        ),
        ({"bias_mantissa": np.array([-4097, 0])}, r"bias_mantissa must be 2 integers"),
        ({"bias_mantissa": np.zeros(1, np.int64)}, r"bias_mantissa must be 2 integers"),
    ],
)
def test_a_register_that_does_not_hold_its_number_is_named(
    wrong: dict[str, Any], match: str
) -> None:
    with pytest.raises(InputError, match=match):
        neurons("a", 2, **wrong)


def test_the_extremes_of_every_register_are_held() -> None:
    held = neurons(
        "a",
        2,
        decay_u=4095,
        decay_v=4096,
        threshold=131071,
        bias_exponent=7,
        bias_mantissa=np.array([-4096, 4095]),
    )

    assert held.bias_mantissa.tolist() == [-4096, 4095]


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"delay": 0}, r"projection 'input' -> 'a': delay must be at least 1, is 0"),
        ({"weights": rows([[np.nan, 1, 1], [1, 1, 1]], float)}, r"a weight is not finite"),
        ({"weights": rows([[np.inf, 1, 1], [1, 1, 1]], float)}, r"a weight is not finite"),
        ({"weights": np.ones((2, 3))}, r"weights must be compressed rows"),
        (
            {"weights": csr_array((np.ones(2), [1, 1], [0, 2, 2]), shape=(2, 3))},
            r"each target's sources ascending and unique",
        ),
        (
            {"weights": csr_array((np.ones(2), [2, 1], [0, 2, 2]), shape=(2, 3))},
            r"each target's sources ascending and unique",
        ),
    ],
)
def test_a_projection_with_impossible_synapses_is_refused(
    wrong: dict[str, Any], match: str
) -> None:
    with pytest.raises(InputError, match=match):
        projection(**wrong)


@pytest.mark.parametrize(
    ("weight", "bits"), [(1, 8), (-1, 8), (256, 8), (-258, 8), (2, 7), (240, 4), (-255, 8)]
)
def test_a_weight_off_the_grid_is_refused(weight: int, bits: int) -> None:
    with pytest.raises(InputError, match=rf"is off the mixed-sign grid of {bits} bits"):
        QuantizedProjection(
            source="input",
            target="a",
            weights=rows([[weight]]),
            delay=1,
            weight_exponent=0,
            weight_bits=bits,
        )


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"weight_bits": 0}, r"weight_bits must be in 1\.\.8"),
        ({"weight_bits": 9}, r"weight_bits must be in 1\.\.8"),
        ({"weight_exponent": -1}, r"weight_exponent must be in 0\.\.7"),
        ({"weight_exponent": 8}, r"weight_exponent must be in 0\.\.7"),
        ({"delay": 0}, r"delay must be at least 1, is 0"),
    ],
)
def test_a_quantized_projection_beyond_its_registers_is_refused(
    wrong: dict[str, Any], match: str
) -> None:
    with pytest.raises(InputError, match=match):
        replace(synapses("input", "a", rows([[2]])), **wrong)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"populations": ()}, r"the network has no population"),
        ({"populations": (population(), population())}, r"names must be unique: input, a, a"),
        ({"populations": (population(name="input"),)}, r"names must be unique: input, input"),
        ({"populations": (population(name="labels"),)}, r"'labels' cannot name a population"),
        ({"input": Input(name="labels", size=3)}, r"'labels' cannot name a population"),
        ({"output": "b"}, r"output 'b' is none of a$"),
        ({"output": "input"}, r"output 'input' is none of a$"),
        ({"projections": (projection(source="x"),)}, r"projection 'x' -> 'a': no population 'x'"),
        ({"projections": (projection(target="x"),)}, r"'input' -> 'x': no population 'x'"),
        ({"projections": (projection(target="input"),)}, r"no population 'input'"),
        ({"input": Input(name="input", size=4)}, r"must have shape \(2, 4\), have \(2, 3\)"),
    ],
)
def test_a_graph_that_does_not_hang_together_is_refused(wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        network(**wrong)


def test_an_input_without_neurons_is_refused() -> None:
    with pytest.raises(InputError, match=r"input 'input': size must be at least 1, is 0"):
        Input(name="input", size=0)


def test_every_population_that_no_input_reaches_is_named() -> None:
    pair = csr_array(np.ones((2, 2)))
    loops = (
        projection(),
        projection(source="b", target="c", weights=pair),
        projection(source="c", target="b", weights=pair),
    )

    with pytest.raises(UnsupportedError, match=r"from the input to 'b', 'c', so the clock"):
        network(
            populations=(population(), population(name="b"), population(name="c")),
            projections=loops,
        )


def test_a_population_is_found_by_its_name() -> None:
    built = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("a", 1), neurons("b", 1)),
        projections=(
            synapses("input", "a", rows([[2]])),
            synapses("a", "b", rows([[2]])),
        ),
        output="b",
    )

    assert built.population("b") is built.populations[1]
    assert built.synapses == 2
