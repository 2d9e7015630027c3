"""What norse and snnTorch make of our files, and what comes back from them."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tests.interchange.networks import shown
from tests.strategies import seeds
from toolchain.interchange.floats import spikes_of
from toolchain.interchange.nir_in import read_nir
from toolchain.interchange.nir_out import write_nir
from toolchain.network import Input, Network, Population, Projection

torch = pytest.importorskip("torch")
norse = pytest.importorskip("norse.torch")
DT = 1e-4


def network(seed: int, *, current: bool, loop: bool = False, bias: float = 0.0) -> Network:
    """Two layers of leaky neurons, of random sizes."""
    rng = np.random.default_rng(seed)
    sizes = dict(zip(("input", "p1", "p2"), rng.integers(2, 8, 3).tolist(), strict=True))
    pairs = [("input", "p1"), ("p1", "p2"), *([("p1", "p1")] if loop else [])]
    return Network(
        input=Input(name="input", size=sizes["input"]),
        populations=tuple(
            Population(
                name=name,
                size=sizes[name],
                decay_u=float(rng.uniform(0.2, 0.8)) if current else 1.0,
                decay_v=float(rng.uniform(0.1, 0.5)),
                threshold=float(rng.uniform(0.5, 1.5)),
                bias=np.full(sizes[name], bias),
            )
            for name in ("p1", "p2")
        ),
        projections=tuple(
            Projection(
                source=source,
                target=target,
                weights=csr_array(rng.normal(0.2, 0.7, (sizes[target], sizes[source]))),
            )
            for source, target in pairs
        ),
        output="p2",
    )


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Others print and warn as they go."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def stepped(module: Any, stimulus: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Output spikes of a torch module, timestep by timestep."""
    state, out = None, []
    with torch.no_grad():
        for t in range(stimulus.shape[1]):
            spikes, state = module(torch.tensor(stimulus[:, t], dtype=torch.float32), state)
            out.append((spikes[0] if isinstance(spikes, tuple) else spikes).numpy() > 0)
    return np.stack(out, axis=1)


def in_norse(file: Path) -> Any:
    with quietly():
        return norse.from_nir(nir.read(file), dt=DT)


def in_snntorch(file: Path) -> Any:
    with quietly():
        reader = pytest.importorskip("snntorch.import_nir")
        return reader.import_from_nir(nir.read(file))


def as_in_norse(seed: int, current: bool, loop: bool) -> None:
    """norse, given our file, spikes as the network that was written."""
    ours = network(seed, current=current, loop=loop)
    with tempfile.TemporaryDirectory() as folder:
        write_nir(ours, Path(folder, "a.nir"), dt=DT)
        module = in_norse(Path(folder, "a.nir"))
    stimulus = shown(ours, seed, 40)

    assert np.array_equal(stepped(module, stimulus), spikes_of(ours, stimulus)["p2"])


def as_in_snntorch(seed: int, current: bool, loop: bool) -> None:
    """So does snnTorch, but that its import leads a loop's input through the loop's weights, too.

    (snntorch 1.0.0, import_nir._create_rnn_subgraph: an edge from the part's input to w_rec.)
    """
    ours = network(seed, current=current, loop=loop)
    with tempfile.TemporaryDirectory() as folder:
        write_nir(ours, Path(folder, "a.nir"), dt=DT)
        with quietly():
            module = in_snntorch(Path(folder, "a.nir"))
    stimulus = shown(ours, seed, 40)
    with quietly():
        theirs = stepped(module, stimulus)

    if loop:
        into, after, around = ours.projections
        twice = csr_array(around.weights @ into.weights)
        twice.sort_indices()
        ours = replace(ours, projections=(replace(into, weights=twice), after, around))
    assert np.array_equal(theirs, spikes_of(ours, stimulus)["p2"])


