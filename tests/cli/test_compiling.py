"""Who waits for a compiler is told so, once; who does not wait is told nothing."""

from types import SimpleNamespace

import pytest
from numba.core import event

from toolchain.cli.output import Watcher
from toolchain.mapper import filling, growth


def compile_again(function: object) -> None:
    """What numba says when it compiles a function that is not on disk."""
    data = {"dispatcher": SimpleNamespace(py_func=function)}
    event.start_event("numba:compile", data)
    event.end_event("numba:compile", data)


def test_a_room_that_is_compiled_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Watcher() as watch:
        watch("pack", 1, 4)
        compile_again(filling.queue)
        compile_again(growth.bench)
    compile_again(growth.bench)

    assert capsys.readouterr().err == "compile the mapper, once\n"


def test_what_is_compiled_for_others_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    with Watcher() as watch:
        watch("pack", 1, 4)
        compile_again(pytest.raises)

    assert capsys.readouterr() == ("", "")
