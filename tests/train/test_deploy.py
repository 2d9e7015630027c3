"""Modules that were trained elsewhere: their network spikes as they do; state dicts are checked."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests.strategies import seeds
from toolchain.errors import FileError, InputError, UnsupportedError
from toolchain.interchange.floats import spikes_of
from toolchain.train.deploy import read_module, spikes_of_module
from toolchain.train.state import read_state

FILE = """
import torch
from torch import nn
import norse.torch as norse

def box(leak=None):
    leak = torch.tensor(0.0) if leak is None else leak
    return norse.LIFBoxCell(
        norse.LIFBoxParameters(tau_mem_inv=torch.tensor(250.0), v_th=torch.tensor(0.3),
                               v_leak=leak), dt=0.001)

class Steps(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.first = box()
        self.again = norse.LIFRecurrentCell(48, 5, norse.LIFParameters(v_th=torch.tensor(0.2)))
        self.dense = nn.Linear(5, 4)
        self.last = box()
    def forward(self, x, state=None):
        a, b, c = state or (None, None, None)
        z, a = self.first(self.norm(self.conv(x)), a)
        z, b = self.again(z.flatten(1), b)
        z, c = self.last(self.dense(z), c)
        return z, (a, b, c)

class Leaks(nn.Module):
    def __init__(self):
        super().__init__()
        self.leak = nn.Parameter(torch.full((4,), 0.1))
        self.dense = nn.Linear(16, 4, bias=False)
        self.cell = box(self.leak)
        for one in self.parameters():
            one.requires_grad_(False)
    def forward(self, x, state=None):
        return self.cell(self.dense(x.flatten(1)), state)

class Kept(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(16, 4, bias=False)
        self.cell = norse.LIFCell(norse.LIFParameters(method="tanh"))
    def forward(self, x, state=None):
        return self.cell(self.dense(x.flatten(1)), state)[0]

def steps():
    return Steps()

def whole():
    return norse.SequentialState(nn.Flatten(2), nn.Linear(16, 4, bias=False), norse.LIF())

def leaks():
    return Leaks()

def kept():
    return Kept()

def asks(input_shape, classes):
    return norse.SequentialState(nn.Flatten(), nn.Linear(16, classes), norse.LIFBoxCell())

def refused():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.ReLU())
"""
SHAPE = (1, 4, 4)


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("mine") / "mine.py"
    file.write_text(FILE)
    return file


def trained(mine: Path, function: str, seed: int) -> dict[str, torch.Tensor]:
    """A state dict of random numbers, as training might leave it: a third of the weights 0."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for key, value in read_module(mine, function, SHAPE).module.state_dict().items():
        numbers = torch.rand(value.shape, generator=generator) * 1.4 - 0.4
        if key.endswith("weight") and value.ndim > 1:
            numbers *= torch.rand(value.shape, generator=generator) > 0.3
        found[key] = numbers.abs() + 0.2 if "running_var" in key or "leak" in key else numbers
    return found


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(function=st.sampled_from(["steps", "whole"]), seed=seeds())
def test_the_network_of_a_trained_module_spikes_as_the_module(
    mine: Path, tmp_path: Path, function: str, seed: int
) -> None:
    torch.save(trained(mine, function, seed), tmp_path / "state.pth")

    deployed = read_module(mine, function, SHAPE, state=tmp_path / "state.pth")

    network = deployed.network
    assert all(edge.weights.data.all() for edge in network.projections)  # a 0 is no synapse
    stimulus = np.random.default_rng(seed).random((3, 12, 16)) < 0.4
    theirs = spikes_of_module(deployed, stimulus)
    assert theirs is not None
    assert theirs.any()
    assert np.array_equal(spikes_of(network, stimulus)[network.output], theirs)


def test_what_can_only_be_deployed_is_deployed_and_said(mine: Path) -> None:
    deployed = read_module(mine, "leaks", SHAPE)  # frozen, and resting elsewhere than at 0

    assert np.allclose(deployed.network.populations[0].bias, 0.1)
    assert any("cell: v starts each sample at 0, where" in note for note in deployed.notes)
    assert any("are those that leaks() gave it" in note for note in deployed.notes)
    hidden = read_module(mine, "kept", SHAPE)  # another surrogate; its state stays with it
    assert spikes_of_module(hidden, np.zeros((1, 2, 16), bool)) is None


def test_a_module_without_a_form_is_refused_by_part(mine: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"2 \(ReLU\): .*LIFCell"):
        read_module(mine, "refused", SHAPE)


def test_classes_are_asked_for_where_the_function_takes_them(mine: Path) -> None:
    assert read_module(mine, "asks", SHAPE, classes=3).network.populations[-1].size == 3
    with pytest.raises(InputError, match=r"takes the number of classes; give it: --classes N"):
        read_module(mine, "asks", SHAPE)


def test_wrappers_around_a_state_dict_are_seen_through_and_named(
    mine: Path, tmp_path: Path
) -> None:
    state = trained(mine, "whole", 1)
    wrapped = {"epoch": 3, "state_dict": {f"module.{key}": one for key, one in state.items()}}
    torch.save(wrapped, tmp_path / "a.pth")
    save_file(state, tmp_path / "b.safetensors")

    one = read_module(mine, "whole", SHAPE, state=tmp_path / "a.pth")
    other = read_module(mine, "whole", SHAPE, state=tmp_path / "b.safetensors")

    assert one.notes[:2] == (
        "the state dict is 'state_dict' of a.pth",
        "'module.' before every key is left out",
    )
    pair = (one.network.projections[0].weights, other.network.projections[0].weights)
    assert np.array_equal(pair[0].toarray(), pair[1].toarray())


def test_all_that_does_not_fit_is_told_at_once(mine: Path, tmp_path: Path) -> None:
    state = trained(mine, "steps", 1)
    state["dense.weight"] = state["dense.weight"][:, :3]
    state["dense.bias"][0] = torch.nan
    state["conv.bias"] = state["conv.bias"] * 1j
    state["norm.weight"] = state["norm.weight"].to_sparse()
    state["other"] = state.pop("conv.weight")
    torch.save(state, tmp_path / "a.pth")

    with pytest.raises(InputError, match=r"a.pth does not fit mine.py:steps:") as caught:
        read_module(mine, "steps", SHAPE, state=tmp_path / "a.pth")

    assert str(caught.value).splitlines()[1:] == [
        "  - missing from the file: 'conv.weight'",
        "  - not in the module: 'other'",
        "  - 'conv.bias' holds a number that is complex or not finite",
        "  - 'norm.weight' is no plain array of numbers",
        "  - 'dense.weight' is (4, 3) in the file, (4, 5) in the module",
        "  - 'dense.bias' holds a number that is complex or not finite",
    ]


class Harm:
    """What a pickle may do when it is loaded by others."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch harmed",)


def _saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _packed(data: bytes) -> bytes:
    """The same records, compressed: more than their bytes."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as source,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: b"", r"is neither .safetensors nor what torch.save writes"),
        (lambda: pickle.dumps(Harm()), r"is neither .safetensors nor what torch.save writes"),
        (lambda: _saved({"a": Harm()}), r"holds more than tensors; nothing in it was run"),
        (lambda: _saved(torch.nn.Linear(1, 1)), r"holds more than tensors; nothing in it was run"),
        (lambda: _saved({"a": torch.ones(9)})[:-30], r"is neither .safetensors nor"),
        (lambda: _packed(_saved({"a": torch.zeros(2**18)})), r"claims more than its .* bytes hold"),
        (lambda: _saved([torch.ones(1)]), r"holds no state dict, .* but list"),
        (lambda: _saved({"a": 1, "b": "c"}), r"holds no state dict, .* but 'a', 'b'"),
        (lambda: _saved({}), r"holds no state dict"),
    ],
)
def test_a_hostile_state_is_one_clear_error_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "a.pth"
    file.write_bytes(content())  # type: ignore[operator]

    with pytest.raises(FileError, match=message):
        read_state(file)

    assert not (tmp_path / "harmed").exists()


def test_a_state_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none.pth: no such file"):
        read_state(tmp_path / "none.pth")
