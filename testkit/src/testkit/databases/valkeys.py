"""Several Valkeys that a test may break: a primary and replicas, Sentinels, a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import redis.asyncio
import redis.exceptions

from shortlist.embedded.servers import binaries, programs
from testkit.processes import reaper
from testkit.processes.stack import free_port
from testkit.waiting import until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

_IDLE_SECONDS = 3
"""Every process of ours uses its connections each second, and a subscription too."""


ADMINISTRATOR = "of-the-administrator"
"""The password of the default user, where there is one."""


class Valkey:
    """One server on a TCP port of this machine."""

    def __init__(
        self,
        directory: Path,
        *flags: str,
        binary: str | None = None,
        password: str = "",
        announced: int | None = None,
    ) -> None:
        """``flags``: of the server, ``--name value …``; ``password``: the default user's.

        ``announced``: the port at which others reach it, when that is not its own.
        """
        self.port = free_port()
        self.announced = announced or self.port
        self.password = password
        self._directory = directory / f"valkey-{self.port}"
        self._binary = binary or binaries.valkey_binary()
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def snapshot(self) -> Path:
        """The file that SAVE writes, and that is read at a start."""
        return self._directory / "dump.rdb"

    @property
    def url(self) -> str:
        """How to connect to it, whatever a name says."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self, *first: str) -> None:
        """Start it, or start it again, and wait until it answers.

        ``first``: arguments before the flags.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        command = [
            self._binary, *first, "--port", str(self.port), "--bind", "127.0.0.1", "--dir",
            str(self._directory), "--daemonize", "no", *self._flags,
        ]  # fmt: skip
        self._process = programs.start(command, self._directory / "log", ())
        reaper.entrust(self._process)
        await until(self._answers, what=f"the server on {self.port} answers")

    async def _answers(self) -> bool:
        with suppress(redis.exceptions.RedisError, OSError):
            return bool(await self.ask("PING"))
        return False

    async def ask(self, *command: Any) -> Any:
        """Send one command, on a connection of its own."""
        return await self.ask_at(self.port, *command, password=self.password)

    @staticmethod
    async def ask_at(port: int, *command: Any, password: str = "") -> Any:
        """Send one command to the server on a port."""
        async with redis.asyncio.Redis(
            port=port, decode_responses=True, password=password or None
        ) as client:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]

    async def follow(self, port: int) -> None:
        """Become a replica of the server on a port, connections left open."""
        await self.ask("REPLICAOF", "127.0.0.1", port)

    async def lead(self) -> None:
        """Become a primary."""
        await self.ask("REPLICAOF", "NO", "ONE")

    async def leads(self) -> None:
        """Wait until it is a primary."""

        async def look() -> bool:
            return bool((await self.ask("INFO", "replication"))["role"] == "master")

        await until(look, what=f"the server on {self.port} is the primary")

    async def has_all_of(self, primary: Valkey) -> None:
        """Wait until it has what a primary had when this was called."""
        wanted = (await primary.ask("INFO", "replication"))["master_repl_offset"]

        async def look() -> bool:
            replication = await self.ask("INFO", "replication")
            linked = replication.get("master_link_status") == "up"
            return bool(linked and replication["slave_repl_offset"] >= wanted)

        await until(look, what="the replica has caught up")

    async def is_left_alone(self, within_seconds: float) -> None:
        """Wait until no connection is used any more but the one that asks."""

        async def look() -> bool:
            clients = (await self.ask("CLIENT", "LIST")).splitlines()
            words = [dict(w.partition("=")[::2] for w in client.split()) for client in clients]
            return all(int(w["idle"]) > _IDLE_SECONDS for w in words if w["cmd"] != "client|list")

        await until(look, within_seconds=within_seconds, what="the old server is used no more")

    def freeze(self) -> None:
        """Stop it: connections stay open and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def stop(self, how: signal.Signals) -> None:
        """Stop it: SIGTERM saves what it has, SIGKILL is a crash. `start` brings it back."""
        await asyncio.to_thread(programs.stop, self._process, how)

    def kill(self) -> None:
        """End it, whatever state it is in."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@asynccontextmanager
async def valkeys(
    directory: Path,
    count: int = 2,
    *flags: str,
    administrator: bool = False,
    announced: Sequence[int] = (),
) -> AsyncIterator[list[Valkey]]:
    """So many servers; the first is the primary of the others.

    ``administrator``: with the password `ADMINISTRATOR`; ``announced``: at which ports.
    """
    async with contextlib.AsyncExitStack() as stack:
        servers = [
            Valkey(
                directory, "--save", "", *flags, *_secured(administrator),
                *(("--replica-announce-port", str(port)) if port else ()),
                password=ADMINISTRATOR if administrator else "", announced=port,
            )
            for port in (*announced, *[None] * count)[:count]
        ]  # fmt: skip
        for server in servers:
            stack.callback(server.kill)
        await asyncio.gather(*(server.start() for server in servers))
        for replica in servers[1:]:
            await replica.follow(servers[0].port)
            await replica.has_all_of(servers[0])
        yield servers


@asynccontextmanager
async def sentinels(
    directory: Path, primary: Valkey, count: int = 3, *, password: str = ""
) -> AsyncIterator[list[int]]:
    """Sentinels that watch ``primary`` as ``line``; their ports. ``password``: their own."""
    secrets = f"requirepass {password}\n" if password else ""
    if primary.password:
        secrets += f"sentinel auth-pass line {primary.password}\n"
    async with contextlib.AsyncExitStack() as stack:
        started = [Valkey(directory, password=password) for _ in range(count)]
        for sentinel in started:
            stack.callback(sentinel.kill)
            configuration = directory / f"sentinel-{sentinel.port}.conf"
            configuration.write_text(
                f"sentinel monitor line 127.0.0.1 {primary.announced} {count // 2 + 1}\n"
                "sentinel down-after-milliseconds line 1000\n"
                "sentinel failover-timeout line 3000\n" + secrets
            )
            await sentinel.start(str(configuration), "--sentinel")

        async def know_each_other() -> bool:
            seen = [await s.ask("SENTINEL", "SENTINELS", "line") for s in started]
            replicas = [await s.ask("SENTINEL", "REPLICAS", "line") for s in started]
            return all(len(others) == count - 1 for others in seen) and all(replicas)

        await until(know_each_other, what="the Sentinels know each other and the replica")
        yield [sentinel.port for sentinel in started]


@asynccontextmanager
async def cluster(
    directory: Path,
    primaries: int = 3,
    replicas: int = 0,
    *,
    administrator: bool = False,
    announced: Sequence[int] = (),
) -> AsyncIterator[list[Valkey]]:
    """A Redis Cluster; the primaries first. Each replica follows the primary of its number.

    ``administrator`` and ``announced`` as for `valkeys`.
    """
    flags = (
        "--save", "", "--cluster-enabled", "yes", "--cluster-node-timeout", "1500",
        *_secured(administrator),
    )  # fmt: skip
    password = ADMINISTRATOR if administrator else ""
    async with contextlib.AsyncExitStack() as stack:
        count = primaries + replicas
        buses = [str(free_port()) for _ in range(count)]
        ports = (*announced, *[None] * count)[:count]
        nodes = [
            Valkey(
                directory, *flags, "--cluster-port", bus,
                *(("--cluster-announce-port", str(port)) if port else ()),
                password=password, announced=port,
            )
            for bus, port in zip(buses, ports, strict=True)
        ]  # fmt: skip
        for node in nodes:
            stack.callback(node.kill)
        await asyncio.gather(*(node.start() for node in nodes))
        for number, node in enumerate(nodes[:primaries]):
            first, last = (16384 * n // primaries for n in (number, number + 1))
            await node.ask("CLUSTER", "ADDSLOTSRANGE", first, last - 1)
            await node.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
        for number, node in enumerate(nodes[1:], start=1):
            await node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            await node.ask("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, buses[0])
        await _formed(nodes)
        for number, node in enumerate(nodes[primaries:]):
            await node.ask("CLUSTER", "REPLICATE", await nodes[number].ask("CLUSTER", "MYID"))
        yield nodes


def _secured(administrator: bool) -> tuple[str, ...]:  # noqa: FBT001
    """Flags of a server whose default user has a password, and of its replicas."""
    if not administrator:
        return ()
    return "--requirepass", ADMINISTRATOR, "--masterauth", ADMINISTRATOR


async def _formed(nodes: list[Valkey]) -> None:
    wanted = ("cluster_state:ok", f"cluster_known_nodes:{len(nodes)}", "cluster_slots_ok:16384")

    async def look() -> bool:
        infos = [(await node.ask("CLUSTER", "INFO")).splitlines() for node in nodes]
        return all(line in info for info in infos for line in wanted)

    await until(look, what="the cluster is formed")