def ours_to_norse_and_back(seed: int) -> None:
    """norse 1.1.0 writes a time constant times dt: so its files are read with dt squared."""
    ours = network(seed, current=False)
    with tempfile.TemporaryDirectory() as folder:
        file, back = Path(folder, "a.nir"), Path(folder, "b.nir")
        write_nir(ours, file, dt=DT)
        module = in_norse(file)
        names = ("p1_from_input", "p1", "p2_from_p1", "p2")  # it cannot write the whole it read
        with quietly():
            chain = norse.SequentialState(*(module.get_submodule(name) for name in names))
            nir.write(back, norse.to_nir(chain, torch.zeros(1, ours.input.size), dt=DT))
        again = read_nir(back, dt=DT**2, reset="zero").network

    assert isinstance(again, Network)
    stimulus = shown(ours, seed, 40)
    mine = spikes_of(ours, stimulus)["p2"]
    assert np.array_equal(spikes_of(again, stimulus)[again.output], mine)


@settings(max_examples=8, deadline=None)
@given(seed=seeds(), current=st.booleans(), loop=st.booleans())
def test_norse_spikes_as_the_network_that_was_written(seed: int, current: bool, loop: bool) -> None:
    as_in_norse(seed, current, loop)


@settings(max_examples=6, deadline=None)
@given(seed=seeds(), current=st.booleans(), loop=st.booleans())
def test_snntorch_spikes_as_written_but_that_a_loop_weighs_its_input(
    seed: int, current: bool, loop: bool
) -> None:
    as_in_snntorch(seed, current, loop)


@settings(max_examples=4, deadline=None)
@given(seed=seeds())
def test_ours_to_norse_and_back_spikes_the_same(seed: int) -> None:
    ours_to_norse_and_back(seed)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(seed=seeds(), current=st.booleans(), loop=st.booleans())
def test_many_networks_spike_the_same_in_norse_and_snntorch(
    seed: int, current: bool, loop: bool
) -> None:
    as_in_norse(seed, current, loop)
    as_in_snntorch(seed, current, loop)
    ours_to_norse_and_back(seed)


def test_the_networks_that_are_compared_do_spike() -> None:
    for current in (False, True):
        ours = network(3, current=current, loop=True)
        assert spikes_of(ours, shown(ours, 3, 40))["p2"].any()


def test_norse_starts_v_at_the_bias_so_a_biased_network_differs_there(tmp_path: Path) -> None:
    ours = network(3, current=False, bias=0.3)
    exported = write_nir(ours, tmp_path / "a.nir", dt=DT)
    stimulus = shown(ours, 0, 40)

    theirs = stepped(in_norse(tmp_path / "a.nir"), stimulus)

    assert not np.array_equal(theirs, spikes_of(ours, stimulus)["p2"])
    assert any("norse starts v at v_leak" in loss for loss in exported.losses)


def test_norse_lets_v_leak_into_the_current_and_the_potential(tmp_path: Path) -> None:
    cuba = {
        "tau_syn": np.full(1, 2 * DT),
        "tau_mem": np.full(1, 2 * DT),
        "r": np.full(1, 1.0),
        "v_leak": np.full(1, 0.4),
        "v_threshold": np.full(1, 9.0),
        "w_in": np.full(1, 1.0),
    }
    graph = nir.NIRGraph.from_list(nir.CubaLIF(**cuba))
    nir.write(tmp_path / "a.nir", graph)

    module = in_norse(tmp_path / "a.nir")
    with torch.no_grad():
        _, state = module(torch.zeros(1, 1), None)
    ((current, potential),) = state.state["cubalif"]

    assert float(current.v) > 0  # of an input that is nothing: the synapse leaks to v_leak
    assert float(potential.v) > 0.4  # above where it rests, driven by that


def test_snntorch_refuses_a_bias_and_an_if_or_makes_it_leaky(tmp_path: Path) -> None:
    ours = network(5, current=False)
    counts = tuple(replace(one, decay_v=0.0) for one in ours.populations)
    write_nir(replace(ours, populations=counts), tmp_path / "a.nir", dt=DT)
    write_nir(replace(ours, populations=counts), tmp_path / "b.nir", dt=1.0)
    write_nir(network(5, current=False, bias=0.2), tmp_path / "c.nir", dt=DT)

    with pytest.raises(AssertionError, match="r != 1 not supported"):
        in_snntorch(tmp_path / "a.nir")  # r is 1 / dt
    leaky = [one.beta for one in in_snntorch(tmp_path / "b.nir").modules() if hasattr(one, "beta")]
    assert [float(beta) for beta in leaky] == pytest.approx([0.9, 0.9])
    with pytest.raises(AssertionError, match="v_leak not supported"):
        in_snntorch(tmp_path / "c.nir")
