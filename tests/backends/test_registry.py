"""Backends by name."""

from __future__ import annotations

import inspect
from importlib import import_module

import numpy as np
import pytest

from tests.strategies import neurons, place, rows, synapses
from toolchain.backends import BACKENDS, get_backend
from toolchain.errors import InputError
from toolchain.hardware import find_profile
from toolchain.network import Input, QuantizedNetwork
from toolchain.raster import Raster

IN_PROCESS = ("quantized", "reference", "simulator")


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_offers_the_same_two_functions(name: str) -> None:
    module = import_module(f"toolchain.backends.{name.replace('-', '_')}")

    assert list(inspect.signature(module.run).parameters) == [
        "artifact",
        "stimulus",
        "states",
        "watch",
    ]
    assert module.why_unavailable() is None or isinstance(module.why_unavailable(), str)
    assert BACKENDS[name]


def test_an_unknown_backend_gets_the_nearest_known_one() -> None:
    with pytest.raises(InputError, match=r"no backend 'lavaa'; did you mean 'lava'\?"):
        get_backend("lavaa")


@pytest.mark.parametrize("name", IN_PROCESS)
@pytest.mark.parametrize(
    ("stimulus", "match"),
    [
        (Raster(spikes={"input": np.ones((1, 2, 3), bool)}), r"is 3 neurons wide, .* has 1"),
        (Raster(spikes={"in": np.ones((1, 2, 1), bool)}), r"must hold the input 'input'"),
        (Raster(spikes={"input": np.ones((0, 2, 1), bool)}), r"the stimulus is empty"),
    ],
)
def test_every_backend_refuses_a_stimulus_that_does_not_belong(
    name: str, stimulus: Raster, match: str
) -> None:
    network = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("a", 1),),
        projections=(synapses("input", "a", rows([[50]])),),
        output="a",
    )

    with pytest.raises(InputError, match=match):
        get_backend(name).run(place(network, find_profile("tiny")), stimulus)
