from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest

from shortlist.domain.line.application import PipelineName
from shortlist.domain.sizing.pipeline import ConnectionsSpec, ScoringPipeline
from shortlist.domain.sizing.scaling import Demand, LineReading, ScalingDecision, ScalingMemory
from shortlist_operator.kubernetes.kube import KubeError
from shortlist_operator.reporting import reporter as reporters
from shortlist_operator.reporting.reporter import Reporter
from shortlist_operator.reporting.status import Tick, essence, waiters
from testkit.operator.api_server import ApiServer, Call, refusal
from testkit.operator.sights import a_beat, a_line, a_pod, a_sight, postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

    from shortlist.storage.redis.heartbeats import Heartbeat

Json = dict[str, Any]

PATH = "/apis/shortlist.dev/v1alpha1/namespaces/prod/scoringpipelines/cv"
PER_JOB = ScoringPipeline(name=PipelineName("cv"))
PER_WRITE = replace(PER_JOB, connections=ConnectionsSpec(mode="perWrite"))
DEMAND = Demand(
    waiting=7, in_flight=3, oldest_age_seconds=1.25, arrival_rate=2.5, forecast_rate=2.5,
    service_seconds=1.5, forecast_waiting=4.0, slots=9.0, horizon_seconds=8.0,
)  # fmt: skip
DECISION = ScalingDecision(
    replicas=2,
    wanted=2,
    reason="2.5/s arriving",
    limited_by=None,
    demand=DEMAND,
    memory=ScalingMemory(),
)


def a_tick(
    *beats: Heartbeat, waiting: int = 100, spec: ScoringPipeline = PER_JOB, **changes: Any
) -> Tick:
    line = a_line(beats, reading=LineReading(1000, waiting))
    tick = Tick(pipeline=spec, sight=a_sight(line, postgres(80)), decision=DECISION, budget=80)
    return replace(tick, **changes)


# --- what waits for connections


def test_an_application_that_lacks_a_connection_is_a_waiter() -> None:
    assert waiters(a_tick(a_beat("a", grant=11), a_beat("b", grant=8))) == 3
    assert waiters(a_tick(a_beat("a", grant=11))) == 0
    assert waiters(a_tick(a_beat("a", grant=1))) == 10


def test_no_more_are_waiters_than_wait() -> None:
    assert waiters(a_tick(a_beat("a", grant=8), waiting=2)) == 2


def test_who_takes_nothing_needs_no_connection() -> None:
    idle = [a_beat("a", draining=True), a_beat("b", ready_at=0.0), a_beat("c")]
    line = a_line(idle, reading=LineReading(0, 50))
    pods = [a_pod("pod-a"), a_pod("pod-b"), a_pod("pod-c", terminating=True)]
    assert waiters(Tick(pipeline=PER_JOB, sight=a_sight(line, pods=pods))) == 0


def test_in_per_write_one_connection_is_enough_for_all() -> None:
    assert waiters(a_tick(a_beat("a", grant=2), spec=PER_WRITE)) == 0
    assert waiters(a_tick(a_beat("a", grant=1), spec=PER_WRITE)) == 10


def test_nobody_is_a_waiter_where_nothing_can_be_read() -> None:
    assert waiters(Tick()) == 0
    assert waiters(Tick(pipeline=PER_JOB, sight=replace(a_sight(), line=None))) == 0


# --- what is written at once

WRITTEN: Json = {
    "observedGeneration": 1,
    "conditions": [
        {"type": "Ready", "status": "True", "reason": "Sizing", "message": "m",
         "lastTransitionTime": "T"},
    ],
    "replicas": {"desired": 2, "current": 2, "ready": 2, "draining": 0},
    "assignmentEpoch": 4,
    "decision": {"at": "T", "reason": "r", "limitedBy": None},
    "connections": {"budget": 80, "open": 3},
    "demand": {"pending": 1},
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"observedGeneration": 2},
        {"conditions": [WRITTEN["conditions"][0] | {"status": "False"}]},
        {"conditions": [WRITTEN["conditions"][0] | {"reason": "LineUnreadable"}]},
        {"replicas": {"desired": 3}},
        {"assignmentEpoch": 5},
        {"decision": {"limitedBy": "maxReplicas"}},
        {"connections": {"budget": 70}},
    ],
    ids=str,
)
def test_what_changed_is_written_at_once(change: Json) -> None:
    assert essence(WRITTEN | change) != essence(WRITTEN)


