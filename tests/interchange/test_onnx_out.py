"""An exported network is a standard ONNX graph that spikes as the chip's integers do."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from tests.strategies import Case, cases, neurons, rows, synapses
from toolchain.backends.quantized import run_network
from toolchain.interchange.onnx_model import NUMPY_KINDS
from toolchain.interchange.onnx_out import PRODUCTS, scan_model, step_model
from toolchain.interchange.onnx_step import states
from toolchain.network import Input, QuantizedNetwork
from toolchain.raster import Raster, decisions

Arrays = dict[str, np.ndarray]


def session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def asked(runner: onnxruntime.InferenceSession, feed: Arrays) -> Arrays:
    names = [output.name for output in runner.get_outputs()]
    return dict(zip(names, runner.run(names, feed), strict=True))


def by_scan(case: Case, product: str | None) -> tuple[Arrays, np.ndarray]:
    runner = session(scan_model(case.network, {}, product=product))
    given = asked(runner, {"raster/input": case.stimulus.spikes["input"]})
    rasters = {p.name: given[f"raster/{p.name}"] for p in case.network.populations}
    return rasters, given["decision"]


def by_steps(case: Case, product: str | None) -> Arrays:
    """What u, v and spikes are after each timestep, the states fed back by hand."""
    runner = session(step_model(case.network, {}, product=product))
    spikes = case.stimulus.spikes["input"]
    held = {
        state.name: np.zeros((len(spikes), *state.shape), NUMPY_KINDS[state.kind])
        for state in states(case.network, onnx.TensorProto.INT64)
    }
    found: dict[str, list[np.ndarray]] = {}
    for t in range(spikes.shape[1]):
        now = asked(runner, held | {"spikes/input": spikes[:, t]})
        held = {name: now[f"next_{name}"] for name in held}
        for name, array in now.items():
            found.setdefault(name, []).append(array)
    return {name: np.stack(arrays, axis=1) for name, arrays in found.items()}


def agrees(case: Case, product: str | None) -> None:
    wanted = run_network(case.network, case.stimulus, states=True)
    rasters, decided = by_scan(case, product)
    steps = by_steps(case, product)
    assert wanted.u is not None
    assert wanted.v is not None
    for name, spikes in wanted.raster.spikes.items():
        assert spikes.size > 0
        np.testing.assert_array_equal(rasters[name], spikes)
        np.testing.assert_array_equal(steps[f"spikes/{name}"], spikes)
        np.testing.assert_array_equal(steps[f"next_u/{name}"], wanted.u[name])
        np.testing.assert_array_equal(steps[f"next_v/{name}"], wanted.v[name])
    np.testing.assert_array_equal(decided, decisions(wanted.raster, case.network.output))


products = st.sampled_from([*PRODUCTS, None])


@given(case=cases(), product=products)
@settings(max_examples=6)
def test_onnxruntime_spikes_as_the_quantized_network_does(case: Case, product: str | None) -> None:
    agrees(case, product)


@pytest.mark.slow
@given(case=cases(), product=products)
@settings(max_examples=80)
def test_onnxruntime_spikes_alike_for_many_networks(case: Case, product: str | None) -> None:
    agrees(case, product)
