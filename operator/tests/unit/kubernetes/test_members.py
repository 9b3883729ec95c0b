from __future__ import annotations

from shortlist_operator.kubernetes.members import (
    DELETION_COST,
    Member,
    Pod,
    is_over,
    members,
    read_pod,
)
from testkit.operator.sights import NOW, a_beat, a_line, a_pod

STALE = NOW - 6


def test_a_pod_is_read_with_what_matters_of_it() -> None:
    found = read_pod(
        {
            "metadata": {
                "name": "w-1",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {DELETION_COST: "-1000"},
            },
            "status": {
                "conditions": [
                    {"type": "Initialized", "status": "True", "lastTransitionTime": "x"},
                    {
                        "type": "Ready",
                        "status": "True",
                        "lastTransitionTime": "2026-01-01T00:00:04Z",
                    },
                ]
            },
        }
    )
    begun = 1_767_225_600.0
    assert found == Pod("w-1", begun, begun + 4, terminating=False, deletion_cost="-1000")


def test_a_pod_that_has_no_status_yet_is_not_ready() -> None:
    found = read_pod({"metadata": {"name": "w", "creationTimestamp": "2026-01-01T00:00:00Z"}})
    assert (found.ready_at, found.terminating, found.deletion_cost) == (None, False, None)


def test_a_pod_that_was_ready_is_not() -> None:
    conditions = [{"type": "Ready", "status": "False", "lastTransitionTime": "x"}]
    metadata = {"name": "w", "creationTimestamp": "2026-01-01T00:00:00Z"}
    found = read_pod({"metadata": metadata, "status": {"conditions": conditions}})
    assert found.ready_at is None


def test_a_pod_that_is_being_deleted_is_terminating() -> None:
    stamp = "2026-01-01T00:00:00Z"
    metadata = {"name": "w", "creationTimestamp": stamp, "deletionTimestamp": stamp}
    assert read_pod({"metadata": metadata}).terminating


def test_an_evicted_or_finished_pod_is_over_and_no_other() -> None:
    phases = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
    over = [phase for phase in phases if is_over({"status": {"phase": phase}})]
    assert over == ["Succeeded", "Failed"]
    assert not is_over({})


def test_each_worker_is_found_in_its_pod() -> None:
    pods = [a_pod("pod-a"), a_pod("pod-b")]
    line = a_line([a_beat("b", in_flight=3), a_beat("a")])
    first, second = members(line, pods, {"b": 5})
    assert (first.worker.id, first.pod) == ("a", pods[0])
    assert (second.worker.id, second.pod) == ("b", pods[1])
    assert (second.worker.in_flight, second.worker.open_connections) == (3, 5)


def test_connections_are_the_more_of_what_it_says_and_what_postgres_counts() -> None:
    line = a_line([a_beat("a", open_connections=4)])
    assert members(line, [], {"a": 2})[0].worker.open_connections == 4
    assert members(line, [], {"a": 6})[0].worker.open_connections == 6


def test_a_silent_worker_counts_while_its_pod_or_its_connections_are_there() -> None:
    line = a_line([a_beat("a", at=STALE)])
    (with_pod,) = members(line, [a_pod("pod-a")], {})
    (connected,) = members(line, [], {"a": 3})
    assert not with_pod.worker.ready
    assert not connected.worker.ready
    assert connected.worker.open_connections == 3
    assert members(line, [], {}) == []


def test_a_worker_is_leaving_when_its_pod_is_on_its_way_out_or_gone() -> None:
    line = a_line([a_beat("a")])

    def leaving(*pods: Pod) -> bool:
        (member,) = members(line, pods, {})
        assert isinstance(member, Member)
        return member.leaving

    assert not leaving(a_pod("pod-a"))
    assert leaving(a_pod("pod-a", terminating=True))
    assert leaving(a_pod("pod-b"))
