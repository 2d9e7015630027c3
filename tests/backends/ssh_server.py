"""A real ssh server on 127.0.0.1 that runs what it is asked to: python ssh_server.py FOLDER.

Leaves in FOLDER the keys it made, `known_hosts`, and an ssh `config` for the host `board`, written
last. SIGUSR1 cuts every connection.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import asyncssh

FOLDER = Path(sys.argv[1])
CONNECTIONS: set[asyncssh.SSHServerConnection] = set()
CONFIG = """\
Host board
  HostName 127.0.0.1
  Port {port}
  User tester
  IdentityFile "{folder}/id"
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile "{folder}/known_hosts"
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
"""


class Server(asyncssh.SSHServer):
    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        CONNECTIONS.add(conn)


async def handle(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Run a command as sshd does: when the connection ends, its input ends."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_shell(
        process.command or "false", stdin=pipe, stdout=pipe, stderr=pipe
    )
    assert child.stdin is not None
    await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
    ended = asyncio.ensure_future(child.wait())
    closed = asyncio.ensure_future(process.wait_closed())
    await asyncio.wait({ended, closed}, return_when=asyncio.FIRST_COMPLETED)
    child.stdin.close()
    process.exit(await ended)


def cut() -> None:
    for connection in CONNECTIONS:
        connection.abort()
    CONNECTIONS.clear()


async def main() -> None:
    keys = {name: asyncssh.generate_private_key("ssh-ed25519") for name in ("host", "id")}
    (FOLDER / "id").touch(mode=0o600)
    keys["id"].write_private_key(FOLDER / "id")
    keys["id"].write_public_key(FOLDER / "id.pub")
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=Server,
        server_host_keys=[keys["host"]],
        authorized_client_keys=str(FOLDER / "id.pub"),
        process_factory=handle,
        encoding=None,
    )
    port = server.get_port()
    public = keys["host"].export_public_key().decode()
    (FOLDER / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    (FOLDER / "config.new").write_text(CONFIG.format(port=port, folder=FOLDER))
    (FOLDER / "config.new").rename(FOLDER / "config")
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, cut)
    await server.wait_closed()


os.environ["SNN_DEPLOY_TEST_SSHD"] = str(os.getpid())
asyncio.run(main())
