"""Reads ``lua/<name>.lua``: scripts that Redis runs, each known to it by the hash of its text.

A server that does not have a script is sent its text, and has it from then on: at the first call,
after a start or a failover, and after a SCRIPT FLUSH. redis-py's own `register_script` would send
``SCRIPT LOAD`` then: one round trip more, and in a cluster to all of its nodes, of which one may
be away that has nothing to do with the pipeline.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

from shortlist.storage.faults import lacks_script

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from shortlist.storage.redis import Redis


class Script:
    """A script, and the hash by which a server knows it."""

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        """``text``: in Lua."""
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, redis: Redis, keys: Sequence[str], *arguments: str) -> Any:
        """Run it where the keys are, which have one hash tag; returns what it returns."""
        try:
            return await _reply(redis.evalsha(self.sha, len(keys), *keys, *arguments))
        except Exception as error:
            if not lacks_script(error):
                raise
            return await _reply(redis.eval(self.text, len(keys), *keys, *arguments))


def _reply(command: Any) -> Awaitable[Any]:
    """Of an asynchronous client; the package's types are of both kinds."""
    return cast("Awaitable[Any]", command)


SCRIPTS = {
    file.name.removesuffix(".lua"): Script(file.read_text(encoding="utf-8"))
    for file in (files("shortlist.storage.redis") / "lua").iterdir()
}
"""By name: ``publish`` is ``lua/publish.lua``."""
