"""Keeps what our libraries could use, and we do not, out of every process.

structlog imports rich for tracebacks that we render ourselves; redis-py imports OpenTelemetry's
SDK for metrics that we never turn on. Both do without when it is not installed. A third of the CPU
that a worker's imports take went there (`python -X importtime -c 'import shortlist.worker.main'`
shows it). So while one of them is imported, and by that thread only, those are not found. Whatever
needs them itself (the panel of ``up``, `telemetry.traces`) imports them as ever.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

DOES_WITHOUT = {
    "structlog": ("rich",),
    "redis": ("opentelemetry.sdk", "opentelemetry.metrics"),
    "httpx2": ("rich",),
}
"""A library, and what it imports if that is there."""


class _Hidden(threading.local):
    """What this thread's imports do not find."""

    names: tuple[str, ...] = ()


class LeanFinder(MetaPathFinder):
    """Finds the libraries of `DOES_WITHOUT`, to load them without what they can do without."""

    def __init__(self) -> None:
        """Nothing is hidden yet."""
        self._hidden = _Hidden()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the library's own specification with another loader; None for what is not ours."""
        if name in self._hidden.names:
            raise ModuleNotFoundError(f"{name} is not wanted here", name=name)
        unwanted = [one for one in DOES_WITHOUT.get(name, ()) if one not in sys.modules]
        if not unwanted:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _LeanLoader(spec.loader, self, unwanted)
        return spec

    @contextmanager
    def hiding(self, names: Iterable[str]) -> Iterator[None]:
        """Not found by this thread meanwhile."""
        before = self._hidden.names
        self._hidden.names = (*before, *names)
        try:
            yield
        finally:
            self._hidden.names = before


class _LeanLoader(Loader):
    def __init__(self, loader: Loader, finder: LeanFinder, unwanted: Sequence[str]) -> None:
        self._loader, self._finder, self._unwanted = loader, finder, unwanted

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader  # as if we had not been there
        with self._finder.hiding(self._unwanted):
            self._loader.exec_module(module)


def install() -> None:
    """Be asked first about every import of this process. Once is enough."""
    if not any(isinstance(finder, LeanFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, LeanFinder())
