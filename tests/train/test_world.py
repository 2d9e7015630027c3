"""Several processes train one network: one step, one mask, one folder."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.train import apart
from toolchain.files import read_arrays
from toolchain.train.config import read_config
from toolchain.train.run import train

CONFIG = """
[data]
name = "digits"
train_samples = 201  # the last batch has one sample, and two processes
test_samples = 50
[encoding]
timesteps = 5
[network]
model = "conv"
channels = [4]
neuron = "lifbox"
[sparsity]
method = "{method}"
density = 0.4
every_steps = 2
stop_epoch = 2
[training]
epochs = 3
batch_size = 45
learning_rate = 0.02
"""


def by_torchrun(config: Path, out: Path, how: str = "") -> tuple[list[int], list[str]]:
    """Two processes of the program, as people start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += [f"--master-port={port}", apart.__file__, str(config), str(out), how]
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    return [done.returncode], [done.stdout]


@pytest.mark.parametrize(
    ("method", "processes"),
    [
        ("set", apart.together),
        # slow: torchrun imports torch, and so does each process that it starts
        pytest.param("set", by_torchrun, marks=pytest.mark.slow),
        pytest.param("deep-r", by_torchrun, marks=pytest.mark.slow),
    ],
)
def test_masks_and_weights_are_equal_in_every_process(method, processes, tmp_path):
    config = tmp_path / "config.toml"
    text = CONFIG.format(method=method)
    config.write_text(text if method == "set" else text.replace("every_steps = 2\n", ""))
    codes, outputs = processes(config, tmp_path / "run")
    assert not any(codes), outputs
    lines = "".join(outputs).splitlines()
    told = [line.split()[1:] for line in lines if line.startswith("held")]
    assert len(told) == 6
    for epoch in "123":
        first, second = ((rank, held) for at, rank, held in told if at == epoch)
        assert {first[0], second[0]} == {"0", "1"}
        assert first[1] == second[1], epoch
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["epochs"] == 3


def test_two_processes_have_the_gradients_of_one(tmp_path):
    """Of a batch of 181 samples, so that their shares differ; growth's momentum shows them."""
    config = tmp_path / "config.toml"
    text = CONFIG.format(method="static").replace('model = "conv"\nchannels = [4]', "hidden = [16]")
    text = text.replace("every_steps = 2\nstop_epoch = 2", "").replace("epochs = 3", "epochs = 1")
    config.write_text(text.replace("batch_size = 45", "batch_size = 200"))
    codes, outputs = apart.together(config, tmp_path / "two")
    assert not any(codes), outputs
    train(read_config(config), tmp_path / "one")
    one, two = (read_arrays(tmp_path / run / "checkpoint.safetensors") for run in ("one", "two"))
    for name in ("hidden1.growth", "output.growth"):
        assert np.abs(one[name]).max() > 1e-5
        np.testing.assert_allclose(two[name], one[name], rtol=1e-4, atol=1e-8)


def test_a_process_that_rewires_another_way_is_noticed(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(method="set").replace("every_steps = 2", "every_epochs = 1"))
    codes, outputs = apart.together(config, tmp_path / "run", "stray")
    assert all(codes)
    # The other process may see no more than that this one has gone.
    assert any("the masks of an epoch differ between processes" in text for text in outputs)
