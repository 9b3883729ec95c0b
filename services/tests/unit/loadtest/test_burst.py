from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from loadtest.burst.report import table, write_csv
from loadtest.burst.sample import Outcome, Sample, add_percentiles

if TYPE_CHECKING:
    from pathlib import Path


def sample(second: float) -> Sample:
    return Sample(second, 2.0, 0, 3, 0, 1, 0, 11, 11, 177)


def test_percentiles_are_of_what_was_scored_in_the_last_five_seconds() -> None:
    samples = [sample(second) for second in (1.0, 6.0, 20.0)]
    add_percentiles(samples, [(0.5, 9.0), (1.5, 1.0), (2.0, 2.0), (6.0, 3.0), (6.1, 7.0)])
    assert [(s.p50_seconds, s.p99_seconds) for s in samples] == [
        (9.0, 9.0),
        (2.0, 3.0),
        (None, None),
    ]


def test_the_table_has_each_fifth_sample_and_the_file_has_all(tmp_path: Path) -> None:
    samples = [sample(float(second)) for second in range(11)]
    assert len(table(samples).splitlines()) == 2 + 3
    write_csv(tmp_path / "burst.csv", samples)
    with (tmp_path / "burst.csv").open(encoding="utf-8") as text:
        assert [row["second"] for row in csv.DictReader(text)] == [str(float(n)) for n in range(11)]


def test_a_refusal_a_loss_and_a_second_attempt_are_no_good_outcome() -> None:
    assert Outcome({202: 5}, scored=5, attempts=5, p99_seconds=1.0).is_good
    assert not Outcome({202: 5, 429: 1}, scored=5, attempts=5, p99_seconds=1.0).is_good
    assert not Outcome({202: 5}, scored=4, attempts=4, p99_seconds=1.0).is_good
    assert not Outcome({202: 5}, scored=5, attempts=6, p99_seconds=1.0).is_good
