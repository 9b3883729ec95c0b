"""Rows of files: those that are sent, and those that are given out."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from pydantic import ValidationError

from shortlist.domain.hiring.placement import Status
from shortlist.hiring.views import View
from shortlist.http.errors import invalid
from shortlist.ingest.api.schemas import fields
from shortlist.ingest.api.schemas.bodies import Body

ROWS_LIMIT = 10_000
"""Of one file that is sent; each is an act of its own."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell of text that begins so is a formula to a spreadsheet."""


class ImportRow(Body):
    """A person who applies."""

    name: fields.Name
    email: fields.Email
    payload: fields.Payload | None = None


class ImportedRow(View):
    """What became of a row. ``row``: from 1; ``code``: of a refusal, as a call of its own has it.

    ``ready``: a dry run found nothing against it.
    """

    row: int
    outcome: Literal["applied", "ready", "refused"]
    application_id: int | None = None
    status: Status | None = None
    queue_position: int | None = None
    code: str | None = None
    message: str


class ImportResult(View):
    """What became of a file: a result for each row, in its order."""

    dry_run: bool
    applied: int
    refused: int
    results: list[ImportedRow]


def rows_of(body: bytes, content_type: str) -> list[ImportRow | str]:
    """Read the rows of CSV with a head, or of JSON lines; what is wrong with a row in its place.

    Raises:
        ApiError: 400, it is neither, or has too many rows.
    """
    try:
        text = body.decode("utf-8-sig")
        found = list(_csv(text) if content_type == "text/csv" else _json_lines(text))
    except (UnicodeDecodeError, csv.Error):
        raise invalid("The body is no CSV in UTF-8 with the columns name and email.") from None
    if len(found) > ROWS_LIMIT:
        raise invalid(f"A file may have at most {ROWS_LIMIT} rows.")
    return [_row(one) for one in found]


def _csv(text: str) -> Iterator[Any]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    if not {"name", "email"} <= set(reader.fieldnames or ()):
        raise csv.Error
    for row in reader:
        yield {name: value for name, value in row.items() if value != "" or name != "payload"}


def _json_lines(text: str) -> Iterator[Any]:
    for line in text.splitlines():
        if line.strip():
            yield line


def _row(found: Any) -> ImportRow | str:
    try:
        if isinstance(found, str):
            return ImportRow.model_validate_json(found)
        return ImportRow.model_validate(found)
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False, include_context=False)
        return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'row'}: {one['msg']}" for one in told)


def csv_head(view: type[View]) -> bytes:
    """Write the names of the columns."""
    return _csv_line(field.alias or name for name, field in view.model_fields.items())


def csv_lines(rows: Iterable[View]) -> bytes:
    """Write rows of a file for spreadsheets."""
    return b"".join(
        _csv_line(map(_cell, row.model_dump(mode="json", by_alias=True).values())) for row in rows
    )


def json_lines(rows: Iterable[View]) -> bytes:
    """Write rows of a file for programs."""
    return b"".join(row.model_dump_json(by_alias=True).encode() + b"\n" for row in rows)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _csv_line(cells: Iterable[str]) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line).writerow(cells)
    return line.getvalue().encode()
