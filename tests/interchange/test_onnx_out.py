"""An exported network is a standard ONNX graph that spikes as the chip's integers do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import Case, cases, neurons, rows, synapses
from toolchain import arithmetic
from toolchain.backends.quantized import run_network
from toolchain.errors import UnsupportedError
from toolchain.interchange import onnx_model
from toolchain.interchange.onnx_float import float_model
from toolchain.interchange.onnx_model import NUMPY_KINDS
from toolchain.interchange.onnx_out import PRODUCTS, scan_model, smaller_product, step_model
from toolchain.interchange.onnx_step import states
from toolchain.network import Input, QuantizedNetwork, QuantizedProjection
from toolchain.raster import Raster, decisions

Arrays = dict[str, np.ndarray]


def session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def asked(runner: onnxruntime.InferenceSession, feed: Arrays) -> Arrays:
    names = [output.name for output in runner.get_outputs()]
    return dict(zip(names, runner.run(names, feed), strict=True))


def zeros(network: QuantizedNetwork, kind: int, samples: int) -> Arrays:
    return {
        state.name: np.zeros((samples, *state.shape), NUMPY_KINDS[state.kind])
        for state in states(network, kind)
    }


def by_scan(case: Case, product: str | None) -> tuple[Arrays, np.ndarray]:
    model = scan_model(case.network, {}, product=product)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    runner = session(model)
    given = asked(runner, {"raster/input": case.stimulus.spikes["input"]})
    rasters = {p.name: given[f"raster/{p.name}"] for p in case.network.populations}
    return rasters, given["decision"]


def by_steps(case: Case, product: str | None) -> Arrays:
    """What u, v and spikes are after each timestep, the states fed back by hand."""
    runner = session(step_model(case.network, {}, product=product))
    spikes = case.stimulus.spikes["input"]
    held = zeros(case.network, onnx.TensorProto.INT64, len(spikes))
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


def in_dyadic_units(network: QuantizedNetwork) -> QuantizedNetwork:
    """Units and decays for which float32 is exact while sums are small."""
    populations = tuple(
        replace(p, unit=np.full(p.size, 2.0**-12), decay_u=4095, decay_v=2048, bias_exponent=0)
        for p in network.populations
    )
    return replace(network, populations=populations)


def test_the_float_network_holds_the_equations_with_names_a_person_knows() -> None:
    network = in_dyadic_units(
        QuantizedNetwork(
            input=Input(name="input", size=3),
            populations=(neurons("hidden", 2, threshold=[100, 3]), neurons("out", 1, threshold=60)),
            projections=(
                synapses("input", "hidden", rows([[60, 0, 50], [-8, 4, 30]]), exponent=1),
                synapses("hidden", "hidden", rows([[0, 6], [2, 0]])),
                synapses("hidden", "out", rows([[40, 40]])),
                synapses("input", "out", rows([[0, 0, 8]]), delay=3),
            ),
            output="out",
        )
    )
    rng = np.random.default_rng(3)
    stimulus = Raster(spikes={"input": rng.random((5, 12, 3)) < 0.5})
    wanted = run_network(network, stimulus).raster.spikes
    model = float_model(network, {"form": "float"})
    runner = session(model)
    held = zeros(network, onnx.TensorProto.FLOAT, 5)

    for t in range(12):
        now = asked(runner, held | {"spikes/input": stimulus.spikes["input"][:, t]})
        held = {name: now[f"next_{name}"] for name in held}
        for name in ("hidden", "out"):
            np.testing.assert_array_equal(now[f"spikes/{name}"], wanted[name][:, t])

    names = [node.name for node in onnx.load_from_string(model).graph.node]
    assert {"input -> hidden", "hidden", "input -> out (delay 3)", "out"} <= set(names)
    assert 0 < wanted["out"].mean() < 1


def sparse_case() -> Case:
    """A layer that is mostly nothing, as an unrolled convolution is."""
    rng = np.random.default_rng(0)
    matrix = rng.integers(-128, 128, (300, 300)) * 2 * (rng.random((300, 300)) < 0.01)
    network = QuantizedNetwork(
        input=Input(name="input", size=300),
        populations=(neurons("p", 300, threshold=90),),
        projections=(synapses("input", "p", rows(matrix.tolist())),),
        output="p",
    )
    return Case(network=network, stimulus=Raster(spikes={"input": rng.random((3, 9, 300)) < 0.3}))


def test_what_is_mostly_nothing_is_written_as_rows() -> None:
    case = sparse_case()

    agrees(case, None)

    assert smaller_product(case.network.projections[0]) == "rows"
    by_rows, dense = (len(step_model(case.network, {}, product=p)) for p in (None, "dense"))
    assert by_rows < dense / 5


def test_the_same_network_gives_the_same_bytes() -> None:
    network = sparse_case().network

    first, second = (scan_model(network, {"b": "2", "a": "1"}) for _ in range(2))

    assert first == second


def test_weights_beyond_what_a_file_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_model, "LARGEST", 1000)
    complaint = r"the weights need [\d,]+ bytes, an ONNX file holds 1,000, over by .*'input' -> 'p'"

    for form in (step_model, scan_model, float_model):
        with pytest.raises(UnsupportedError, match=complaint):
            form(sparse_case().network, {})


def test_names_that_look_like_ours_stay_apart() -> None:
    odd = ("u/p", "next_u/p", "p", "axes/0")
    network = QuantizedNetwork(
        input=Input(name="input", size=2),
        populations=tuple(neurons(name, 2, threshold=3) for name in odd),
        projections=tuple(
            synapses(source, target, rows([[4, 0], [2, 6]]), delay=delay)
            for source, target, delay in zip(
                ("input", *odd, "p"), (*odd, "u/p", "p"), (1, 2, 1, 1, 3, 1), strict=True
            )
        ),
        output="p",
    )
    rng = np.random.default_rng(1)
    stimulus = Raster(spikes={"input": rng.random((2, 10, 2)) < 0.5})

    agrees(Case(network=network, stimulus=stimulus), None)


def test_the_ends_of_every_range_are_those_of_the_arithmetic() -> None:
    """u is led to 2^23 exactly and one step of weights to either side, v to its clip."""
    edge, weight = 2**23, 100
    near = np.arange(edge - 20000, edge)
    just = int(near[(near * 4095 >> 12) == edge - 64 * weight][0])
    sizes = [weight - 2, weight, weight + 2]
    network = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("p", 6, decay_u=0, decay_v=1, threshold=[131071, 0, 7] * 2),),
        projections=(synapses("input", "p", rows([[size] for size in (*sizes, *sizes)])),),
        output="p",
    )
    population = network.populations[0]
    signs = np.array([[1, 1, 1, -1, -1, -1]])
    spikes = np.array([[True], [False]])
    u = np.concatenate([just * signs, just * signs])
    v = np.array([[edge - 1, 64 * 0, 64 * 7, 1 - edge, edge - 1, 1 - edge]] * 2)
    model = step_model(replace(network, projections=(signed(network, signs),)), {})

    found = asked(session(model), {"u/p": u, "v/p": v, "spikes/input": spikes})

    a = spikes * np.array([*sizes, *sizes]) * signs
    next_u = arithmetic.next_u(u, a, population.decay_u)
    full_v = arithmetic.next_v(v, next_u, population.bias_mantissa, population.decay_v)
    next_v, fired = arithmetic.fire(full_v, population.threshold)
    assert {edge, edge - 128, 128 - edge} <= set(next_u[0].tolist())
    np.testing.assert_array_equal(found["next_u/p"], next_u)
    np.testing.assert_array_equal(found["next_v/p"], next_v)
    np.testing.assert_array_equal(found["spikes/p"], fired)


def signed(network: QuantizedNetwork, signs: np.ndarray) -> QuantizedProjection:
    """The first projection with its weights' signs changed, a sign for each target."""
    edge = network.projections[0]
    return replace(edge, weights=rows(edge.weights.toarray() * signs.T))


@pytest.mark.parametrize("above", [-64, 0, 64])
def test_a_threshold_that_is_just_met_is_not_passed(above: int) -> None:
    network = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("p", 1, threshold=10),),
        projections=(synapses("input", "p", rows([[2]])),),
        output="p",
    )
    start = np.array([[64 * 8 + above]])
    feed = {"u/p": np.zeros((1, 1), np.int64), "v/p": start, "spikes/input": np.array([[True]])}

    found = asked(session(step_model(network, {})), feed)

    assert found["spikes/p"].item() == (above > 0)
