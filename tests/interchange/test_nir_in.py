"""Every primitive of NIR by its own equation, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.interchange.graphs import Fields, chain, lif, linear, shape, write
from toolchain.errors import FileError, InputError, UnsupportedError
from toolchain.interchange.floats import spikes_of
from toolchain.interchange.nir_in import read_nir
from toolchain.interchange.sidecar import write_side_car
from toolchain.network import Network

RNG = np.random.default_rng(0)
X = RNG.random((2, 12, 32)) < 0.5  # cut to the width that is needed
DT = 1e-3
FILE = "a.nir"


def read(path: Path, graph: Any, **options: Any) -> Network:
    imported = read_nir(write(path / FILE, *graph), **({"dt": DT, "reset": "zero"} | options))
    assert isinstance(imported.network, Network)
    return imported.network


def euler(inputs: Any, **p: Any) -> Any:
    """Spikes of NIR's CubaLIF, current first, one step of DT at a time; LIF where tau_syn is DT."""
    samples, steps, size = inputs.shape
    current, v = np.zeros((samples, size)), np.zeros((samples, size))
    out = np.zeros(inputs.shape, bool)
    for t in range(steps):
        current += DT / p["tau_syn"] * (-current + p["w_in"] * inputs[:, t])
        v += DT / p["tau_mem"] * (p["v_leak"] - v + p["r"] * current)
        out[:, t] = v > p["v_threshold"]
        v[out[:, t]] = p.get("v_reset", 0)
    return out


def if_steps(inputs: Any, r: float, threshold: float) -> Any:
    v, out = np.zeros(inputs[:, 0].shape), np.zeros(inputs.shape, bool)
    for t in range(inputs.shape[1]):
        v += DT * r * inputs[:, t]
        out[:, t] = v > threshold
        v[out[:, t]] = 0
    return out


def test_a_cubalif_with_everything_per_neuron_spikes_by_its_own_equations(tmp_path: Path) -> None:
    weight = RNG.normal(0.5, 1, (3, 2))
    parameters = {
        "tau_syn": np.full(3, 0.004),
        "tau_mem": np.full(3, 0.01),
        "r": np.array([2.0, 3.0, 1.5]),
        "v_leak": np.array([0.1, 0.0, -0.2]),
        "v_threshold": np.array([0.2, 0.5, 0.7]),
        "w_in": np.array([1.0, 2.0, 4.0]),
    }
    node = {"type": "CubaLIF"} | parameters
    ours = read(tmp_path, chain(linear(weight), node, outputs=3))

    theirs = euler(X[..., :2] @ weight.T, **parameters)

    assert theirs.any()
    assert np.array_equal(spikes_of(ours, X[..., :2])["n1"], theirs)


def test_v_counts_from_v_reset(tmp_path: Path) -> None:
    """A neuron that starts at rest where it resets to spikes as one that resets to 0."""
    moved = lif(2, v_reset=np.full(2, 0.5), v_threshold=np.full(2, 1.5), v_leak=np.full(2, 0.5))

    ours = read(tmp_path, chain(linear(np.eye(2) * 8), moved))

    plain = read(tmp_path, chain(linear(np.eye(2) * 8), lif(2)))
    spikes = spikes_of(ours, X[..., :2])["n1"]
    assert spikes.any()
    assert np.array_equal(spikes, spikes_of(plain, X[..., :2])["n1"])


def test_an_if_integrates_dt_times_its_input(tmp_path: Path) -> None:
    node = {"type": "IF", "r": np.full(2, 400.0), "v_threshold": np.ones(2)}

    ours = read(tmp_path, chain(node))

    theirs = if_steps(X[..., :2].astype(float), 400.0, 1.0)
    assert theirs.any()
    assert np.array_equal(spikes_of(ours, X[..., :2])["n0"], theirs)


def test_a_bias_before_a_current_is_brought_by_a_neuron_that_always_spikes(tmp_path: Path) -> None:
    weight, bias = RNG.normal(0.5, 1, (2, 2)), np.array([0.4, -0.1])
    parameters = {
        "tau_syn": np.full(2, 0.004),
        "tau_mem": np.full(2, 0.01),
        "r": np.full(2, 3.0),
        "v_leak": np.zeros(2),
        "v_threshold": np.full(2, 0.5),
        "w_in": np.ones(2),
    }
    affine = linear(weight, type="Affine", bias=bias)
    ours = read(tmp_path, chain(affine, {"type": "CubaLIF"} | parameters))

    theirs = euler(X[..., :2] @ weight.T + bias, **parameters)

    assert theirs.any()
    assert np.array_equal(spikes_of(ours, X[..., :2])["n1"], theirs)


def test_an_li_before_a_lif_is_its_current(tmp_path: Path) -> None:
    current = {"type": "LI", "tau": np.full(2, 0.004), "r": np.full(2, 2.0), "v_leak": np.zeros(2)}
    ours = read(tmp_path, chain(current, lif(2, r=np.full(2, 5.0))))

    theirs = euler(
        X[..., :2].astype(float), tau_syn=0.004, w_in=2.0, tau_mem=0.01, v_leak=0, r=5.0,
        v_threshold=1.0,
    )  # fmt: skip
    assert theirs.any()
    assert np.array_equal(spikes_of(ours, X[..., :2])["n1"], theirs)


