"""Whose a data directory is: another user's is left as it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from shortlist.embedded.servers import ownership
from shortlist.embedded.servers.ownership import NOBODY_UID
from shortlist.embedded.supervision import data_directory
from shortlist.embedded.supervision.data_directory import DataDirectoryError

if TYPE_CHECKING:
    from pathlib import Path

ADA = 12345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
PARTS = ("", "lock", "env", "logs", "redis", "postgres", "postgres/data", "postgres/password")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory as a former `up` left it."""
    root = tmp_path / "data"
    for name in ("logs", "redis", "postgres/data"):
        (root / name).mkdir(parents=True, mode=0o700)
    for name in ("lock", "env", "postgres/password"):
        (root / name).touch(mode=0o600)
    for path in (root, root / "postgres"):
        path.chmod(0o700)
    return root


def everything(root: Path) -> dict[str, tuple[int, int]]:
    """What there is, whose it is, and who may do what with it."""
    paths = sorted([root, *root.rglob("*")])
    return {str(p.relative_to(root)): (p.stat().st_uid, p.stat().st_mode) for p in paths}


def opened(root: Path) -> None:
    with data_directory.opened(root):
        pass


@as_root
@pytest.mark.parametrize("part", PARTS)
def test_data_of_another_user_is_refused_and_left_as_it_is(data: Path, part: str) -> None:
    os.chown(data / part, ADA, ADA)
    before = everything(data)
    with pytest.raises(DataDirectoryError, match=r"belongs to user 12345; run as user 12345"):
        opened(data)
    assert everything(data) == before


@as_root
def test_off_switch_without_the_question_another_users_data_is_written_to(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(data, ADA, ADA)
    monkeypatch.setattr(ownership, "refuse_what_is_not_ours", lambda _: None)
    before = everything(data)
    opened(data)
    assert everything(data) != before


@as_root
def test_users_are_told_by_name(data: Path) -> None:
    os.chown(data, 1, 1)
    with pytest.raises(DataDirectoryError, match=r"belongs to daemon; run as daemon"):
        opened(data)


@as_root
def test_what_root_gave_to_the_user_that_postgres_runs_as_is_roots_too(data: Path) -> None:
    for part in ("postgres", "postgres/data", "postgres/password"):
        os.chown(data / part, NOBODY_UID, NOBODY_UID)
    opened(data)
    os.chown(data / "redis", NOBODY_UID, NOBODY_UID)
    with pytest.raises(DataDirectoryError, match=r"redis belongs to nobody"):
        opened(data)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_what_others_may_write_is_refused(data: Path, part: str, mode: int) -> None:
    path = data / part
    path.chmod(path.stat().st_mode | mode)
    with pytest.raises(DataDirectoryError, match=rf"may be written by others.*chmod go-w {path}"):
        opened(data)
    path.chmod(path.stat().st_mode & ~0o022)
    opened(data)


def test_off_switch_without_the_question_others_may_put_programs_there(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.chmod(0o777)
    monkeypatch.setattr(ownership, "refuse_what_others_may_write", lambda _: None)
    opened(data)
