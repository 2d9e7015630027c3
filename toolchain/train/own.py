"""A network from a file of the user's own: `[network] model = "FILE.py:FUNCTION"`."""

from __future__ import annotations

import inspect
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from toolchain.errors import InputError, did_you_mean
from toolchain.files import read_bytes
from toolchain.train.model import Model, Shape
from toolchain.train.trace import from_module


def from_file(
    file: Path, function: str, input_shape: Shape, classes: int, rng: np.random.Generator
) -> Model:
    """The model of the module that a function of a Python file returns; the file is executed.

    The function takes nothing, or the input's shape and the number of classes. torch's generator is
    seeded from `rng`, so that the module's first weights are the run's. Raises FileError where the
    file cannot be read, InputError with the line where it fails, UnsupportedError from `trace`.
    """
    module = built(file, function, input_shape, classes, seed=int(rng.integers(2**62)))
    model = from_module(module, input_shape, name=f"{file.name}:{function}")
    if model.output.size != classes:
        raise InputError(
            f"{file}: {function} ends in {model.output.size} neurons ('{model.output.name}'), the"
            f" data has {classes} classes; give each class a neuron"
        )
    return model


def built(
    file: Path, function: str, input_shape: Shape, classes: int | None, *, seed: int
) -> nn.Module:
    """The module that a function of a Python file returns; the file is executed.

    The function takes nothing, or the input's shape and the number of classes. Raises FileError
    where the file cannot be read, InputError with the line where it fails.
    """
    with _at_home(file), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        build = _function(_executed(file), file, function)
        module = _called(build, file, input_shape, classes)
    if not isinstance(module, nn.Module):
        raise InputError(
            f"{file}: {function} returned {type(module).__name__}; it must return a torch.nn.Module"
        )
    return module


@contextmanager
def _at_home(file: Path) -> Iterator[None]:
    """Python as if the file were a script: its neighbours can be imported, warnings aside.

    (norse 1.1.0 compiles with torch.jit.script while it is imported; torch 2.13 deprecates that.)
    """
    sys.path.insert(0, str(file.parent))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "`torch.jit.script` is deprecated", DeprecationWarning
            )
            yield
    finally:
        sys.path.remove(str(file.parent))


def _executed(file: Path) -> dict[str, Any]:
    """The names that a file defines."""
    source = read_bytes(file)
    module = ModuleType(f"_own_{file.stem}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # dataclasses look their own up there
    with _blamed(file):
        exec(compile(source, str(file), "exec"), module.__dict__)
    return module.__dict__


def _function(names: dict[str, Any], file: Path, function: str) -> Callable[..., Any]:
    found = names.get(function)
    if callable(found):
        return found
    known = [name for name, value in names.items() if inspect.isfunction(value)]
    hint = did_you_mean(function, known) if known else "it defines no function"
    raise InputError(f"{file}: has no function '{function}'; {hint}")


def _called(
    build: Callable[..., Any], file: Path, input_shape: Shape, classes: int | None
) -> object:
    """What the function returns, given as much as it takes."""
    signature = inspect.signature(build)
    for given in ((input_shape, classes), ()):
        try:
            signature.bind(*given)
        except TypeError:
            continue
        if given and classes is None:
            raise InputError(
                f"{file}: {build.__name__}{signature} takes the number of classes; give it:"
                " --classes N"
            )
        with _blamed(file):
            return build(*given)
    raise InputError(
        f"{file}: {build.__name__}{signature} must take (input_shape, classes), or nothing"
    )


@contextmanager
def _blamed(file: Path) -> Iterator[None]:
    """An error of the user's code, in one line with the place in their file."""
    try:
        yield
    except (Exception, SystemExit) as problem:
        places = [
            at for at in traceback.extract_tb(problem.__traceback__) if at.filename == str(file)
        ]
        line = problem.lineno if isinstance(problem, SyntaxError) else None
        line = places[-1].lineno if places else line
        message = problem.msg if isinstance(problem, SyntaxError) else problem
        raise InputError(f"{file}:{line}: {type(problem).__name__}: {message}") from problem
