"""A trained network of Relus becomes integrate-and-fire neurons, or is refused as a whole."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from tests.interchange.onnx_graphs import STYLES, Written, by_onnxruntime, shapes
from toolchain import codec
from toolchain.encoding import encode
from toolchain.errors import InputError, UnsupportedError
from toolchain.files import write_npz
from toolchain.interchange.onnx_convert import Converted, run
from toolchain.interchange.onnx_file import read_graph
from toolchain.interchange.onnx_format import Preparation, convert_file, import_onnx, inspect_onnx
from toolchain.interchange.onnx_lower import forward, lower
from toolchain.network import Network, lag, starts


def samples_for(written: Written, folder: Path, count: int = 60) -> Path:
    """Raw bytes, with the network's own decisions as labels where nothing is known."""
    rng = np.random.default_rng(4)
    values = rng.integers(0, 256, (count, *shapes(written))).astype(np.uint8)
    write_npz(folder / "data.npz", {"values": values, "labels": np.zeros(count, np.int64)})
    return folder / "data.npz"


@pytest.mark.parametrize("style", STYLES)
def test_layers_of_synapses_give_the_activations_of_onnxruntime(style: str, tmp_path: Path) -> None:
    written = STYLES[style]()
    file = written.save(tmp_path)
    shape = tuple(shapes(written))
    samples = np.random.default_rng(5).random((4, *shape))

    lowered = lower(read_graph(file), shape, lambda value: value)
    output = lowered.layers[-1]
    found = forward(lowered, samples.reshape(4, -1).T)[output.name].T
    wanted = by_onnxruntime(file, samples)

    if style == "torch":  # its Softmax is left out
        found = np.exp(found) / np.exp(found).sum(axis=1, keepdims=True)
        assert "left out" in lowered.notes[0]
    assert found.shape == wanted.reshape(4, -1).shape
    assert wanted.std() > 0.01
    np.testing.assert_allclose(found, wanted.reshape(4, -1), atol=1e-5)


def test_a_constant_larger_than_any_value_is_not_made(tmp_path: Path) -> None:
    for shape in ([10**6, 10**6], [-1, 2]):
        g = Written(shape=("n", 1, 8, 8))
        made = g.add("ConstantOfShape", source=g.constant(np.array(shape)))
        g.add("Add", made, source="x")
        with pytest.raises(UnsupportedError, match=r"makes a constant of shape \["):
            lower(read_graph(g.save(tmp_path)), (1, 8, 8), lambda value: value)


