"""JUnit XML, which every CI service shows: a clause is a test case, a broken one its failure.

There is no standard body; the form is the one that Ant's JUnit task began and CI services read:
testsuites / testsuite (name, tests, failures, errors, skipped) / testcase (classname, name).
No time and no host stands in it: the same findings give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from toolchain.verify.contract import Clause


def to_junit(suite: str, clauses: Sequence[Clause], error: tuple[str, str] | None = None) -> bytes:
    """The XML of a suite; `error`: kind and message of what kept it from being run.

    A suite without clauses and without an error has one failure: nothing was compared.
    """
    nothing = Clause(name="compared", needed="something", found="nothing", holds=False)
    shown = list(clauses) or ([] if error else [nothing])
    failures = sum(not clause.holds for clause in shown)
    counts = {
        "tests": str(len(shown) + bool(error)),
        "failures": str(failures),
        "errors": str(int(bool(error))),
        "skipped": "0",
    }
    root = Element("testsuites", counts)
    tests = SubElement(root, "testsuite", {"name": _printable(suite)} | counts)
    for clause in shown:
        case = _case(tests, suite, clause.name)
        if not clause.holds:
            said = _printable(f"needed {clause.needed}; found {clause.found}")
            SubElement(case, "failure", {"type": "broken", "message": said}).text = said
    if error is not None:
        kind, message = map(_printable, error)
        case = _case(tests, suite, "run")
        SubElement(case, "error", {"type": kind, "message": message}).text = message
    indent(root)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="utf-8") + b"\n"


def _case(parent: Element, suite: str, name: str) -> Element:
    classname = "snn-deploy." + _printable(suite).replace(".", "_")
    return SubElement(parent, "testcase", {"classname": classname, "name": _printable(name)})


def _printable(text: str) -> str:
    """Without the signs that XML 1.0 cannot hold."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