@pytest.mark.parametrize(
    "change",
    [
        {"conditions": [WRITTEN["conditions"][0] | {"message": "3 of 4 …"}]},
        {"decision": {"at": "T2", "reason": "another", "limitedBy": None}},
        {"connections": {"budget": 80, "open": 4}},
        {"demand": {"pending": 2}},
    ],
    ids=str,
)
def test_figures_that_only_move_can_wait(change: Json) -> None:
    assert essence(WRITTEN | change) == essence(WRITTEN)


# --- told to a real client


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as server:
        server.keep(
            PATH,
            {
                "apiVersion": "shortlist.dev/v1alpha1",
                "kind": "ScoringPipeline",
                "metadata": {"name": "cv", "namespace": "prod", "uid": "1-2-3", "generation": 5},
            },
        )
        yield server


@pytest.fixture
async def reporter(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Reporter]:
    monkeypatch.setattr(reporters, "REFRESH_SECONDS", 1e9)
    async with server.kube() as kube:
        yield Reporter(kube, "prod", "cv")


def statuses(server: ApiServer) -> list[Json]:
    return [call.body["status"] for call in server.calls if call.path == f"{PATH}/status"]


def events(server: ApiServer) -> list[Json]:
    return [call.body for call in server.calls if call.path.endswith("/events")]


async def test_a_status_has_the_figures_of_its_tick(server: ApiServer, reporter: Reporter) -> None:
    tick = a_tick(a_beat("a", grant=8, open_connections=4), a_beat("b", grant=11))
    await reporter.report(server.objects[PATH], tick, acting=True)
    (written,) = statuses(server)
    assert written["observedGeneration"] == 5
    assert written["replicas"] == {"desired": 2, "current": 2, "ready": 2, "draining": 0}
    assert written["connections"] == {
        "max": 80 + ConnectionsSpec().reserved,
        "budget": 80,
        "granted": 19,
        "open": 5,
        "summary": "5/80",
    }
    assert written["demand"]["pending"] == 7
    assert written["demand"]["waiters"] == 3
    assert written["demand"]["arrivalRate"] == "2.50"


async def test_nothing_is_written_twice(server: ApiServer, reporter: Reporter) -> None:
    for waiting in (100, 90):
        tick = a_tick(a_beat("a", grant=11), waiting=waiting)
        await reporter.report(server.objects[PATH], tick, acting=True)
    assert len(statuses(server)) == 1
    await reporter.report(server.objects[PATH], replace(tick, budget=70), acting=True)
    assert len(statuses(server)) == 2


async def test_figures_are_written_again_after_a_while(
    server: ApiServer, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporters, "REFRESH_SECONDS", 0.0)
    for _ in range(2):
        await reporter.report(server.objects[PATH], a_tick(), acting=True)
    assert len(statuses(server)) == 2


async def test_who_does_not_act_says_nothing_then_or_later(
    server: ApiServer, reporter: Reporter
) -> None:
    reporter.note("Normal", "ScaledOut", "1→2: of old")
    await reporter.report(server.objects[PATH], a_tick(), acting=False)
    assert server.calls == []
    await reporter.report(server.objects[PATH], a_tick(), acting=True)
    assert events(server) == []


async def test_an_event_is_said_once_and_is_one_that_kubernetes_knows(
    server: ApiServer, reporter: Reporter
) -> None:
    reporter.note("Normal", "ScaledOut", "2→3: " + "x" * 2000)
    for _ in range(2):
        await reporter.report(server.objects[PATH], a_tick(), acting=True)
    (event,) = events(server)
    kubernetes_validate.validate(event, "1.37", strict=True)
    assert event["involvedObject"]["uid"] == "1-2-3"
    assert event["metadata"]["namespace"] == "prod"
    assert (event["type"], event["reason"]) == ("Normal", "ScaledOut")
    assert event["message"].startswith("2→3: xxx")
    assert len(event["message"]) == 1024


