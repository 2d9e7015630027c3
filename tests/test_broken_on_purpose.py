"""The laws can fail: each fault planted in a copy of the package turns a named test red.

Numba's compiler is off in the copies, so a fault in the simulator is seen without compiling it. One
process imports the libraries and splits off another for every fault (tests/forked_laws.py).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAWS = "tests/laws/test_backends.py"
# A fault may be as long as what it replaces and be gone within a second: Python would then take
# what it compiled of the one for the other's.
ENVIRONMENT = {"NUMBA_DISABLE_JIT": "1", "PYTHONDONTWRITEBYTECODE": "1"}
Outcomes = dict[str, set[str]]  # of every law


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One piece of text exchanged for another, and the laws that must see it."""

    file: str
    old: str
    new: str
    laws: tuple[str, ...]


BY_HAND = f"{LAWS}::test_a_network_computed_by_hand_runs_as_computed"
SLOWLY = f"{LAWS}::test_a_current_loses_a_share_of_one_in_4096_at_register_zero"
AT_THRESHOLD = f"{LAWS}::test_a_neuron_at_its_threshold_is_silent"
CORES = f"{LAWS}::test_the_packed_cores_compute_what_the_quantized_network_does"
WHOLE = "tests/laws/test_mapping.py::test_every_synapse_is_on_exactly_one_core_with_its_weight"
REASSEMBLED = "tests/laws/test_mapping.py::test_the_packed_cores_put_together_again_are_the_network"
REFERENCE, SIMULATOR = "[reference]", "[simulator]"

FAULTS = {
    "a neuron's synapses are dropped": Fault(
        file="mapper/lists.py",
        old="edge.weights[neurons].tocsc()",
        new="edge.weights[neurons[:-1]].tocsc()",
        laws=(CORES, WHOLE + "[akin-tiny]", REASSEMBLED + "[akin-tiny]"),
    ),
    "a threshold is reached, not passed": Fault(
        file="arithmetic.py",
        old="v > (threshold << ALIGN_BITS)",
        new="v >= (threshold << ALIGN_BITS)",
        laws=(AT_THRESHOLD + "[50-False-reference]",),
    ),
    "the simulator's threshold is reached, not passed": Fault(
        file="backends/simulator_loops.py",
        old="y > threshold[n]",
        new="y >= threshold[n]",
        laws=(AT_THRESHOLD + "[50-False-simulator]",),
    ),
    "the decay of u is off by one": Fault(
        file="arithmetic.py",
        old="DECAY_U_OFFSET = 1 ",
        new="DECAY_U_OFFSET = 0 ",
        laws=(
            "tests/test_arithmetic.py::test_the_next_u_is_as_computed_by_hand",
            SLOWLY + REFERENCE,
        ),
    ),
    "the decay of v is off by one": Fault(
        file="arithmetic.py",
        old="2**DECAY_BITS - decay_v)",
        new="2**DECAY_BITS - 1 - decay_v)",
        laws=(
            "tests/test_arithmetic.py::test_the_next_v_saturates_and_does_not_wrap",
            BY_HAND + REFERENCE,
        ),
    ),
    "a decay rounds down": Fault(
        file="arithmetic.py",
        old="np.sign(state) * ((np.abs(state) * keep) >> DECAY_BITS)",
        new="(state * keep) >> DECAY_BITS",
        laws=("tests/test_arithmetic.py", BY_HAND + REFERENCE),
    ),
    "the simulator's decay of u is off by one": Fault(
        file="backends/simulator_program.py",
        old="4095 - p.decay_u",
        new="4096 - p.decay_u",
        laws=(SLOWLY + SIMULATOR,),
    ),
    "the simulator's decay of v is off by one": Fault(
        file="backends/simulator_program.py",
        old="4096 - p.decay_v",
        new="4095 - p.decay_v",
        laws=(BY_HAND + SIMULATOR,),
    ),
    "a core's routes are shifted": Fault(
        file="mapper/assemble.py",
        old="            route_axon=routes.axon,\n",
        new="            route_axon=np.roll(routes.axon, number == 0),\n",
        laws=(CORES, WHOLE + "[akin-tiny]", REASSEMBLED + "[akin-tiny]"),
    ),
    "a core's axon list is shifted": Fault(
        file="mapper/assemble.py",
        old="            axon_start=lists.start,\n",
        new="            axon_start=np.minimum(lists.start + (number == 0), lists.start[-1]),\n",
        laws=(CORES, WHOLE + "[akin-tiny]", REASSEMBLED + "[akin-tiny]"),
    ),
}


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, its profiles and its tests, with what Python compiled of them."""
    copy = tmp_path_factory.mktemp("copy")
    leave = shutil.ignore_patterns("*.nbi", "*.nbc", "train")
    for folder in ("toolchain", "hw_profiles", "tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=leave)
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def is_of(law: str, test: str) -> bool:
    """Whether a test is the law, one of its cases, or in the file that it names."""
    return test == law or test.startswith((law + "[", law + "::"))


@pytest.fixture(scope="module")
def run_laws(copied: Path) -> Iterator[Callable[[tuple[str, ...], str], Outcomes]]:
    """Run laws of the copy as it stands."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.forked_laws"],
        cwd=copied,
        env=os.environ | ENVIRONMENT | {"PYTHONPATH": str(copied)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        ask, answer = server.stdin, server.stdout

        def run(laws: tuple[str, ...], profile: str) -> Outcomes:
            ask.write(json.dumps([f"--hypothesis-profile={profile}", *laws]) + "\n")
            ask.flush()
            ended: dict[str, str] = json.loads(answer.readline())
            found = {law: {ended[test] for test in ended if is_of(law, test)} for law in laws}
            assert all(found.values()), f"could not be run: {ended}"
            return found

        yield run
        ask.close()


def test_the_laws_hold_where_nothing_is_broken(
    run_laws: Callable[[tuple[str, ...], str], Outcomes],
) -> None:
    every = {law for fault in FAULTS.values() for law in fault.laws}

    assert run_laws(tuple(sorted(every)), "laws") == {law: {"passed"} for law in every}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_turns_every_law_that_names_it_red(
    name: str, copied: Path, run_laws: Callable[[tuple[str, ...], str], Outcomes]
) -> None:
    fault = FAULTS[name]
    file = copied / "toolchain" / fault.file
    whole = file.read_text()
    assert whole.count(fault.old) == 1, "the text to exchange must stand there exactly once"
    try:
        file.write_text(whole.replace(fault.old, fault.new))
        for law, outcomes in run_laws(fault.laws, "broken").items():
            assert "failed" in outcomes, law
            assert outcomes <= {"failed", "passed"}, law
    finally:
        file.write_text(whole)
