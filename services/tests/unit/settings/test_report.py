from __future__ import annotations

import pytest

from shortlist.settings import PROCESSES, Settings, variable
from shortlist.settings import report as settings_report
from shortlist.settings.retired import RETIRED


def test_every_setting_stands_in_one_section_of_the_page() -> None:
    named = [name for kind in settings_report.SECTIONS for name in kind.__annotations__]
    assert sorted(named) == sorted(Settings.model_fields)


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_reads_its_own_settings_and_no_others(
    process: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = PROCESSES[process].model_fields
    for name in Settings.model_fields.keys() - own.keys():
        monkeypatch.setenv(variable(name, Settings), "\N{SNOWMAN}: no value that any setting takes")
    monkeypatch.setenv("SHORTLIST_SCORER", "claude")  # which wants a key, of a worker
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    if "scorer" in own:
        with pytest.raises(settings_report.BadSettingsError, match="needs ANTHROPIC_API_KEY"):
            settings_report.load({}, (), process)
    else:
        assert type(settings_report.load({}, (), process)) is PROCESSES[process]


def test_every_setting_says_what_it_means() -> None:
    assert [n for n, field in Settings.model_fields.items() if not field.description] == []


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:hunter2@db/shortlist?password=hunter2")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-hunter2")
    settings = settings_report.load({})
    for shown in (settings_report.text(settings), settings_report.as_json(settings)):
        assert "hunter2" not in shown
        assert "ada" in shown


def test_a_value_says_where_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORTLIST_PORT", "9000")
    settings = settings_report.load({"host": "::1"})
    sources = {
        name: settings_report.source(settings, name, frozenset({"host"}))
        for name in ("host", "port", "concurrency")
    }
    assert sources == {"host": "flag", "port": "environment", "concurrency": "default"}


def test_a_bad_value_is_named_by_the_variable_or_flag_that_set_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHORTLIST_PORT", "secret-looking")
    with pytest.raises(settings_report.BadSettingsError) as caught:
        settings_report.load({"concurrency": 0})
    assert "SHORTLIST_PORT: " in str(caught.value)
    assert "--concurrency: " in str(caught.value)
    assert "secret-looking" not in str(caught.value)


def test_a_misspelt_variable_is_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORTLIST_PROT", "9000")
    assert settings_report.warnings() == [
        "shortlist: SHORTLIST_PROT is set but is no setting. Did you mean SHORTLIST_PORT?"
    ]


def test_a_setting_that_was_retired_is_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORTLIST_ACCEPT_FLUSHERS", "4")
    monkeypatch.setenv("SHORTLIST_TRACE_SAMPLE_RATIO", "0.1")
    flushers, ratio = settings_report.warnings()
    assert flushers.endswith("SHORTLIST_ACCEPT_FLUSHERS is no setting any more and has no effect.")
    assert "SHORTLIST_TRACE_SAMPLE_RATIO has no effect" in ratio
    assert "OTEL_TRACES_SAMPLER_ARG" in ratio


def test_no_setting_is_retired() -> None:
    assert not {variable(name, Settings) for name in Settings.model_fields} & RETIRED.keys()


def test_what_a_supervisor_tells_a_process_is_not_printed() -> None:
    shown = settings_report.text(settings_report.load({})) + settings_report.markdown()
    assert "_FD" not in shown
    assert "INITIAL_GRANT" not in shown


def test_a_text_of_many_lines_takes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORTLIST_RUBRIC", "Ten points for Kubernetes.\nFive for Redis.\n")
    shown = settings_report.text(settings_report.load({}))
    assert "Ten points for Kubernetes. …" in shown
    assert len(shown.splitlines()) == len(settings_report._shown_fields(Settings))
