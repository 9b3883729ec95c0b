"""What fields, path ids and parameters may be: the contract's limits, each once."""

import datetime as dt
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from shortlist.domain.hiring.opening import CAPACITY_MAX, MISSES_MAX, WINDOW_SECONDS_MAX
from shortlist.domain.hiring.placement import ApplicantId, OpeningId, PlacementId

TITLE_LIMIT_CHARACTERS = 200
NAME_LIMIT_CHARACTERS = 200
EMAIL_LIMIT_CHARACTERS = 254
DESCRIPTION_LIMIT_CHARACTERS = 20_000
REASON_LIMIT_CHARACTERS = 2_000
ACTION_LIMIT_APPLICATIONS = 1_000

ID_MAX = 2**63 - 1
"""Of Postgres's bigint."""

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""They turn the text around them, on a page or in a list, into another (UTR 36, 2.5)."""

_MARKUP = re.compile(r"<[A-Za-z/!?]")
_ATOM = r"[^\s@<>()\[\]\\,;:\"\x00-\x1f\x7f-\x9f]"
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_EMAIL = re.compile(rf"(?!\.){_ATOM}{{1,64}}(?<!\.)@(?:{_LABEL}\.)+{_LABEL}")
"""One address: no display name, no list, no quoted local part; letters of any script."""

_NOT_BLANK = r"\S"
_OPENS_AT = r"^([01]\d|2[0-3]):[0-5]\d$"
_CLOSES_AT = r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$"

PATTERNS_TOLD = {
    _NOT_BLANK: "Text must not be blank",
    _OPENS_AT: "Input should be a time of the day, from 00:00 to 23:59",
    _CLOSES_AT: "Input should be a time of the day, from 00:00 to 24:00",
}
"""What a client is told who sends something else: no pattern."""

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,400}")


def _is_text(text: str) -> str:
    """Refuse what Postgres does not store."""
    if "\x00" in text:
        raise PydanticCustomError("text", "Text must not contain NUL characters")
    return text


def _is_line(text: str) -> str:
    """Refuse what would not stay on the line where it is shown."""
    if _CONTROLS.search(text):
        raise PydanticCustomError("text", "Text must not contain control characters")
    if _DIRECTIONS.search(text):
        raise PydanticCustomError("text", "Text must not contain controls of its direction")
    return text


def _is_name(text: str) -> str:
    if _MARKUP.search(text):
        raise PydanticCustomError("name", "A name must not contain markup")
    return text


def _is_email(text: str) -> str:
    if not _EMAIL.fullmatch(text):
        raise PydanticCustomError("email", "This is not one email address")
    return text


def _moment(value: Any) -> dt.datetime:
    """Read a time with its offset, to the millisecond, in UTC."""
    try:
        time = dt.datetime.fromisoformat(value)
        if time.utcoffset() is None:
            raise PydanticCustomError("time", "A time needs an offset from UTC")
        time = time.astimezone(dt.UTC)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, PydanticCustomError):
            raise
        raise PydanticCustomError("time", "This is not a date-time of ISO 8601") from None
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def _named_id(value: Any) -> int:
    """Read an id of a path; one that no row can have becomes 0, which names nothing (404)."""
    if not isinstance(value, str) or not _WHOLE_NUMBER.fullmatch(value):
        raise PydanticCustomError("whole_number", "An id is a whole number")
    number = int(value)
    return number if 0 < number <= ID_MAX else 0


def _counted(value: Any) -> Any:
    """Leave decimal digits to be read, and nothing else that Python takes for a number."""
    if isinstance(value, str) and not _WHOLE_NUMBER.fullmatch(value):
        raise PydanticCustomError("whole_number", "This is not a whole number")
    return value


def _trimmed(most: int, least: int = 1) -> StringConstraints:
    return StringConstraints(strip_whitespace=True, min_length=least, max_length=most)


Text = Annotated[str, AfterValidator(_is_text)]
Line = Annotated[str, AfterValidator(_is_line)]

Title = Annotated[str, _trimmed(TITLE_LIMIT_CHARACTERS), AfterValidator(_is_line)]
Description = Annotated[
    str, StringConstraints(max_length=DESCRIPTION_LIMIT_CHARACTERS), AfterValidator(_is_text)
]
Name = Annotated[
    str, _trimmed(NAME_LIMIT_CHARACTERS), AfterValidator(_is_line), AfterValidator(_is_name)
]
Email = Annotated[str, _trimmed(EMAIL_LIMIT_CHARACTERS, 3), AfterValidator(_is_email)]
Reason = Annotated[str, _trimmed(REASON_LIMIT_CHARACTERS), AfterValidator(_is_text)]
Payload = Annotated[
    str, StringConstraints(min_length=1, pattern=_NOT_BLANK), AfterValidator(_is_text)
]
OpensAt = Annotated[str, StringConstraints(pattern=_OPENS_AT)]
ClosesAt = Annotated[str, StringConstraints(pattern=_CLOSES_AT)]

Capacity = Annotated[int, Field(strict=True, ge=1, le=CAPACITY_MAX)]
WindowSeconds = Annotated[int, Field(strict=True, ge=1, le=WINDOW_SECONDS_MAX)]
Misses = Annotated[int, Field(strict=True, ge=1, le=MISSES_MAX)]
Version = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
Position = Annotated[int, Field(strict=True, ge=1, le=CAPACITY_MAX)]
Flag = Annotated[bool, Field(strict=True)]
_ID = Field(strict=True, ge=-(2**63), le=ID_MAX)
"""An id in a body: a whole number. One that names nothing is 404, as in a path."""

Opening = Annotated[OpeningId, _ID]
Person = Annotated[ApplicantId, _ID]
Application = Annotated[PlacementId, _ID]

Moment = Annotated[
    dt.datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]

_NAMED = (BeforeValidator(_named_id), WithJsonSchema({"type": "integer", "format": "int64"}))

PathId = Annotated[int, *_NAMED]
OpeningPathId = Annotated[OpeningId, *_NAMED]
ApplicantPathId = Annotated[ApplicantId, *_NAMED]
Limit = Annotated[int, Field(ge=1, le=1000), BeforeValidator(_counted)]
Sequence = Annotated[int, Field(ge=0, le=ID_MAX), BeforeValidator(_counted)]
