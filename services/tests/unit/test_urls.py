"""URLs of servers: any password works or is refused, and is in no message."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shortlist.settings import BadSettingsError, Settings, load
from shortlist.urls import (
    BadUrlError,
    DatabaseUrl,
    RedisUrl,
    ServerUrl,
    database,
    redis,
    without_credentials,
)
from shortlist.urls.parts import ENCODE
from testkit.databases.passwords import AWKWARD, fragments

PLACES: dict[str, type[ServerUrl]] = {
    "postgresql://app:{}@db.example:5432/shortlist": DatabaseUrl,
    "postgres://app:{}@[::1]/shortlist?sslmode=require&pgbouncer=true": DatabaseUrl,
    "postgresql://app:{}@/shortlist?host=%2Frun%2Fpostgresql": DatabaseUrl,
    "redis://default:{}@cache.example:6379/0": RedisUrl,
    "rediss://:{}@cache.example?ssl_cert_reqs=none": RedisUrl,
    "unix://u:{}@/run/redis.sock?db=1": RedisUrl,
}

passwords = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1
)


@pytest.mark.parametrize("place", PLACES)
@given(password=passwords)
@example("%41")
@example("a+b c")
@example("12345@")
def test_a_password_that_is_encoded_arrives_as_it_is(place: str, password: str) -> None:
    url = PLACES[place](place.format(quote(password, safe="")))
    assert url.arguments()["password"] == password  # type: ignore[attr-defined]


@pytest.mark.parametrize("place", PLACES)
@given(password=passwords)
@example("12/34@56")
@example("12?a=34")
@example("12#34")
def test_a_password_that_is_not_encoded_arrives_or_is_refused(place: str, password: str) -> None:
    try:
        url = PLACES[place](place.format(password))
    except BadUrlError:
        return
    if "%" not in password:  # %41 is an A, whatever was meant
        assert url.arguments()["password"] == password  # type: ignore[attr-defined]


@pytest.mark.parametrize("password", AWKWARD)
@pytest.mark.parametrize("place", PLACES)
def test_neither_a_message_nor_what_is_shown_has_a_part_of_a_password(
    place: str, password: str
) -> None:
    for written in (password, quote(password, safe=""), quote(password)):
        text = place.format(written)
        try:
            url = PLACES[place](text)
            said = f"{url} {url!r} {url.shown} {vars(Settings())}"
        except BadUrlError as error:
            said = f"{error} {error!r} {error.__cause__!r}"
        masked = without_credentials(f"it is {text}")
        assert not [f for f in fragments(password) if f in said + masked], said


@pytest.mark.parametrize("password", AWKWARD)
def test_the_settings_name_the_variable_and_nothing_of_its_value(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for (place, kind), how in itertools.product(PLACES.items(), ("variable", "flag")):
        name = "database_url" if kind is DatabaseUrl else "redis_url"
        text = place.format(password)
        monkeypatch.setenv(name.upper(), text if how == "variable" else "")
        try:
            settings = load(Settings, {name: text} if how == "flag" else {})
        except BadSettingsError as error:
            said = str(error)
            assert said.startswith(
                f"{name.upper()}: " if how == "variable" else f"--{name}: ".replace("_", "-")
            )
        else:
            said = f"{settings!r} {settings} {settings.model_dump_json()}"
        assert not [f for f in fragments(password) if f in said], said
        monkeypatch.delenv(name.upper())


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        # Neon, Supabase, Heroku, Render, Aiven, CloudNativePG's `uri`, SQLAlchemy, Prisma, Django
        ("postgres://u:p@ep-1.neon.tech/d?sslmode=require&channel_binding=require", {"ssl": True}),
        ("postgres://u:p@h/d?sslmode=verify-full&sslrootcert=system", {"ssl": True}),
        ("postgres://u:p@h/d?sslmode=require", {"dsn": "postgresql://?sslmode=require"}),
        ("postgres://u:p@h/d?ssl=true", {"dsn": "postgresql://?sslmode=require"}),
        ("postgres://u:p@h/d?sslmode=prefer", {"dsn": "postgresql://?sslmode=prefer"}),
        ("postgresql://app:p@c-rw.ns:5432/app", {"host": ["c-rw.ns"], "port": [5432]}),
        ("postgresql+asyncpg://u:p@h/d", {"user": "u", "database": "d"}),
        ("postgresql+psycopg://u:p@h/d", {"user": "u", "database": "d"}),
        ("postgresql+psycopg2://u:p@h/d", {"user": "u", "database": "d"}),
        ("POSTGRES://u:p@h/d", {"user": "u", "database": "d"}),
        ("  postgres://u:p@h/d\n", {"password": "p", "database": "d"}),
        ("postgres://u:p@h/d?connect_timeout=10&application_name=x&connection_limit=5", {}),
        ("postgres://u:p@h/d?schema=public&pool_timeout=0&statement_cache_size=0", {}),
        ("postgres://u:p@a:1,b:2/d?target_session_attrs=any", {"target_session_attrs": "any"}),
        ("postgres://u:p@a,b/d", {"host": ["a", "b"], "target_session_attrs": "read-write"}),
        ("postgres://u:p@[::1]:5433/d", {"host": ["::1"], "port": [5433]}),
        ("postgres://u:p@[fe80::1],h:5433/d", {"host": ["fe80::1", "h"], "port": [5432, 5433]}),
        ("postgres:///d?host=/run/pg,/tmp&user=u&password=p", {"host": ["/run/pg", "/tmp"]}),
        ("postgres://%2Frun%2Fpg/d", {"host": ["/run/pg"], "database": "d"}),
        ("postgres://u%40x:p@h/my%20d", {"user": "u@x", "database": "my d"}),
        ("postgres://h?dbname=d&port=6432", {"database": "d", "port": [6432]}),
        ("postgresql:///d", {"database": "d"}),
    ],
)
def test_what_providers_hand_out_is_understood(url: str, expected: dict[str, Any]) -> None:
    arguments = DatabaseUrl(url).arguments()
    assert {name: arguments.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("jdbc:postgresql://h/d?user=u&password=p", "is for Java"),
        ("mysql://u:p@h/d", "has to begin with postgresql://"),
        ("host=h dbname=d password=p", "has to begin with postgresql://"),
        ('"postgres://u:p@h/d"', "quotation mark"),
        ("postgres://u:p@h/d?sslmode=on", "sslmode that is none of"),
        ("postgres://u:p@h/d?sslmode=disable&channel_binding=require", "needs TLS"),
        ("postgres://u:p@h/d?sslmode=verify-full&sslrootcert=/nowhere/ca.crt", "cannot be read"),
        ("postgres://u:p@h/d?sslmode=require&sslrootcert=system", "verify-full"),
        ("postgres://u:p@h/d?pgbouncer=yes", "pgbouncer that is none of"),
        ("postgres://u:p@h/d?target_session_attrs=master", "none of any, primary"),
        ("postgres://u:p@h/d?schema=tenant", "options=-csearch_path"),
        ("postgres://u:p@h/d?client_encoding=latin1", "only UTF8"),
        ("postgres://u:p@h/d?gssencmode=require", "disable or prefer"),
        ("postgres://u:p@h/d?hostaddr=10.0.0.1", "hostaddr"),
        ("postgres://u:p@h/d?unheard=of", "not known"),
        ("postgres://u:p@h/d?unheard", "parameter without a value"),
        ("postgres://u:p@fe80::1/d", "in brackets"),
        ("postgres://u:p@[nonsense]/d", "no IPv6 address"),
        ("postgres://u:p@h:0/d", "port"),
        ("postgres://u:p@h:99999/d", "port"),
        ("postgres://u:p@h,,i/d", "host"),
        ("postgres://u:%00@h/d", "NUL"),
        ("postgres://u:%ff@h/d", "UTF-8"),
        ("postgres://u:p\tq@h/d", "control character"),
    ],
)
def test_what_is_not_supported_is_refused_in_a_sentence(url: str, words: str) -> None:
    with pytest.raises(BadUrlError, match=re.escape(words)):
        DatabaseUrl(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h", {"host": "h", "port": 6379, "db": 0}),
        ("redis://:p@h:1/2", {"username": None, "password": "p", "port": 1, "db": 2}),
        ("redis://default:p@h", {"username": "default", "password": "p"}),
        ("redis://h?db=3&password=p&socket_timeout=5", {"db": 3, "password": "p"}),
        ("rediss://h", {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True}),
        ("rediss://h?ssl_cert_reqs=none", {"ssl_cert_reqs": "none", "ssl_check_hostname": False}),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", {"ssl_cert_reqs": "none"}),
        ("valkeys://h", {"ssl": True}),
        ("redis://[::1]:6380", {"host": "::1", "port": 6380}),
        ("unix:///run/redis.sock?db=1", {"unix_socket_path": "/run/redis.sock", "db": 1}),
        ("unix://u:p@/run/my%20redis.sock", {"username": "u", "password": "p"}),
    ],
)
def test_what_providers_of_redis_hand_out_is_understood(url: str, expected: dict[str, Any]) -> None:
    arguments = RedisUrl(url).arguments()
    assert {name: arguments.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://h", "has to begin with redis://"),
        ("h:6379", "has to begin with redis://"),
        ("redis://a,b", "several hosts"),
        ("redis://h/abc", "database that is no number"),
        ("redis://h?unheard=of", "not known"),
        ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs"),
        ("rediss://h?ssl_ca_certs=/nowhere", "cannot be read"),
        ("redis://h?ssl_cert_reqs=none", "not known"),
        ("unix://run/redis.sock", "no path of a socket"),
    ],
)
def test_what_is_not_supported_of_redis_is_refused(url: str, words: str) -> None:
    with pytest.raises(BadUrlError, match=re.escape(words)):
        RedisUrl(url)


def test_options_reach_the_session_and_a_pooler_is_seen() -> None:
    url = DatabaseUrl("postgres://u:p@h/d?options=endpoint%3Dep-1&pgbouncer=true")
    assert url.startup == {"options": "endpoint=ep-1"}
    assert url.pooler is not None


@pytest.mark.parametrize("how", ["setting", "url"])
def test_one_place_knows_of_the_pooler_whichever_way_it_was_told(how: str) -> None:
    query, told = ("", True) if how == "setting" else ("?pgbouncer=true", False)
    settings = Settings(
        database_url=f"postgres://u:p@h/d{query}", pgbouncer=told, pgbouncer_connections=400
    )
    assert settings.database_url.pooler is not None
    assert settings.database_url.pooler.client_connections == 400


def test_certificates_that_are_there_are_passed_on(tmp_path: Path) -> None:
    root = tmp_path / "ca & co.crt"
    root.touch()
    url = DatabaseUrl(f"postgres://u:p@h/d?sslmode=verify-ca&sslrootcert={quote(str(root))}")
    assert quote(str(root), safe="") in url.arguments()["dsn"]


def test_an_empty_url_is_none() -> None:
    with pytest.raises(BadSettingsError, match=r"^DATABASE_URL and REDIS_URL not set: no server"):
        load(Settings, {"database_url": "", "redis_url": " "}, (("database_url",), ("redis_url",)))
    assert ENCODE not in str(DatabaseUrl(""))


def test_the_page_of_servers_has_every_parameter() -> None:
    page = (Path(__file__).parents[3] / "docs" / "servers.md").read_text(encoding="utf-8")
    known = {*database._PASSED, *database._WITHOUT_MEANING, *database._ONLY_SO, *redis._TLS}
    assert sorted(name for name in known if f"`{name}`" not in page) == []