@pytest.mark.slow  # for torch's exporter alone
def test_a_module_that_torch_exports_is_read_with_its_names(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential()
    module.add_module("conv1", torch.nn.Conv2d(1, 3, 3, stride=2))
    module.add_module("relu", torch.nn.ReLU())
    module.add_module("flat", torch.nn.Flatten())
    module.add_module("scores", torch.nn.Linear(27, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no onnxscript says it is old
        torch.onnx.export(
            module, (torch.zeros(1, 1, 8, 8),), str(tmp_path / "net.onnx"), dynamo=False
        )
    images = torch.rand(3, 1, 8, 8)

    lowered = lower(read_graph(tmp_path / "net.onnx"), (1, 8, 8), lambda value: value)
    found = forward(lowered, images.reshape(3, -1).T.double().numpy())["scores"].T

    assert [layer.name for layer in lowered.layers] == ["conv1", "scores"]
    np.testing.assert_allclose(found, module(images).detach().numpy(), atol=1e-5)


def converted_case(folder: Path, style: str, **given: object) -> tuple[Converted, Path]:
    written = STYLES[style]()
    data = samples_for(written, folder)
    preparation = Preparation(timesteps=24, **given)  # type: ignore[arg-type]
    converted, _ = convert_file(written.save(folder), data, preparation)
    return converted, data


def spikes_by_hand(network: Network, stimulus: np.ndarray) -> dict[str, np.ndarray]:
    """network.Population's equations, neuron states in a plain loop over local timesteps."""
    samples, timesteps, _ = stimulus.shape
    found = {network.input.name: stimulus}
    clock = starts(network)
    for population in sorted(network.populations, key=lambda p: clock[p.name]):
        u, v = (np.zeros((samples, population.size)) for _ in range(2))
        spikes = np.zeros((samples, timesteps, population.size), bool)
        for t in range(timesteps):
            a = np.zeros_like(u)
            for edge in network.projections:
                if edge.target == population.name:
                    assert lag(network, edge) == 0
                    a += found[edge.source][:, t].astype(float) @ edge.weights.toarray().T
            u = (1 - population.decay_u) * u + a
            v = (1 - population.decay_v) * v + u + population.bias
            spikes[:, t] = v > population.threshold
            v[spikes[:, t]] = 0
        found[population.name] = spikes
    return found


@pytest.mark.parametrize("style", ["torch", "keras", "other"])
def test_what_was_balanced_is_the_network_that_is_handed_over(style: str, tmp_path: Path) -> None:
    converted, data = converted_case(tmp_path, style)
    network = converted.network
    assert network.encoding is not None
    values = np.load(data)["values"]
    stimulus = encode(
        network.encoding, values.reshape(-1, *network.encoding.sample), np.arange(len(values))
    )

    mine, theirs = run(network, stimulus), spikes_by_hand(network, stimulus)

    for population, loss in zip(network.populations, converted.losses, strict=True):
        np.testing.assert_array_equal(mine[population.name], theirs[population.name])
        assert mine[population.name].mean() == pytest.approx(loss.rate)
        assert 0 <= loss.error < 1.0
    assert codec.fingerprint(converted.network) == codec.fingerprint(
        converted_case(tmp_path, style)[0].network
    )


def test_spikes_come_nearer_to_the_activations_with_more_timesteps(tmp_path: Path) -> None:
    written = STYLES["torch"]()
    file, data = written.save(tmp_path), samples_for(written, tmp_path)

    short, long = (convert_file(file, data, Preparation(timesteps=steps))[0] for steps in (4, 128))

    for few, many in zip(short.losses[:-1], long.losses[:-1], strict=True):
        assert many.error < 0.7 * few.error
    assert long.agreement > 0.8


def test_normalized_pixels_are_synapses_and_bias(tmp_path: Path) -> None:
    written = STYLES["keras"]()
    file = written.save(tmp_path)
    data = samples_for(written, tmp_path)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)

    preparation = Preparation(timesteps=64, mean=mean, std=std)
    converted, _ = convert_file(file, data, preparation)
    imported = import_onnx(file, calibrate=data, preparation=preparation)

    shown = (np.load(data)["values"] / 255 - mean) / std
    decided = by_onnxruntime(file, shown).argmax(axis=1)
    spikes = encode(converted.network.encoding, np.load(data)["values"], np.arange(60))  # type: ignore[arg-type]
    counts = run(converted.network, spikes)[converted.network.output].sum(axis=1)
    assert np.mean(counts.argmax(axis=1) == decided) == converted.agreement > 0.8
    assert "activations are lost" in imported.notes[-1]
    assert codec.fingerprint(imported.network) == codec.fingerprint(converted.network)


def test_everything_without_a_form_is_refused_at_once(tmp_path: Path) -> None:
    g = Written(shape=("n", 1, 8, 8))
    g.conv(2, 1, 3, 3)
    g.add("LeakyRelu")
    g.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    g.add("Relu", source="x")
    g.add("AveragePool", kernel_shape=[2, 2], ceil_mode=1)
    g.nodes.append(helper.make_node("Strange", [g.last], ["s"], name="s", domain="my.own"))
    g.last = "s"
    g.add("Add", "maxpool2")

    with pytest.raises(UnsupportedError) as problem:
        lower(read_graph(g.save(tmp_path)), (1, 8, 8), lambda value: value)

    text = str(problem.value)
    assert "4 nodes have no form on a chip" in text
    for part in (
        "'leakyrelu1' (LeakyRelu): put a Relu in its place",
        "'maxpool2' (MaxPool): the largest of several spike trains is no sum of them",
        "'averagepool4' (AveragePool): has ceil_mode; export it without",
        "'s' (my.own.Strange): it has no form as integrate-and-fire neurons",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("operator", "others", "attributes", "complaint"),
    [
        ("Conv", ["w"], {"group": 3}, "has weights of shape .* in 3 groups"),
        ("Conv", ["w"], {"strides": [0, 1]}, "stride, dilation or kernel below 1"),
        ("Conv", ["w"], {"pads": [10**9] * 4}, "fewer than its kernel reaches"),
        ("Conv", ["w"], {"dilations": [7, 7]}, r"makes a value of shape \(2, -"),
        ("Conv", ["w"], {"auto_pad": "AROUND"}, "has auto_pad 'AROUND'"),
        ("Reshape", ["batch"], {}, "mixes samples"),
        ("Transpose", [], {"perm": [1, 0, 2, 3]}, "mixes samples"),
        ("Transpose", [], {"perm": [0, 1, 2, 9]}, "does not fit its input"),
        ("Gemm", ["m"], {}, r"multiplies a value of shape \(1, 8, 8\)"),
        ("Mul", ["x"], {}, "multiplies two values that depend on the sample"),
        ("Div", ["zero"], {}, "divides by zero"),
        ("Add", ["m"], {}, r"a constant of shape \(4, 4\), which does not spread over"),
        ("Clip", ["one"], {}, "clips to 1.0 .. None; only clipping from 0"),
        ("Pad", ["huge"], {}, "makes a value of shape"),
        ("Pad", ["minus8"], {}, "its pads are negative; use a Slice"),
        ("Pad", ["huge"], {"mode": "odd"}, "pads in the mode 'odd', which ONNX does not know"),
        ("ConstantOfShape", [], {}, "needs a constant where a value of the sample comes"),
        ("Cast", [], {"to": 7}, "rounds: it casts"),
        ("ReduceMean", [], {"axes": [0]}, "takes the mean over axes"),
        ("BatchNormalization", ["v", "v", "v", "minus"], {}, "variance that is not positive"),
    ],
)
def test_a_node_that_cannot_be_is_named(
    operator: str, others: list[str], attributes: dict[str, object], complaint: str, tmp_path: Path
) -> None:
    g = Written(shape=("n", 1, 8, 8))
    for name, value in {
        "w": np.ones((2, 1, 3, 3)),
        "m": np.ones((4, 4)),
        "zero": np.zeros(1),
        "one": np.ones(()),
        "v": np.ones(1),
        "minus": -np.ones(1),
        "batch": np.array([-1]),
        "minus8": np.array([0, 0, -1, 0, 0, 0, 0, 0]),
        "huge": np.array([0, 0, 10**9, 10**9, 0, 0, 0, 0]),
    }.items():
        g.constant(value, name)
    g.add(operator, *others, **attributes)

    with pytest.raises(UnsupportedError, match=complaint):
        lower(read_graph(g.save(tmp_path)), (1, 8, 8), lambda value: value)


def test_data_of_another_shape_is_refused(tmp_path: Path) -> None:
    file = STYLES["torch"]().save(tmp_path)
    data = samples_for(STYLES["keras"](), tmp_path)

    with pytest.raises(InputError, match=r"takes samples of 1 x 9 x 9; the calibration data holds"):
        convert_file(file, data, Preparation(timesteps=8))


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"std": (0.0,)}, "std not 0"),
        ({"percentile": 0.0}, "percentile must be above 0"),
        ({"mean": (float("nan"),)}, "must be finite"),
        ({"maximum": 0}, "maximum must exceed minimum"),
        ({"maximum": 100}, r"needs values in 0\.\.100, holds"),
        ({"mean": (0.1, 0.2)}, "mean and std hold 2 numbers"),
    ],
)
def test_a_preparation_that_cannot_be_is_refused(
    given: dict[str, object], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=complaint):
        converted_case(tmp_path, "torch", **given)


def test_inspect_says_what_is_in_a_file_and_what_keeps_it_from_a_chip(tmp_path: Path) -> None:
    found = inspect_onnx(STYLES["torch"]().save(tmp_path))
    g = Written(shape=("n", 1, 8, 8))
    g.add("MaxPool", kernel_shape=[2, 2])
    refused = inspect_onnx(g.save(tmp_path))

    assert found["refused"] == "nothing"
    assert [row["neurons"] for row in found["layers"]] == [100, 100, 6, 3]
    assert found["layers"][0]["synapses"] == 4 * 13 * 13  # no tap falls on the padding
    assert "AveragePool" in refused["refused"]
