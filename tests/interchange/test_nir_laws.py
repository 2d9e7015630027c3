"""Ours -> NIR -> ours: the same network with its side-car, the same spikes without it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import nir
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.interchange.networks import compared, networks, shown
from tests.strategies import seeds
from toolchain import codec
from toolchain.interchange.floats import spikes_of
from toolchain.interchange.nir_in import read_nir
from toolchain.interchange.nir_out import write_nir
from toolchain.interchange.sidecar import beside
from toolchain.network import Network

TIMES = st.sampled_from([1.0, 1e-3, 1e-4, 3.7e-5])


@settings(max_examples=12, deadline=None)
@given(network=networks(), dt=TIMES)
def test_with_its_side_car_a_network_comes_back_to_the_last_bit(
    network: Network, dt: float
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "a.nir")
        write_nir(network, file, dt=dt)
        first = file.read_bytes()

        back = read_nir(file).network

        assert codec.fingerprint(back) == codec.fingerprint(network)
        write_nir(network, file, dt=dt)
        assert file.read_bytes() == first


@settings(max_examples=12, deadline=None)
@given(network=networks(), dt=TIMES, seed=seeds())
def test_without_its_side_car_a_network_spikes_the_same(
    network: Network, dt: float, seed: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "a.nir")
        write_nir(network, file, dt=dt)
        beside(file).unlink()

        back = read_nir(file, dt=dt, reset="zero").network

    assert isinstance(back, Network)
    stimulus = shown(network, seed)
    compared(spikes_of(network, stimulus), spikes_of(back, stimulus))


@settings(max_examples=5, deadline=None)
@given(network=networks())
def test_nirs_own_reader_reads_what_is_written(network: Network) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "a.nir")
        write_nir(network, file)

        graph = nir.read(file)

    assert len(graph.nodes) > len(network.populations)
