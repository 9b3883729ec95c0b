from __future__ import annotations

import pytest

from loadtest.bench.figure import Figure, Samples, Target, rate_between, ratios


def test_samples_are_quoted_by_their_median_and_spread() -> None:
    samples = Samples.of([3, 1, 2])
    assert samples.median == 2
    assert samples.spread == (1, 3)


def test_ratios_are_taken_round_by_round() -> None:
    assert ratios([2, 8], [1, 2]).values == (2, 4)


@pytest.mark.parametrize(
    ("target", "value", "rivals", "met"),
    [
        (Target("at least", 2), 2.0, [], True),
        (Target("at least", 2), 1.9, [], False),
        (Target("at most", 0.5), 0.5, [], True),
        (Target("within", 0.1), 1.09, [], True),
        (Target("within", 0.1), 0.89, [], False),
        (Target("first"), 10.0, [9.0, 10.0], True),
        (Target("first"), 10.0, [11.0], False),
        (Target("least"), 1.0, [2.0], True),
    ],
)
def test_a_target_is_met_or_not(
    target: Target, value: float, rivals: list[float], *, met: bool
) -> None:
    assert target.is_met(value, rivals) is met


def test_a_figure_as_json_has_value_target_and_rivals() -> None:
    figure = Figure(
        "noop", "no-ops", "/s", Samples.of([5, 7, 6]), Target("first"), {"A": Samples.of([3])}
    )
    record = figure.as_json()
    assert record["value"] == 6
    assert record["target"] == "first"
    assert record["rivals"] == {"A": 3}
    assert record["met"] is True


def test_the_rate_of_workers_in_lockstep_has_no_error_from_its_edges() -> None:
    bursts = [1.5 * burst for burst in range(1, 9) for _ in range(10)]
    assert rate_between(bursts, skip=20, leave=10) == pytest.approx(10 / 1.5)


def test_too_few_completions_have_no_rate() -> None:
    with pytest.raises(ValueError, match="too few"):
        rate_between([1.0, 2.0], skip=2)
