"""A module that was trained elsewhere: its network, and its own spikes to compare them with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toolchain.network import Network
from toolchain.train.cells import KINDS, leaks_elsewhere
from toolchain.train.export import to_network
from toolchain.train.model import Shape
from toolchain.train.own import built
from toolchain.train.state import fill, read_state
from toolchain.train.trace import from_module, takes_time

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Deployed:
    """A network in real numbers, and the module that it comes from."""

    network: Network
    module: nn.Module
    input_shape: Shape
    notes: tuple[str, ...]  # what was chosen or changed, each a sentence


def read_module(
    file: Path,
    function: str,
    input_shape: Shape,
    *,
    classes: int | None = None,
    state: Path | None = None,
) -> Deployed:
    """The network of the module that a function of a Python file returns; the file is executed.

    `input_shape`: of one timestep of one sample, (neurons,) or (channels, height, width).
    `classes`: for a function that takes (input_shape, classes). `state`: its trained numbers, a
    file of torch.save or .safetensors. Raises FileError, InputError with everything in which state
    and module differ, UnsupportedError with every part that has no form on the chip.
    """
    name = f"{file.name}:{function}"
    module = built(file, function, input_shape, classes, seed=0)
    notes = []
    if any(p.is_floating_point() and p.dtype != torch.float32 for p in module.parameters()):
        module, notes = module.float(), ["the module's numbers are taken as float32"]
    if state is None:
        notes.append(f"its numbers are those that {function}() gave it; --state reads others")
    else:
        held, chosen = read_state(state)
        notes += [*chosen, *fill(module, held, state, name)]
    module.eval()
    model = from_module(module, input_shape, name=name, to_train=False)
    network = _without_zeros(to_network(model))
    return Deployed(
        network=network,
        module=module,
        input_shape=input_shape,
        notes=(*notes, *_changed(module)),
    )


def _changed(module: nn.Module) -> Iterator[str]:
    """What a chip does otherwise."""
    biased = [
        path for path, one in module.named_modules() if type(one) in KINDS and leaks_elsewhere(one)
    ]
    if biased:
        yield (
            f"{', '.join(biased)}: v starts each sample at 0, where v_leak leads from; norse starts"
            " it at v_leak"
        )


def _without_zeros(network: Network) -> Network:
    """The network without synapses of weight 0: torch has no other word for a pruned one."""
    projections = []
    for edge in network.projections:
        rows = edge.weights.copy()
        rows.eliminate_zeros()
        projections.append(replace(edge, weights=rows))
    return replace(network, projections=tuple(projections))


def spikes_of_module(deployed: Deployed, stimulus: BoolArray) -> BoolArray | None:
    """(samples, timesteps, output neurons) the module's own spikes; None where it keeps its state.

    `stimulus`: (samples, timesteps, input neurons). A module of one timestep is called with the
    state it returned last, so that it has to return one.
    """
    samples, timesteps, _ = stimulus.shape
    shown = torch.from_numpy(stimulus.astype(np.float32)).transpose(0, 1)
    shown = shown.reshape(timesteps, samples, *deployed.input_shape)
    with torch.no_grad():
        if takes_time(deployed.module):
            return _bits(deployed.module(shown), timesteps, samples).transpose(1, 0, 2)
        out, state = [], None
        for step in shown:
            answer = deployed.module(step) if state is None else deployed.module(step, state)
            if not isinstance(answer, tuple | list) or len(answer) != 2:
                return None
            out.append(_bits(answer, samples))
            state = answer[1]
    return np.stack(out, axis=1)


def _bits(answer: Any, *leading: int) -> BoolArray:
    """Spikes, neurons in a row behind what leads."""
    spikes: Tensor = answer if isinstance(answer, Tensor) else answer[0]
    bits: BoolArray = spikes.reshape(*leading, -1).numpy() > 0
    return bits
