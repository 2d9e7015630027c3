"""Laws, run again and again on a package that changes in between, without importing all anew.

For every line on standard input, a list of pytest's arguments, a line of what became of each test.
The libraries are imported once; the package and its tests in a process of their own, split off for
the line.
"""

from __future__ import annotations

import json
import os
import sys

import pytest

QUICKLY = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
QUICKLY += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is there already


class Outcomes:
    """What became of each test; "error" where it was not the test itself that failed."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.of[report.nodeid] = report.outcome
        elif not report.passed:
            self.of[report.nodeid] = "error"


def run(arguments: list[str], answer: int) -> None:
    """Write the outcomes to the file descriptor; what pytest prints goes to standard error."""
    os.dup2(2, 1)
    outcomes = Outcomes()
    try:
        pytest.main([*QUICKLY, *arguments], plugins=[outcomes])
    finally:  # whoever asked waits for a line
        os.write(answer, (json.dumps(outcomes.of) + "\n").encode())


def main() -> None:
    """Until standard input ends."""
    answer = os.dup(1)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                run(json.loads(line), answer)
            finally:
                os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
