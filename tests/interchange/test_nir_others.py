"""What norse and snnTorch make of our files, and what comes back from them."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
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
    """Two layers of leaky neurons."""
    rng = np.random.default_rng(seed)
    sizes = {"input": 5, "p1": 6, "p2": 4}
    pairs = [("input", "p1"), ("p1", "p2"), *([("p1", "p1")] if loop else [])]
    return Network(
        input=Input(name="input", size=5),
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


@pytest.mark.parametrize("current", [False, True])
@pytest.mark.parametrize("loop", [False, True])
def test_norse_spikes_as_the_network_that_was_written(
    tmp_path: Path, current: bool, loop: bool
) -> None:
    ours = network(3, current=current, loop=loop)
    write_nir(ours, tmp_path / "a.nir", dt=DT)
    stimulus = shown(ours, 0, 40)

    theirs = stepped(in_norse(tmp_path / "a.nir"), stimulus)

    mine = spikes_of(ours, stimulus)["p2"]
    assert mine.any()
    assert np.array_equal(theirs, mine)


def test_norse_starts_v_at_the_bias_so_a_biased_network_differs_there(tmp_path: Path) -> None:
    ours = network(3, current=False, bias=0.3)
    exported = write_nir(ours, tmp_path / "a.nir", dt=DT)
    stimulus = shown(ours, 0, 40)

    theirs = stepped(in_norse(tmp_path / "a.nir"), stimulus)

    assert not np.array_equal(theirs, spikes_of(ours, stimulus)["p2"])
    assert any("norse starts v at v_leak" in loss for loss in exported.losses)


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=seeds())
def test_ours_to_norse_and_back_spikes_the_same(tmp_path: Path, seed: int) -> None:
    """norse 1.1.0 writes a time constant times dt: so its files are read with dt squared."""
    ours = network(seed, current=False)
    file, back = tmp_path / "a.nir", tmp_path / "b.nir"
    write_nir(ours, file, dt=DT)
    module = in_norse(file)
    names = ("p1_from_input", "p1", "p2_from_p1", "p2")  # what it read; it cannot write the whole
    with quietly():
        chain = norse.SequentialState(*(module.get_submodule(name) for name in names))
        nir.write(back, norse.to_nir(chain, torch.zeros(1, 5), dt=DT))

    again = read_nir(back, dt=DT**2, reset="zero").network

    assert isinstance(again, Network)
    stimulus = shown(ours, seed, 40)
    mine = spikes_of(ours, stimulus)["p2"]
    assert np.array_equal(spikes_of(again, stimulus)[again.output], mine)


@pytest.mark.parametrize("current", [False, True])
def test_snntorch_spikes_as_the_network_that_was_written(tmp_path: Path, current: bool) -> None:
    with quietly():
        reader = pytest.importorskip("snntorch.import_nir")
    ours = network(5, current=current)
    write_nir(ours, tmp_path / "a.nir", dt=DT)
    stimulus = shown(ours, 0, 40)

    with quietly():
        module = reader.import_from_nir(nir.read(tmp_path / "a.nir"))
        theirs = stepped(module, stimulus)

    mine = spikes_of(ours, stimulus)["p2"]
    assert mine.any()
    assert np.array_equal(theirs, mine)
