from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from shortlist.embedded.supervision import data_directory
from shortlist.embedded.supervision.data_directory import DataDirectory, DataDirectoryError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_data_directory_has_one_user_at_a_time(tmp_path: Path) -> None:
    with (
        data_directory.opened(tmp_path / "d"),
        pytest.raises(DataDirectoryError, match=rf"in use by another .*process {os.getpid()}"),
        data_directory.opened(tmp_path / "d"),
    ):
        pass
    with data_directory.opened(tmp_path / "d"):
        pass


def test_only_its_owner_can_look_into_it(tmp_path: Path) -> None:
    with data_directory.opened(tmp_path / "d") as data:
        assert data.root.stat().st_mode & 0o777 == 0o700


def test_an_orphan_that_does_not_end_by_itself_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_directory, "_ORPHAN_GRACE_SECONDS", 0.2)
    with data_directory.opened(tmp_path / "d") as data:
        orphan = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(1000)"],
            pass_fds=(data.children_lock,),
        )
    with data_directory.opened(tmp_path / "d"):
        assert orphan.wait(20) == -9
    assert not psutil.pid_exists(orphan.pid)


def test_a_file_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "d").touch()
    with (
        pytest.raises(DataDirectoryError, match="is no directory"),
        data_directory.opened(tmp_path / "d"),
    ):
        pass


def test_a_full_disk_is_told_with_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DataDirectory, "free_bytes", lambda _: 3 * 2**20)
    with (
        data_directory.opened(tmp_path / "d") as data,
        pytest.raises(DataDirectoryError, match=r"3 MB are free and 256 MB are needed"),
    ):
        data.refuse_a_full_disk()