async def test_the_name_of_an_event_is_a_name_whatever_the_pipelines_is(
    server: ApiServer, reporter: Reporter
) -> None:
    resource = server.objects[PATH]
    resource["metadata"]["name"] = "a" * 39 + "-" + "b" * 23
    reporter.note("Normal", "ScaledOut", "2→3")
    await reporter.report(resource, a_tick(), acting=True)
    name = events(server)[0]["metadata"]["name"]
    assert all(label[0].isalnum() and label[-1].isalnum() for label in name.split("."))


async def test_a_pipeline_that_stops_being_ready_is_warned_of_and_its_return_is_told(
    server: ApiServer, reporter: Reporter
) -> None:
    await reporter.report(server.objects[PATH], a_tick(), acting=True)
    assert events(server) == []  # the first status is no change
    await reporter.report(server.objects[PATH], Tick(target_missing="w"), acting=True)
    await reporter.report(server.objects[PATH], a_tick(), acting=True)
    told = [(event["type"], event["reason"]) for event in events(server)]
    assert ("Warning", "TargetMissing") in told
    assert ("Normal", "Sizing") in told


@pytest.mark.parametrize("bad", [Tick(target_missing="w"), Tick(invalid="why")], ids=str)
async def test_what_is_not_well_from_the_beginning_is_warned_of(
    server: ApiServer, reporter: Reporter, bad: Tick
) -> None:
    await reporter.report(server.objects[PATH], bad, acting=True)
    assert "Warning" in {event["type"] for event in events(server)}


async def test_figures_that_nobody_looked_at_are_taken_away(
    server: ApiServer, reporter: Reporter
) -> None:
    await reporter.report(server.objects[PATH], a_tick(a_beat("a")), acting=True)
    assert server.objects[PATH]["status"]["replicas"]["current"] == 1
    await reporter.report(server.objects[PATH], Tick(target_missing="w"), acting=True)
    left = server.objects[PATH]["status"]
    assert not left.keys() & {"replicas", "demand", "decision", "connections"}


async def test_an_event_that_could_not_be_said_is_said_in_the_next_tick(
    server: ApiServer, reporter: Reporter
) -> None:
    async def lose_events(call: Call) -> web.StreamResponse | None:
        return refusal(503, "etcd is slow") if call.path.endswith("/events") else None

    async def refuse_the_first(call: Call) -> web.StreamResponse | None:
        return refusal(422, "too long") if call.body.get("reason") == "ScaledOut" else None

    reporter.note("Normal", "ScaledOut", "2→3")
    reporter.note("Normal", "Draining", "1 worker")
    server.arriving = lose_events
    with pytest.raises(KubeError):
        await reporter.report(server.objects[PATH], a_tick(), acting=True)
    server.calls.clear()
    server.arriving = refuse_the_first
    await reporter.report(server.objects[PATH], a_tick(), acting=True)
    assert [event["reason"] for event in events(server)] == ["ScaledOut", "Draining"]
    server.calls.clear()
    await reporter.report(server.objects[PATH], a_tick(), acting=True)
    assert events(server) == []  # what is refused for good is not said for ever


async def test_a_status_that_could_not_be_written_is_written_in_the_next_tick(
    server: ApiServer, reporter: Reporter
) -> None:
    await reporter.report(server.objects[PATH], a_tick(), acting=True)

    async def refuse(_: Call) -> web.StreamResponse:
        return refusal(500, "etcd is slow")

    async def go_on(_: Call) -> None: ...

    server.arriving = refuse
    with pytest.raises(KubeError):
        await reporter.report(server.objects[PATH], Tick(invalid="why"), acting=True)
    server.arriving = go_on
    server.calls.clear()
    await reporter.report(server.objects[PATH], Tick(invalid="why"), acting=True)
    assert statuses(server)[0]["conditions"][0]["reason"] == "InvalidSpec"
    assert [event["reason"] for event in events(server)].count("InvalidSpec") == 1
