r"""What passes between this machine and a worker: a line of JSON, then bytes with their SHA-256.

    {"kind": KIND, "bytes": N, "sha256": HEX, ...}\n     and N bytes

Nothing is unpickled, nothing is unpacked: spikes are one bit each, so the size of every payload is
known before it comes, and a message names no path.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.files import sha256

BoolArray = NDArray[np.bool_]
Read = Callable[[int], bytes]  # at most so many bytes; none: the other side has gone

PROTOCOL = 1
GREETING = "snn-deploy-worker"  # the kind of a worker's first message
MOST_HEADER = 2**16
MOST_PAYLOAD = 2**31
_MOST_CHATTER = 2**16  # bytes that a login shell may say before a worker greets
_MOST_TEXT = 500


class WireError(Exception):
    """What arrived is no message, or not the one that was due."""


class Inlet:
    """Messages from a stream of bytes."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._held = bytearray()

    def message(self, most: int = MOST_PAYLOAD) -> tuple[dict[str, Any], bytes] | None:
        """The next header and payload, checked; None where the stream ended between messages.

        Raises WireError where it is none, was cut short, is larger than `most`, or was altered.
        """
        line = self.line()
        return None if line is None else self._complete(_header(line), most)

    def greeting(self) -> dict[str, Any]:
        """A worker's first message; what the host's shell says before it is passed over."""
        passed = bytearray()
        while len(passed) < _MOST_CHATTER:
            line = self.line()
            if line is None:
                raise WireError(f"no worker answered{_said(bytes(passed))}")
            if line.startswith(b'{"') and f'"{GREETING}"'.encode() in line:
                return self._complete(_header(line), 0)[0]
            passed += line + b"\n"
        raise WireError(f"no worker answered{_said(bytes(passed))}")

    def line(self) -> bytes | None:
        """Bytes up to the next newline, without it; None at the end."""
        while (end := self._held.find(b"\n")) < 0:
            if len(self._held) > MOST_HEADER:
                raise WireError(f"a message's first line is longer than {MOST_HEADER} bytes")
            if not self._more():
                if self._held:
                    raise WireError(f"the connection ended within a message{_said(self._held)}")
                return None
        line = bytes(self._held[:end])
        del self._held[: end + 1]
        return line

    def _complete(self, header: dict[str, Any], most: int) -> tuple[dict[str, Any], bytes]:
        size = header.get("bytes")
        if type(size) is not int or not 0 <= size <= most:
            raise WireError(f"a message of {size!r} bytes came, at most {most} were due")
        while len(self._held) < size:
            if not self._more():
                raise WireError(f"the connection ended after {len(self._held)} of {size} bytes")
        payload = bytes(self._held[:size])
        del self._held[:size]
        if sha256(payload) != header.get("sha256"):
            raise WireError("a message's bytes were altered on the way (SHA-256)")
        return header, payload

    def _more(self) -> bool:
        found = self._read(2**20)
        self._held += found
        return bool(found)


def _header(line: bytes) -> dict[str, Any]:
    try:
        header = json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise WireError(f"no message came, but{_said(line)}") from problem
    if not isinstance(header, dict) or not isinstance(header.get("kind"), str):
        raise WireError(f"no message came, but{_said(line)}")
    return header


def _said(text: bytes | bytearray) -> str:
    """What came instead, its last line only."""
    lines = bytes(text).decode(errors="replace").strip().splitlines()
    return f": {printable(lines[-1])}" if lines else ""


def pack_message(kind: str, payload: bytes = b"", **fields: object) -> bytes:
    """A message; raises nothing: its size is the caller's law."""
    header = {"kind": kind, "bytes": len(payload), "sha256": sha256(payload)} | fields
    line = json.dumps(header, ensure_ascii=True, allow_nan=False).encode() + b"\n"
    assert len(line) <= MOST_HEADER
    assert len(payload) <= MOST_PAYLOAD
    return line + payload


def printable(text: object, most: int = _MOST_TEXT) -> str:
    """Text from elsewhere as it may be shown: no control characters, and not too long."""
    lines = str(text).replace("\r\n", "\n")
    plain = "".join(c if c.isprintable() or c == "\n" else "?" for c in lines)
    return plain if len(plain) <= most else plain[:most] + " ..."


def text_of(header: Mapping[str, Any], key: str) -> str:
    """A header's text; raises WireError where it is none."""
    value = header.get(key)
    if not isinstance(value, str):
        raise WireError(f"a '{header['kind']}' message lacks the text '{key}'")
    return printable(value)


def count_of(header: Mapping[str, Any], key: str, most: int) -> int:
    """A header's integer in 0..most; raises WireError where it is none."""
    value = header.get(key)
    if type(value) is not int or not 0 <= value <= most:
        raise WireError(f"a '{header['kind']}' message has {key} = {value!r}, not 0..{most}")
    return value


def packed_bytes(shape: Sequence[int]) -> int:
    """Bytes that spikes of this shape take: a bit each."""
    bits = 1
    for length in shape:
        bits *= length
    return -(-bits // 8)


def pack_spikes(spikes: BoolArray) -> bytes:
    """Spikes as bits, in the order of the array."""
    return np.packbits(spikes).tobytes()


def unpack_spikes(payload: bytes, shape: tuple[int, ...]) -> BoolArray:
    """Spikes of a shape from their bits; raises WireError where they are of another size."""
    if len(payload) != packed_bytes(shape):
        raise WireError(f"{len(payload)} bytes are no spikes of shape {shape}")
    bits = np.frombuffer(payload, np.uint8)
    count = int(np.prod(shape, dtype=np.int64))
    return np.unpackbits(bits, count=count).astype(np.bool_).reshape(shape)


def write_all(handle: int, data: bytes) -> None:
    """Write every byte to a file descriptor."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
