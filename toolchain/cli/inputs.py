"""What commands are given: a run or a network, an artifact, a stimulus."""

from __future__ import annotations

from pathlib import Path

from toolchain import codec
from toolchain.errors import FileError
from toolchain.network import Network
from toolchain.raster import Raster, read_raster


def read_network(path: Path) -> Network:
    """The network of a run's folder, of a network's folder, or of a network.json."""
    folder = path.parent if path.name == "network.json" else path
    if not (folder / "network.json").is_file():
        unfinished = (folder / "checkpoint.safetensors").is_file()
        move = (
            f"its training is unfinished; go on with 'snn-deploy train ... --out {folder} --resume'"
            if unfinished
            else "make one with 'snn-deploy train CONFIG.toml --out RUN'"
        )
        raise FileError(f"{path}: holds no network.json; {move}")
    return codec.read(Network, folder, "network")


def read_stimulus(file: Path, samples: int | None) -> Raster:
    """A stimulus, cut to its first samples where so many are asked for."""
    stimulus = read_raster(file)
    return stimulus if samples is None else stimulus.first(samples)
