from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from shortlist.domain.line.application import DEFAULT_PIPELINE, ApplicationId, Verdict
from shortlist.maintenance import requeue
from shortlist.maintenance.agents.retries import Retries
from shortlist.storage.postgres.queries import applications, claims
from shortlist.storage.postgres.queries.retries import counts

if TYPE_CHECKING:
    from collections.abc import Callable

    from shortlist.maintenance.agents.sweep import Sweeps
    from shortlist.maintenance.context import LeaderContext
    from shortlist.settings import Settings

    from .conftest import Shop


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings()


async def status(shop: Shop, one: ApplicationId) -> str:
    return (await applications.views(shop.db, [one]))[one].status


async def test_a_failed_application_gets_another_chance_and_its_failure_stays_in_the_audit(
    shop: Shop,
    settings: Settings,
    desk: LeaderContext,
    sweeps: Sweeps,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (one,) = await shop.accept(1)
    await shop.fail(one, reason="refused by the model")
    assert await requeue.run(settings, ids=[str(one)], pipeline=None, reason=None) == 0
    assert capsys.readouterr().out == "Requeued 1 application.\n"
    assert await status(shop, one) == "pending"
    audit = await shop.db.fetch("SELECT event, actor, attempt, detail FROM audit_log ORDER BY at")
    assert [row["event"] for row in audit] == ["failed", "requeued"]
    assert audit[1]["attempt"] == 1
    assert audit[1]["actor"].startswith("requeue")
    assert audit[1]["detail"]["reason"] == "refused by the model"
    await Retries(desk, sweeps).turn()
    assert await shop.in_again() == [one]
    await shop.finish(one)
    assert await status(shop, one) == "scored"


async def test_its_errors_are_counted_anew(shop: Shop, settings: Settings) -> None:
    worker = await shop.worker("perWrite")
    (one,) = await shop.accept(1)
    for errors in range(2):
        (claim,) = await worker.claim(one)
        assert await claims.ended(shop.db, one, "errored") == errors
        await claims.end_attempt(
            shop.db, claim, DEFAULT_PIPELINE, worker.id,
            outcome="errored", detail="", retry_seconds=None,
        )  # fmt: skip
    await shop.fail(one)
    await requeue.run(settings, ids=[str(one)], pipeline=None, reason=None)
    assert await claims.ended(shop.db, one, "errored") == 0


async def test_who_failed_it_cannot_fail_it_again_with_the_same_claim(
    shop: Shop, settings: Settings
) -> None:
    worker = await shop.worker("perWrite")
    (one,) = await shop.accept(1)
    (claim,) = await worker.claim(one)
    verdict = Verdict(one, claim.attempt, "failed", None, "broken")
    for _ in range(2):  # the answer to the first may have got lost
        assert await claims.complete(
            shop.db, [verdict], pipeline=DEFAULT_PIPELINE, worker_id=worker.id
        ) == {one}
    await requeue.run(settings, ids=[str(one)], pipeline=None, reason=None)
    assert not await claims.complete(
        shop.db, [verdict], pipeline=DEFAULT_PIPELINE, worker_id=worker.id
    )
    assert await status(shop, one) == "pending"


async def test_named_ones_are_requeued_all_together_or_not_at_all(
    shop: Shop, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    failed, scored, pending = await shop.accept(3)
    await shop.fail(failed)
    await shop.finish(scored)
    unknown = uuid4()
    ids = [str(i) for i in (failed, scored, pending, unknown)]
    assert await requeue.run(settings, ids=ids, pipeline=None, reason=None) == 1
    refusal = capsys.readouterr().err
    for fact in (f"{scored} is scored", f"{pending} is pending", f"{unknown} is unknown"):
        assert fact in refusal
    assert str(failed) not in refusal
    assert await status(shop, failed) == "failed"
    assert await counts(shop.db) == {}


async def test_what_is_no_id_is_refused_in_a_sentence(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await requeue.run(settings, ids=["seven"], pipeline=None, reason=None) == 1
    assert capsys.readouterr().err == "shortlist: 'seven' is no application's id.\n"


async def test_filters_choose_by_pipeline_and_by_what_the_reason_contains(
    shop: Shop, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requeue, "_BATCH", 2)
    refused, broken = await shop.accept(5), await shop.accept(1)
    await shop.fail(*refused, reason="refused 100%")
    await shop.fail(*broken, reason="broken")
    await shop.finish(*await shop.accept(1))
    await requeue.run(settings, ids=[], pipeline="another", reason=None)
    assert await counts(shop.db) == {}
    await requeue.run(settings, ids=[], pipeline="default", reason="d 100%")
    assert await counts(shop.db) == {DEFAULT_PIPELINE: 5}
    assert await status(shop, broken[0]) == "failed"
    await requeue.run(settings, ids=[], pipeline=None, reason=None)
    assert await counts(shop.db) == {DEFAULT_PIPELINE: 6}


async def test_the_command_line_reaches_it(shop: Shop) -> None:
    (one,) = await shop.accept(1)
    await shop.fail(one)
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shortlist", "requeue", str(one),
        env=os.environ | {"DATABASE_URL": shop.database_url},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await command.communicate()
    assert (command.returncode, output) == (0, b"Requeued 1 application.\n")
    assert await status(shop, one) == "pending"


async def test_without_postgres_it_says_so(
    make_settings: Callable[..., Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings(database_url="postgresql://x@/y?host=/nowhere")
    assert await requeue.run(settings, ids=[], pipeline=None, reason=None) == 1
    assert "Postgres at DATABASE_URL cannot be used" in capsys.readouterr().err
