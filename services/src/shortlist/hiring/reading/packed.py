"""Many placements in little memory, and without objects that Python's garbage collector visits.

A hundred thousand placements are some million objects: a full collection of them stands every
thread still for most of a second. A tuple of numbers, texts and times is not visited.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from shortlist.domain.hiring.ordering import LineKey
from shortlist.domain.hiring.placement import Placement, PlacementId

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEY = [field.name for field in fields(LineKey)]
_REST = [field.name for field in fields(Placement) if field.name != "key"]
_values = attrgetter(*(f"key.{name}" for name in _KEY), *_REST)


class PackedPlacements(MutableMapping[PlacementId, Placement]):
    """Placements by their ids; each is made anew when it is asked for."""

    def __init__(self) -> None:
        """Hold none yet."""
        self._packed: dict[PlacementId, tuple[Any, ...]] = {}

    def __getitem__(self, placement_id: PlacementId) -> Placement:
        """Return a placement; raises `KeyError` if it is not held."""
        packed = self._packed[placement_id]
        key = LineKey(*packed[: len(_KEY)])
        return Placement(key=key, **dict(zip(_REST, packed[len(_KEY) :], strict=True)))

    def __setitem__(self, placement_id: PlacementId, placement: Placement) -> None:
        """Hold a placement as it is now."""
        self._packed[placement_id] = _values(placement)

    def __delitem__(self, placement_id: PlacementId) -> None:
        """Hold it no more."""
        del self._packed[placement_id]

    def __contains__(self, placement_id: object) -> bool:
        """Tell whether a placement is held, without making it."""
        return placement_id in self._packed

    def __iter__(self) -> Iterator[PlacementId]:
        """Return the ids."""
        return iter(self._packed)

    def __len__(self) -> int:
        """Count those held."""
        return len(self._packed)
