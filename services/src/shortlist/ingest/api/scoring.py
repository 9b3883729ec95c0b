"""A payload that comes with an application: its place in the line of scoring, taken before the act.

A full line refuses both (429). The row is written by the act, in its transaction.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from shortlist.domain.line.application import DEFAULT_PIPELINE, NewApplication
from shortlist.hiring.errors import NotFoundError
from shortlist.telemetry import traces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from shortlist.domain.hiring.placement import OpeningId
    from shortlist.hiring.reading import Views
    from shortlist.hiring.views import Result
    from shortlist.ingest.admission.line_registry import LineRegistry


class Scoring:
    """Takes places in the lines of the openings' pipelines."""

    def __init__(self, lines: LineRegistry, views: Views) -> None:
        """Take places in ``lines``; ``views`` tell which one an opening has."""
        self._lines = lines
        self._views = views

    async def check_pipeline(self, name: str | None) -> None:
        """Raise 400 for a name that no pipeline has."""
        if name is not None:
            await self._lines.find(name)

    @asynccontextmanager
    async def place(
        self, opening_id: OpeningId, payload: str | None
    ) -> AsyncIterator[tuple[NewApplication | None, Callable[[Result], None]]]:
        """Hold a place for a payload, if there is one, while its application is decided.

        Yields what is to be scored, and what is told the result: it keeps the place of an
        application that was really submitted.
        """
        if payload is None:
            yield None, _nothing_to_keep
            return
        line = await self._lines.find(await self._pipeline(opening_id))
        application_id = self._lines.ids.next()
        with line.place(application_id) as place:

            def keep(result: Result) -> None:
                if result.scoring_id == str(application_id):  # no earlier answer, given again
                    place.keep()  # until the publisher has published it

            # No candidate: names stay out of what is scored, and of leaderboards.
            yield (
                NewApplication(
                    application_id, line.pipeline, None, payload, traces.current_traceparent()
                ),
                keep,
            )

    async def _pipeline(self, opening_id: OpeningId) -> str:
        """Return where an opening's payloads are scored; an unknown one is refused by the act."""
        try:
            job = await self._views.opening(opening_id)
        except NotFoundError:
            return DEFAULT_PIPELINE
        return job.pipeline or DEFAULT_PIPELINE


def _nothing_to_keep(_: Result) -> None:
    """Do nothing: there was no payload."""
