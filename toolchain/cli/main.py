"""snn-deploy: the group of commands, and the one place where an error becomes an exit code."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from typing import Any

import click

from toolchain import __version__
from toolchain.cli.interrupts import remembered
from toolchain.cli.lazy import LazyGroup

# name -> (module.function, what it does), imported when the command is called.
COMMANDS = {
    "demo": (
        "demo.demo_command",
        "Train, map, run on Lava and verify: the whole way in a few minutes.",
    ),
    "train": ("train.train_command", "Train a spiking network sparse from scratch."),
    "check": (
        "mapping.check_command",
        "Say whether a network fits a chip, and list every limit it breaks.",
    ),
    "prune": ("pruning.prune_command", "Remove the weakest synapses of a network."),
    "map": ("mapping.map_command", "Turn a trained network into what a chip's cores load."),
    "encode": (
        "encoding.encode_command",
        "Turn raw samples into a stimulus, by the artifact's own encoding.",
    ),
    "run": ("running.run_command", "Run an artifact on a stimulus and record who spiked when."),
    "verify": (
        "verifying.verify_command",
        "Prove that an artifact spikes alike everywhere, bit for bit.",
    ),
    "minimise": (
        "minimising.minimise_command",
        "Reduce a failing case to a small folder that replays it.",
    ),
    "lint": (
        "linting.lint_command",
        "Say what of a network is dead, silent, saturated or close to a limit.",
    ),
    "hil": (
        "hil.hil_command",
        "Stream a test set to boards on other machines, and compare every answer.",
    ),
    "replay": (
        "hil.replay_command",
        "Judge a recording of hil again, with no board and no network.",
    ),
    "worker": (
        "hil.worker_command",
        "Run artifacts for another machine: what hil starts on a board's host.",
    ),
    "import": (
        "interchange.import_command",
        "Read a network of another tool: NIR, lava-dl's netx, ONNX.",
    ),
    "export": (
        "interchange.export_command",
        "Write a network for another tool: NIR, lava-dl's netx, ONNX.",
    ),
    "report": (
        "reporting.report_command",
        "Show what a folder holds, as text, JSON or one HTML page.",
    ),
    "inspect": ("reporting.inspect_command", "Say what a file or folder is and what is in it."),
    "chips": ("chips.chips_command", "List, show and compare the chips that are known."),
    "backends": (
        "environment.backends_command",
        "List what an artifact can run on, and what is ready.",
    ),
    "doctor": (
        "environment.doctor_command",
        "Say whether everything is installed, and how to mend it.",
    ),
}
DEBUG_VARIABLE = "SNN_DEPLOY_DEBUG"
INTERNAL_ERROR, INTERRUPTED, PIPE_CLOSED = 3, 130, 141


@click.group(
    cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="snn-deploy")
def group() -> None:
    """Train spiking networks sparse, map them onto small cores, prove that they spike as trained.

    \b
    Start with:   snn-deploy demo
    Then:         snn-deploy train CONFIG.toml --out RUN
                  snn-deploy map RUN --chip loihi1 --out ARTIFACT
                  snn-deploy verify ARTIFACT --stimulus RUN/stimulus.npz --trained RUN

    \b
    Answers go to stdout (--json: one JSON object and nothing else), progress to stderr.
    Exit codes: 0 yes, 1 findings (does not fit, not equal), 2 usage or bad input,
    3 internal error, 4 backend unavailable or out of time, 130 interrupted.
    """  # noqa: D301  click knows a paragraph that keeps its lines by its \b


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; every error becomes one clear message and an exit code."""
    try:
        with remembered():
            return int(group.main(arguments, prog_name="snn-deploy", standalone_mode=False) or 0)
    except click.exceptions.Exit as over:
        return over.exit_code
    except click.ClickException as problem:
        problem.show()
        return _tell_json(arguments, problem.exit_code, "UsageError", problem.format_message())
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; nothing is half-written", err=True)
        return _tell_json(arguments, INTERRUPTED, "Interrupted", "interrupted")
    except SystemExit:
        return PIPE_CLOSED  # click ends so where the reader of stdout has gone
    except Exception as problem:
        return _explain(arguments, problem)


def _explain(arguments: list[str], problem: Exception) -> int:
    from toolchain.errors import DoesNotFitError, SnnDeployError

    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exc()
    if isinstance(problem, OSError) and problem.filename is None:
        click.echo(f"error: the answer cannot be written ({problem.strerror})", err=True)
        return _tell_json(arguments, SnnDeployError.exit_code, "OutputError", str(problem))
    if not isinstance(problem, SnnDeployError):
        message = f"internal error: {type(problem).__name__}: {problem}"
        hint = f"this is a defect of snn-deploy; set {DEBUG_VARIABLE}=1 for the traceback"
        click.echo(f"{message}\n{hint}", err=True)
        return _tell_json(arguments, INTERNAL_ERROR, "InternalError", message)
    click.echo(f"error: {problem}", err=True)
    extra: dict[str, Any] = {}
    if isinstance(problem, DoesNotFitError):
        from toolchain.cli.output import violations_json

        extra = {"fits": False, "violations": violations_json(problem.violations)}
    return _tell_json(arguments, problem.exit_code, type(problem).__name__, str(problem), extra)


def _tell_json(
    arguments: list[str], code: int, kind: str, message: str, extra: dict[str, Any] | None = None
) -> int:
    """With --json an error, too, is one JSON object on stdout."""
    if "--json" in arguments:
        error = {"error": {"kind": kind, "message": message, "exit_code": code}} | (extra or {})
        with contextlib.suppress(OSError):  # stdout itself may be what failed
            click.echo(json.dumps(error, sort_keys=True, indent=1))
    return code