IMAGE = X[..., :32].reshape(2, 12, 2, 4, 4)


def conv(kind: str = "Conv2d", **given: Any) -> Fields:
    plain: dict[str, Any] = {"type": kind, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    return plain | given


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # torch's, of an even kernel
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("padding", ["same", "valid", 1])
def test_a_convolution_is_torchs(tmp_path: Path, groups: int, padding: Any) -> None:
    torch = pytest.importorskip("torch")
    weight = RNG.normal(0, 1, (4, 2 // groups, 3, 2))
    bias = RNG.normal(0, 0.1, 4)
    node = conv(weight=weight, bias=bias, padding=padding, groups=groups)
    applied = torch.nn.functional.conv2d(
        torch.tensor(IMAGE.reshape(24, 2, 4, 4), dtype=torch.float64),
        torch.tensor(weight), torch.tensor(bias), padding=padding, groups=groups,
    )  # fmt: skip
    inputs = applied.reshape(2, 12, -1).numpy()
    size = inputs.shape[2]
    neurons = {"type": "IF", "r": np.full(size, 400.0), "v_threshold": np.ones(size)}

    ours = read(tmp_path, chain(node, neurons, inputs=(2, 4, 4), outputs=size))

    theirs = if_steps(inputs, 400.0, 1.0)
    assert theirs.any()
    assert np.array_equal(spikes_of(ours, X)["n1"], theirs)


def test_a_one_dimensional_convolution_is_torchs(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    weight = RNG.normal(0, 1, (3, 2, 3))
    node = conv("Conv1d", weight=weight, bias=np.zeros(3), stride=2, padding=1)
    applied = torch.nn.functional.conv1d(
        torch.tensor(X.reshape(24, 2, 16), dtype=torch.float64), torch.tensor(weight),
        stride=2, padding=1,
    )  # fmt: skip
    inputs = applied.reshape(2, 12, -1).numpy()
    size = inputs.shape[2]
    neurons = {"type": "IF", "r": np.full(size, 400.0), "v_threshold": np.ones(size)}

    ours = read(tmp_path, chain(node, neurons, inputs=(2, 16), outputs=size))

    assert np.array_equal(spikes_of(ours, X)["n1"], if_steps(inputs, 400.0, 1.0))


@pytest.mark.parametrize(("kind", "share"), [("SumPool2d", 1.0), ("AvgPool2d", 0.25)])
def test_pools_flattening_and_scaling_are_matrices(tmp_path: Path, kind: str, share: float) -> None:
    pool = {"type": kind, "kernel_size": [2, 2], "stride": [2, 2], "padding": [0, 0]}
    flat = {"type": "Flatten", "start_dim": 0, "end_dim": -1}
    scale = {"type": "Scale", "scale": np.linspace(0.5, 2, 8)}
    neurons = {"type": "IF", "r": np.full(8, 300.0), "v_threshold": np.ones(8)}
    windows = IMAGE.reshape(2, 12, 2, 2, 2, 2, 2).sum(axis=(4, 6)).reshape(2, 12, 8)

    ours = read(tmp_path, chain(pool, flat, scale, neurons, inputs=(2, 4, 4), outputs=8))

    theirs = if_steps(windows * share * np.linspace(0.5, 2, 8), 300.0, 1.0)
    assert theirs.any()
    assert np.array_equal(spikes_of(ours, X)["n3"], theirs)


def test_a_threshold_compares_and_remembers_nothing(tmp_path: Path) -> None:
    node = {"type": "Threshold", "threshold": np.array([0.5, 1.5])}
    weight = np.array([[1.0, 1.0], [1.0, 1.0]])

    ours = read(tmp_path, chain(linear(weight), node))

    assert np.array_equal(spikes_of(ours, X[..., :2])["n1"], X[..., :2] @ weight.T > [0.5, 1.5])


def test_a_delay_is_so_many_timesteps_later_and_differs_by_neuron(tmp_path: Path) -> None:
    late = {"type": "Delay", "delay": np.array([0.0, 0.003])}
    node = {"type": "Threshold", "threshold": np.full(2, 0.5)}

    spikes = spikes_of(read(tmp_path, chain(late, node)), X[..., :2])["n1"]

    assert np.array_equal(spikes[..., 0], X[..., 0])
    assert np.array_equal(spikes[:, 3:, 1], X[:, :-3, 1])
    assert not spikes[:, :3, 1].any()


def test_a_nested_graph_is_laid_flat(tmp_path: Path) -> None:
    inner = (
        {
            "input": shape("Input", 2),
            "lif": lif(2, r=np.full(2, 20.0)),
            "w": linear(np.full((2, 2), -0.3)),
            "output": shape("Output", 2),
        },
        [("input", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "output")],
    )
    nodes = {"input": shape("Input", 2), "rnn": inner, "output": shape("Output", 2)}

    ours = read(tmp_path, (nodes, [("input", "rnn"), ("rnn", "output")]))

    assert [(e.source, e.target, e.delay) for e in ours.projections] == [
        ("input", "rnn.lif", 1),
        ("rnn.lif", "rnn.lif", 1),
    ]


def test_different_time_constants_become_different_populations(tmp_path: Path) -> None:
    first = lif(4, tau=np.array([0.01, 0.02, 0.01, 0.02]), r=np.full(4, 20.0))
    weights = RNG.normal(0.3, 1, (4, 2)), RNG.normal(0.3, 1, (2, 4))

    ours = read(tmp_path, chain(linear(weights[0]), first, linear(weights[1]), lif(2)))

    assert [p.name for p in ours.populations] == ["n1.0", "n1.1", "n3"]
    spikes = spikes_of(ours, X[..., :2])
    inputs = X[..., :2] @ weights[0].T
    theirs = euler(
        inputs, tau_syn=DT, w_in=1.0, tau_mem=np.array([0.01, 0.02, 0.01, 0.02]), v_leak=0.0,
        r=20.0, v_threshold=1.0,
    )  # fmt: skip
    assert np.array_equal(spikes["n1.0"], theirs[..., [0, 2]])
    assert np.array_equal(spikes["n1.1"], theirs[..., [1, 3]])


READOUT = {"type": "LI", "tau": np.full(2, 0.01), "r": np.full(2, 20.0), "v_leak": np.zeros(2)}


def test_a_readout_is_left_out_or_made_to_spike(tmp_path: Path) -> None:
    graph = chain(linear(np.eye(2) * 20), lif(2), linear(np.eye(2)), READOUT)

    assert read(tmp_path, graph, readout="drop").output == "n1"
    spiking = read(tmp_path, graph, readout="0.5")
    assert spiking.output == "n3"
    assert spiking.populations[-1].threshold == 0.5
    with pytest.raises(UnsupportedError, match=r"'n3' \(LI\): it reads out.*--readout drop"):
        read(tmp_path, graph)


def test_everything_without_a_form_is_refused_at_once(tmp_path: Path) -> None:
    odd = {"type": "Cochlea", "q": np.ones(2)}
    graph = chain(linear(np.eye(2)), lif(2, v_threshold=np.zeros(2)), odd, lif(2), lif(2))

    with pytest.raises(UnsupportedError) as caught:
        read(tmp_path, graph, reset="subtract")

    text = str(caught.value)
    assert "'n1' (LIF): it subtracts its threshold" in text
    assert "'n2' (Cochlea): a primitive 'Cochlea' has no form on the chip" in text


def test_what_nir_does_not_say_is_asked_for_by_name(tmp_path: Path) -> None:
    graph = chain(linear(np.eye(2)), lif(2))

    with pytest.raises(InputError, match=r"--dt SECONDS, nor how a neuron resets: --reset zero"):
        read(tmp_path, graph, dt=None, reset=None)
    with pytest.raises(UnsupportedError, match=r"dt = 0.1 s is longer than its tau_mem of 0.01 s"):
        read(tmp_path, graph, dt=0.1)
    write_side_car(tmp_path / FILE, {"dt": DT, "reset": "zero"})
    assert read_nir(tmp_path / FILE).network.output == "n1"
    with pytest.raises(InputError, match=r"--dt 0.5 contradicts a.nir.snn-deploy.json"):
        read_nir(tmp_path / FILE, dt=0.5)


def test_a_loop_through_two_layers_takes_the_fewest_timesteps_and_says_so(tmp_path: Path) -> None:
    nodes, edges = chain(linear(np.eye(2)), lif(2), linear(np.eye(2)), lif(2))
    nodes["back"] = linear(np.eye(2))
    file = write(tmp_path / FILE, nodes, [*edges, ("n3", "back"), ("back", "n1")])

    imported = read_nir(file, dt=DT, reset="zero")

    assert any("'n3' -> 'n1' closes a loop; it takes 2 timesteps" in n for n in imported.notes)


def test_a_batch_in_the_shapes_and_a_missing_version_are_mended(tmp_path: Path) -> None:
    nodes, edges = chain(linear(np.eye(2)), lif(2), inputs=(256, 2))
    file = write(tmp_path / FILE, nodes, edges, version=None)

    imported = read_nir(file, dt=DT, reset="zero")

    assert any("its first axis, a batch, is left out" in note for note in imported.notes)
    assert any("does not say its NIR version" in note for note in imported.notes)


def test_an_altered_file_does_not_fit_its_side_car(tmp_path: Path) -> None:
    read(tmp_path, chain(linear(np.eye(2)), lif(2)))
    write_side_car(tmp_path / FILE, {"dt": DT, "reset": "zero"})
    write(tmp_path / FILE, *chain(linear(np.eye(2) * 2), lif(2)))

    with pytest.raises(FileError, match=r"belongs to another a.nir"):
        read_nir(tmp_path / FILE)
