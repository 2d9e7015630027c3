"""demo: the whole way on scikit-learn's digits, in the order in which data flows."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from toolchain.artifact import Artifact, write_artifact
from toolchain.backends import get_backend
from toolchain.cli.diagnosing import show_verdict
from toolchain.cli.inputs import read_network
from toolchain.cli.mapping import show_mapping
from toolchain.cli.options import path_option
from toolchain.cli.output import Watcher, exit_with, json_option, say, say_json, share
from toolchain.cli.reporting import write_html
from toolchain.cli.traffic import at_work, measuring, show_work
from toolchain.cli.train import train
from toolchain.cli.verifying import prober, record, trained_raster
from toolchain.errors import FileError, InputError
from toolchain.files import write_bytes, write_json
from toolchain.hardware import HardwareProfile, find_profile
from toolchain.mapper.pipeline import Mapped, map_network
from toolchain.raster import read_raster, write_raster
from toolchain.report.mapping import mapping_summary
from toolchain.verify.verdict import SPECIFICATION, Verdict, judge

_HERE = Path(__file__).parent
_CONFIGS = (_HERE / "digits.toml", _HERE.parent.parent / "examples" / "digits.toml")  # wheel, tree
_CHAIN = (SPECIFICATION, "reference", "simulator", "lava")
_MARK = ".snn-deploy-demo"
_LEFT = {
    _MARK,
    "run",
    "artifact",
    "stimulus.npz",
    "recorded.npz",
    "verify.json",
    "summary.json",
    "report.html",
}


@click.command("demo")
@path_option(
    "--out",
    default="demo",
    show_default=True,
    help="The folder that the demo fills; an earlier demo there is replaced.",
)
@click.option(
    "--chip",
    default="tiny",
    show_default=True,
    metavar="NAME|FILE.toml",
    help="The chip to map onto.",
)
@json_option
def demo_command(out: Path, chip: str, as_json: bool) -> None:
    """Train, map, run on Lava and verify, on scikit-learn's handwritten digits.

    A spiking network learns sparse from scratch, is packed into the cores of a chip, runs on
    Lava's bit-accurate simulator, and must spike exactly as its packed cores and its quantized
    network do, on every test sample. Leaves run/, artifact/, stimulus.npz, report.html and
    summary.json in the folder. Exit code 0: equal; 1: not.
    """
    profile = find_profile(chip)
    get_backend("lava")  # says what is missing before anything long begins
    _clear(out)
    demo = _Demo(out, quiet=as_json)
    trained = demo.train()
    mapped = demo.map(profile)
    verdict = demo.verify(mapped.artifact)
    answer = {
        "schema": "snn-deploy.demo",
        "schema_version": 1,
        "accuracy": verdict.accuracy,
        "density": trained["density"],
        "unrolled_connectivity": trained["unrolled_connectivity"],
        "map": mapping_summary(mapped.artifact) | at_work(mapped.artifact).to_json(),
        "verify": verdict.to_json(),
        "seconds": demo.seconds,
    }
    write_json(out / "summary.json", answer)
    write_html(out, out / "report.html")
    if as_json:
        say_json(answer)
    else:
        say(f"report    {out / 'report.html'}\nsummary   {out / 'summary.json'}")
    exit_with(0 if verdict.equal else 1)


class _Demo:
    """The steps, each with a heading and its time."""

    def __init__(self, out: Path, *, quiet: bool) -> None:
        self.out = out
        self.quiet = quiet
        self.seconds: dict[str, float] = {}

    def train(self) -> dict[str, Any]:
        with self.step("train", "a spiking network learns, sparse from scratch"):
            summary = train(_config(), self.out / "run")
            self.tell(f"accuracy  {share(summary['accuracy']['test'])} of the test set")
            self.tell(f"density   {share(summary['density'])} of all possible synapses")
        return summary

    def map(self, profile: HardwareProfile) -> Mapped:
        with self.step("map", f"onto the cores of '{profile.name}', {profile.title}"):
            network = read_network(self.out / "run")
            with Watcher() as watch:
                mapped = map_network(
                    network,
                    profile,
                    packer="akin",
                    placer="force",
                    measure=measuring(self.out / "run", None, watch),
                    watch=watch,
                )
            write_artifact(mapped.artifact, self.out / "artifact")
            if not self.quiet:
                show_mapping(mapped)
                say()
                show_work(at_work(mapped.artifact))
        return mapped

    def verify(self, artifact: Artifact) -> Verdict:
        with self.step("verify", "run on Lava: it must spike as the packed cores say, bit for bit"):
            stimulus = read_raster(self.out / "run" / "stimulus.npz")
            with Watcher() as watch:
                recorded = record(artifact, stimulus, _CHAIN, watch)
            float_raster = trained_raster(self.out / "run", artifact, stimulus)
            verdict = judge(
                artifact,
                recorded,
                trained=float_raster,
                stimulus=stimulus,
                probe=prober(artifact, self.out / "run"),
            )
            write_raster(self.out / "stimulus.npz", stimulus)
            write_raster(self.out / "recorded.npz", recorded["lava"])
            write_json(self.out / "verify.json", verdict.to_json())
            if not self.quiet:
                show_verdict(verdict)
        return verdict

    @contextmanager
    def step(self, name: str, heading: str) -> Iterator[None]:
        self.tell(f"{name.upper():<8}  {heading}")
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 2)
        self.tell(f"          ({self.seconds[name]:.1f} s)\n")

    def tell(self, text: str) -> None:
        if not self.quiet:
            say(text)


def _config() -> Path:
    """The demo's configuration, which is also the first example."""
    return next(path for path in _CONFIGS if path.is_file())


def _clear(out: Path) -> None:
    """Remove an earlier demo, known by its mark; refuse a folder that holds anything else."""
    if out.exists() and not out.is_dir():
        raise FileError(f"{out}: is a file; --out names a folder")
    there = list(out.iterdir()) if out.is_dir() else []
    foreign = [path.name for path in there if path.name not in _LEFT]
    if there and (foreign or not (out / _MARK).is_file()):
        raise InputError(
            f"{out}: holds '{(foreign or [there[0].name])[0]}', which no demo made; choose another"
            " --out, nothing was touched"
        )
    for path in there:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    write_bytes(out / _MARK, b"what lies beside this file was made by snn-deploy demo\n")
