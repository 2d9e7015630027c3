"""A small network, its artifact and its stimulus on disk, made without torch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from toolchain import codec
from toolchain.cli.main import run
from toolchain.network import Input, Network, Population, Projection
from toolchain.raster import Raster, write_raster

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command line; (exit code, stdout, stderr)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return call


def chain(*sizes: int, density: float, seed: int = 0) -> Network:
    """Layers of these sizes, each fully within reach of the one before."""
    rng = np.random.default_rng(seed)
    names = ["input", *(f"layer{i}" for i in range(1, len(sizes)))]
    populations = [
        Population(
            name=name, size=size, decay_u=0.5, decay_v=0.2, threshold=1.5, bias=np.zeros(size)
        )
        for name, size in zip(names[1:], sizes[1:], strict=True)
    ]
    projections = [
        Projection(source=before, target=after, weights=_weights(rows, columns, density, rng))
        for before, after, columns, rows in zip(names, names[1:], sizes, sizes[1:], strict=False)
    ]
    return Network(
        input=Input(name="input", size=sizes[0]),
        populations=tuple(populations),
        projections=tuple(projections),
        output=names[-1],
    )


def _weights(rows: int, columns: int, density: float, rng: np.random.Generator) -> csr_array:
    full = rng.normal(0.3, 1, (rows, columns)) * (rng.random((rows, columns)) < density)
    return csr_array(full)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A folder with a network of 20-24-6 neurons."""
    codec.write(chain(20, 24, 6, density=0.5), tmp_path / "net", "network")
    return tmp_path / "net"


@pytest.fixture
def stimulus(tmp_path: Path) -> Path:
    """Five labelled samples of twelve timesteps for the network's input."""
    rng = np.random.default_rng(1)
    spikes = rng.random((5, 12, 20)) < 0.4
    write_raster(tmp_path / "s.npz", Raster(spikes={"input": spikes}, labels=np.arange(5)))
    return tmp_path / "s.npz"


@pytest.fixture
def artifact(shell: Shell, network: Path, tmp_path: Path) -> Path:
    """The network, mapped onto tiny."""
    assert shell("map", network, "--chip", "tiny", "--out", tmp_path / "art")[0] == 0
    return tmp_path / "art"
