"""A user's mistake gets one clear sentence, the right exit code, and loses nothing."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Shell, chain
from toolchain import codec
from toolchain.artifact import make_artifact, read_artifact, write_artifact
from toolchain.backends import simulator
from toolchain.raster import Raster, read_raster, write_raster


def one_line(err: str) -> str:
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, err
    return lines[0]


def test_one_changed_byte_of_an_artifact_is_named(
    shell: Shell, artifact: Path, stimulus: Path
) -> None:
    file = artifact / "artifact.safetensors"
    data = bytearray(file.read_bytes())
    data[-7] ^= 1
    file.write_bytes(data)

    code, _, err = shell("verify", artifact, "--stimulus", stimulus, "--backend", "simulator")

    assert code == 2
    assert "artifact.safetensors: was altered" in one_line(err)


@pytest.mark.parametrize(
    ("spikes", "says"),
    [
        (np.ones((2, 5, 21), bool), "21 neurons wide, the input 'input' has 20"),
        (np.ones((0, 5, 20), bool), "the stimulus is empty"),
        (np.ones((2, 0, 20), bool), "the stimulus is empty"),
    ],
)
def test_a_stimulus_of_the_wrong_shape_is_explained(
    spikes: np.ndarray, says: str, shell: Shell, artifact: Path, tmp_path: Path
) -> None:
    write_raster(tmp_path / "x.npz", Raster(spikes={"input": spikes}))

    code, _, err = shell(
        "run", artifact, "--stimulus", tmp_path / "x.npz", "--out", tmp_path / "out.npz"
    )

    assert code == 2
    assert says in one_line(err)
    assert not (tmp_path / "out.npz").exists()


def test_a_truncated_stimulus_is_explained(
    shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path
) -> None:
    stimulus.write_bytes(stimulus.read_bytes()[:200])

    code, _, err = shell("run", artifact, "--stimulus", stimulus, "--out", tmp_path / "out.npz")

    assert code == 2
    assert "was cut short" in one_line(err)


def test_more_samples_than_there_are_is_an_error(
    shell: Shell, artifact: Path, stimulus: Path
) -> None:
    code, _, err = shell("verify", artifact, "--stimulus", stimulus, "--samples", 6)

    assert code == 2
    assert "needed 6 samples, the raster holds 5" in one_line(err)


def test_unknown_names_get_the_nearest_known_one(
    shell: Shell, network: Path, artifact: Path, tmp_path: Path
) -> None:
    code, _, err = shell("check", network, "--chip", "loihi")
    assert code == 2
    assert "did you mean 'loihi" in one_line(err)

    code, _, err = shell("veirfy", network)
    assert code == 2
    assert "verify" in err

    code, _, err = shell(
        "run", artifact, "--stimulus", "s.npz", "--out", "o.npz", "--backend", "lva"
    )
    assert code == 2
    assert "'lava'" in err


def test_a_profile_of_the_users_own_is_checked(shell: Shell, network: Path, tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "hw_profiles" / "tiny.toml"
    mine = tmp_path / "mine.toml"
    mine.write_text(source.read_text().replace("in_axons =", "in_axon =", 1))

    code, _, err = shell("check", network, "--chip", mine)

    assert code == 2
    assert "[core] unknown key 'in_axon'; did you mean 'in_axons'?" in one_line(err)
    assert "mine.toml: [core] key 'in_axons' is missing" in one_line(err)


def test_a_folder_without_a_network_says_how_to_make_one(shell: Shell, tmp_path: Path) -> None:
    code, _, err = shell("map", tmp_path / "nothing", "--chip", "tiny", "--out", tmp_path / "a")

    assert code == 2
    assert "snn-deploy train" in one_line(err)


def test_map_does_not_overwrite_what_it_did_not_write(
    shell: Shell, network: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")

    code, _, err = shell("map", network, "--chip", "tiny", "--out", tmp_path / "mine")

    assert code == 2
    assert "is no artifact" in one_line(err)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


def test_demo_does_not_clear_what_it_did_not_make(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years")

    code, _, err = shell("demo", "--out", tmp_path)

    assert code in (2, 4)  # 4 where Lava is not installed: said first
    assert (tmp_path / "thesis.txt").read_text() == "years"
    assert "thesis.txt" in one_line(err) or code == 4


def test_a_missing_lava_is_exit_code_4(
    shell: Shell, artifact: Path, stimulus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "lava-nc is not installed; run: pip"
    monkeypatch.setattr("toolchain.backends.lava.why_unavailable", lambda: reason)

    code, out, err = shell("verify", artifact, "--stimulus", stimulus, "--json")

    assert code == 4
    assert "lava-nc is not installed; run:" in one_line(err)
    assert json.loads(out)["error"]["exit_code"] == 4


def test_a_defect_of_ours_is_exit_code_3_without_a_traceback(
    shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(simulator, "run", broken)

    code, _, err = shell("run", artifact, "--stimulus", stimulus, "--out", tmp_path / "o.npz")

    assert code == 3
    assert "internal error: ZeroDivisionError: ours" in err


def test_an_interrupt_is_exit_code_130(
    shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(simulator, "run", interrupted)

    code, _, err = shell("run", artifact, "--stimulus", stimulus, "--out", tmp_path / "o.npz")

    assert code == 130
    assert "interrupted" in err
    assert not (tmp_path / "o.npz").exists()


def test_an_unknown_key_of_a_configuration_gets_the_nearest_known_one(
    shell: Shell, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="training needs torch")
    (tmp_path / "c.toml").write_text('[data]\nname = "digits"\n[training]\nepoch = 3\n')

    code, _, err = shell("train", tmp_path / "c.toml", "--out", tmp_path / "run")

    assert code == 2
    assert "[training] unknown key 'epoch'; did you mean 'epochs'?" in one_line(err)
    assert not (tmp_path / "run").exists()


def test_a_demo_replaces_only_what_a_demo_made(shell: Shell, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the demo trains, and training needs torch")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("years")

    code, _, err = shell("demo", "--out", tmp_path)

    assert code in (2, 4)  # 4 where Lava is not installed: said first
    assert "which no demo made" in one_line(err) or code == 4
    assert (tmp_path / "run" / "notes.txt").read_text() == "years"


def test_a_run_that_the_artifact_did_not_come_from_is_refused(
    shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path
) -> None:
    codec.write(chain(20, 24, 6, density=0.5, seed=7), tmp_path / "other", "network")

    code, _, err = shell(
        "verify", artifact, "--stimulus", stimulus, "--backend", "simulator",
        "--trained", tmp_path / "other",
    )  # fmt: skip

    assert code == 2
    assert "is not the run that the artifact was mapped from" in one_line(err)


@pytest.mark.parametrize("name", ["file", "allow_pickle", "[bold]x", "x[/red]", "a/../b"])
def test_a_population_may_have_any_name(
    name: str, shell: Shell, stimulus: Path, tmp_path: Path
) -> None:
    plain = chain(20, 6, density=0.5)
    (projection,), (population,) = plain.projections, plain.populations
    named = replace(
        plain,
        populations=(replace(population, name=name),),
        projections=(replace(projection, target=name),),
        output=name,
    )
    codec.write(named, tmp_path / "named", "network")

    assert shell("map", tmp_path / "named", "--chip", "tiny", "--out", tmp_path / "a")[0] == 0
    run = ("run", tmp_path / "a", "--stimulus", stimulus, "--out", tmp_path / "r.npz")
    assert shell(*run)[0] == 0
    assert name in read_raster(tmp_path / "r.npz").spikes
    code, out, _ = shell("inspect", tmp_path / "named")
    assert code == 0
    assert name in out


@pytest.mark.parametrize(
    ("command", "out", "says"),
    [
        ("run", "s.npz", "would overwrite what the command reads"),
        ("run", "raster.txt", "must end in .npz"),
        ("verify", "net/network.json", "'schema' must be 'snn-deploy.verdict'"),
    ],
)
def test_an_output_never_overwrites_what_is_no_such_output(
    command: str, out: str, says: str, shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    code, _, err = shell(
        command, artifact, "--stimulus", stimulus, "--backend", "simulator", "--out", tmp_path / out
    )

    assert code == 2
    assert says in one_line(err)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_reader_that_leaves_is_no_success() -> None:
    command = f"{sys.executable} -m toolchain chips show loihi1 | true; exit ${{PIPESTATUS[0]}}"

    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)

    assert done.returncode in (0, 141)  # 0 where all was written before the reader left
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_one_sentence() -> None:
    command = f"{sys.executable} -m toolchain chips list --json > /dev/full"

    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "cannot be written" in one_line(done.stderr)


def test_tables_that_point_outside_are_refused(shell: Shell, artifact: Path) -> None:
    image = read_artifact(artifact).image
    first = replace(image.cores[0], synapse_compartment=image.cores[0].synapse_compartment + 99)
    bad = replace(image, cores=(first, *image.cores[1:]))
    write_artifact(make_artifact(read_artifact(artifact).profile, bad), artifact)

    code, _, err = shell("inspect", artifact)

    assert code == 2
    assert "points outside" in one_line(err)
