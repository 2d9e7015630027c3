"""A host whose worker says what no worker should: python odd_host.py HOW.

It imports nothing that takes long, so that a test can afford it.
"""

from __future__ import annotations

import os
import sys

from toolchain.backends.remote_wire import GREETING, PROTOCOL, Inlet, pack_message, write_all

HOW = sys.argv[1]


def say(kind: str, payload: bytes = b"", **fields: object) -> None:
    write_all(1, pack_message(kind, payload, **fields))


inlet = Inlet(lambda most: os.read(0, most))
os.write(1, b"Welcome to this host!\n" * 3)
if HOW == "mute":
    sys.exit("python3: command not found")
greeting = {
    "protocol": PROTOCOL + (HOW == "newer"),
    "hostname": "odd\x1b[2J" if HOW == "painted" else "odd",
    "backend": "simulator",
    "adapter_sha256": None,
    "versions": {},
    "unavailable": None,
}
say(GREETING, **greeting)
asked = inlet.message()
assert asked is not None
fingerprint = asked[0]["fingerprint"]
if HOW == "grasping":
    say("lacks", names=["../../etc/passwd"])
say("lacks", names=[])
say("ready", fingerprint="0" * 64 if HOW == "lying" else fingerprint)
chunk = inlet.message()
assert chunk is not None
header, payload = chunk
answer = {
    "index": header["index"] + (HOW == "elsewhere"),
    "fingerprint": fingerprint,
    "stimulus_sha256": header["sha256"],
    "populations": ["b", "a"] if HOW == "disorderly" else ["a", "b"],
}
if HOW == "cutting":
    whole = pack_message("result", b"\0", **answer)
    write_all(1, whole[:-1])
elif HOW == "altering":
    whole = pack_message("result", b"\0", **answer)
    write_all(1, whole[:-1] + b"\1")
else:
    say("result", b"\0" * (10_000_000 if HOW == "flooding" else 1), **answer)
os.close(1)
inlet.message()
