from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shortlist_operator.observation import RolloutStrategy, is_rolling
from testkit.operator.sights import NOW, a_beat, a_line, a_pod, a_sight


def deployment(spec: dict[str, Any], **status: int) -> dict[str, Any]:
    return {"metadata": {"generation": 3}, "spec": spec, "status": status}


def test_pods_that_are_on_their_way_out_do_not_stay() -> None:
    pods = [a_pod("a"), a_pod("b", terminating=True)]
    assert a_sight(pods=pods).staying == pods[:1]


def test_workers_that_were_asked_for_are_unreported_until_they_report() -> None:
    beats = a_line([a_beat("a"), a_beat("b")])
    pods = [a_pod("pod-a"), a_pod("pod-b"), a_pod("pod-c")]
    assert a_sight(beats, pods=pods[:2], replicas=2).unreported == 0
    assert a_sight(beats, pods=pods, replicas=3).unreported == 1  # it has not reported
    assert a_sight(beats, pods=pods, replicas=5).unreported == 3  # and two are not made
    assert a_sight(beats, pods=pods[:2], replicas=0).unreported == 0


def test_who_replaces_a_pod_that_goes_is_unreported() -> None:
    going = a_pod("pod-a", terminating=True)
    assert a_sight(a_line([a_beat("a")]), pods=[going], replicas=1).unreported == 1


def test_a_silent_worker_is_no_unreported_one() -> None:
    assert a_sight(a_line([a_beat("a", at=NOW - 60)]), replicas=1).unreported == 0


SURGE = RolloutStrategy(max_surge=1, max_unavailable=0)


def test_a_rollout_may_start_pods_at_any_time_unless_there_are_none() -> None:
    pods = [a_pod("a"), a_pod("b")]
    assert a_sight(pods=pods, strategy=SURGE).may_surge() == 1
    assert a_sight(pods=pods, replicas=0, strategy=SURGE).may_surge() == 0


def test_a_rollout_may_start_more_pods_when_there_are_more_replicas() -> None:
    assert a_sight(pods=[], replicas=0, strategy=SURGE).may_surge(new=2) == 1
    quarter = RolloutStrategy("25%", "0%")
    assert a_sight(pods=[], replicas=4, strategy=quarter).may_surge() == 1
    assert a_sight(pods=[], replicas=4, strategy=quarter).may_surge(new=1) == 2


def test_a_rollout_goes_on_while_those_that_it_replaces_still_drain() -> None:
    """Kubernetes does not count terminating pods, nor wait for them."""
    pods = [a_pod("old", terminating=True), a_pod("new"), a_pod("other")]
    assert a_sight(pods=pods, replicas=2, strategy=SURGE, rolling=True).may_surge() == 1


@pytest.mark.parametrize(
    ("replicas", "status", "rolling"),
    [
        (3, {"observedGeneration": 3, "replicas": 3, "updatedReplicas": 3}, False),
        (3, {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3}, True),
        (3, {"observedGeneration": 3, "replicas": 4, "updatedReplicas": 1}, True),
        (3, {"observedGeneration": 3, "replicas": 4, "updatedReplicas": 3}, False),
        (5, {"observedGeneration": 3, "replicas": 3, "updatedReplicas": 3}, False),
        (0, {"observedGeneration": 3}, False),
        (1, {}, True),
    ],
)
def test_a_rollout_is_under_way_while_old_pods_are_to_be_replaced(
    replicas: int, status: dict[str, int], *, rolling: bool
) -> None:
    assert is_rolling(deployment({"replicas": replicas}, **status)) is rolling


@pytest.mark.parametrize("stuck", [True, False])
def test_a_rollout_that_is_stuck_or_paused_keeps_nobody(*, stuck: bool) -> None:
    conditions = [{"type": "Progressing", "status": "False" if stuck else "True"}]
    rolled = deployment({"replicas": 3, "paused": not stuck})
    rolled["status"] = {
        "observedGeneration": 3, "replicas": 4, "updatedReplicas": 1, "conditions": conditions,
    }  # fmt: skip
    assert not is_rolling(rolled)
    rolled["spec"]["paused"], conditions[0]["status"] = False, "True"
    assert is_rolling(rolled)


@pytest.mark.parametrize(
    ("replicas", "strategy", "overlap"),
    [
        (1, {}, 1),
        (5, {}, 2 + 1),
        (8, {}, 2 + 2),
        (0, {}, 0),
        (5, {"type": "Recreate"}, 0),
        (5, {"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 0}}, 3),
        (5, {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 2}}, 2),
        (5, {"rollingUpdate": {"maxSurge": "50%", "maxUnavailable": "50%"}}, 3 + 2),
        (5, {"rollingUpdate": {"maxSurge": "0%", "maxUnavailable": "10%"}}, 1),
    ],
)
def test_old_pods_that_drain_are_beside_the_new_ones(
    replicas: int, strategy: dict[str, Any], overlap: int
) -> None:
    found = RolloutStrategy.of(deployment({"replicas": replicas, "strategy": strategy}))
    assert found.overlap(replicas) == overlap


def test_the_workers_are_those_that_stay_and_one_that_does_not_report_is_not_ready() -> None:
    beats = a_line([a_beat("a"), a_beat("gone"), a_beat("leaving")])
    pods = [a_pod("pod-a"), a_pod("pod-leaving", terminating=True), a_pod("mute")]
    workers = a_sight(beats, pods=pods).worker_by_pod
    assert {name: (worker.id, worker.ready) for name, worker in workers.items()} == {
        "pod-a": ("a", True),
        "mute": ("pod/mute", False),
    }


def test_who_was_ready_and_does_not_report_may_hold_something() -> None:
    """Redis lost its memory just now: no worker is to be let go as idle."""
    pods = [replace(a_pod("new"), ready_at=None), replace(a_pod("mute"), ready_at=NOW)]
    workers = a_sight(pods=pods).worker_by_pod
    assert {name: worker.in_flight for name, worker in workers.items()} == {"new": 0, "mute": 1}


def test_a_container_that_was_restarted_is_the_newer_worker() -> None:
    """Ids are UUIDv7: the later is the greater."""
    before, now = a_beat("1", host="pod", at=NOW - 60), a_beat("2", host="pod")
    workers = a_sight(a_line([now, before]), pods=[a_pod("pod")]).worker_by_pod
    assert workers["pod"].id == "2"
