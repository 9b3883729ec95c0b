"""Parameters of paths and queries."""

from typing import Annotated, TypeAlias

from fastapi import Path, Query
from pydantic import Field

from shortlist.domain.hiring.placement import Status
from shortlist.hiring.reading import Sort
from shortlist.ingest.api.schemas import fields
from shortlist.ingest.api.schemas.bodies import Body

JobId: TypeAlias = Annotated[fields.OpeningPathId, Path(alias="jobId")]
ApplicantId: TypeAlias = Annotated[fields.ApplicantPathId, Path(alias="applicantId")]
ApplicationId: TypeAlias = Annotated[fields.PathId, Path(alias="applicationId")]
ActionId: TypeAlias = Annotated[fields.PathId, Path(alias="actionId")]

Limit: TypeAlias = Annotated[
    fields.Limit | None, Query(description="At most so many; without it the list is whole.")
]
After: TypeAlias = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=200,
        description="Where the page before ended: the `after` of its `Link`.",
    ),
]
AsOf: TypeAlias = Annotated[
    fields.Moment | None,
    Query(alias="asOf", description="The moment, with its offset; without it, now."),
]
AtSequence: TypeAlias = Annotated[
    fields.Sequence | None, Query(description="After this event of the opening.")
]


class EntriesQuery(Body):
    """Which of an opening's applications are listed, and in which order."""

    status: Annotated[list[Status], Field(max_length=4)] | None = None
    q: (
        Annotated[
            fields.Line, Field(min_length=1, max_length=200, description="In name or address.")
        ]
        | None
    ) = None
    min_score: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    sort: Sort = "position"
    limit: fields.Limit = 100
    after: Annotated[str, Field(min_length=1, max_length=200)] | None = None
