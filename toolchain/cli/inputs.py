"""What commands are given: a run or a network, an artifact, a stimulus."""

from __future__ import annotations

from pathlib import Path

from toolchain import codec
from toolchain.errors import FileError, InputError
from toolchain.files import read_json
from toolchain.network import Network, QuantizedNetwork
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


def read_mappable(path: Path) -> Network | QuantizedNetwork:
    """What of a run is deployed: its integers where it was trained on them, else its network.

    A network.json given by name is always the network in real numbers.
    """
    if path.name != "network.json" and (path / "quantized.json").is_file():
        return codec.read(QuantizedNetwork, path, "quantized")
    return read_network(path)


def read_stimulus(file: Path, samples: int | None) -> Raster:
    """A stimulus, cut to its first samples where so many are asked for."""
    stimulus = read_raster(file)
    return stimulus if samples is None else stimulus.first(samples)


def check_out(out: Path, suffix: str, *, never: Path) -> None:
    """Refuse, before anything runs, an output that would overwrite what is no such output.

    A file of this suffix may be replaced, unless it is what the command reads, or is not of
    snn-deploy's kind of it: a verdict for .json.
    """
    if out.suffix != suffix:
        raise InputError(f"{out}: --out must end in {suffix}")
    if not out.exists():
        return
    if out.is_dir() or out.samefile(never):
        raise InputError(f"{out}: --out would overwrite what the command reads; choose another")
    if suffix == ".json":
        read_json(out, schema="snn-deploy.verdict")
