"""What ingest may be told."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from shortlist.domain.networks import parse_networks
from shortlist.settings.base import PROTOCOL, CommonSettings


def _hops(value: Any) -> Any:
    """Accept ``true`` and ``false`` too, which were the only values once."""
    return {"true": 1, "false": 0}.get(value.lower(), value) if isinstance(value, str) else value


def _are_networks(text: str) -> str:
    parse_networks(text)
    return text


class IngestSettings(CommonSettings):
    """What ingest may be told."""

    private_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of its own for leaderboards, pages, /docs and /metrics; the public one"
        " answers 404 to these then. It serves everything else too.",
    )
    private_host: str = Field("127.0.0.1", description="Address that the private port is on.")
    private_listen_fd: int | None = Field(
        None,
        ge=3,
        json_schema_extra=PROTOCOL,
        description="A listening socket that was inherited, for the same.",
    )
    dashboard_url: str | None = Field(
        None, description="Where the dashboard listens; ingest passes pages through to it."
    )
    connection_limit: int = Field(
        16_000, ge=1, description="Connections open at once; a request on one more gets 503."
    )
    connection_limit_per_network: int | None = Field(
        None,
        ge=1,
        description="The same for the connections of one network; unset: half of all.",
    )
    client_memory_bytes: int | None = Field(
        None,
        ge=1 << 20,
        description="What connections and unfinished requests may take; unset: half of what the"
        " process may have, 1 GiB at most.",
    )
    client_ipv6_prefix: int = Field(
        64, ge=16, le=128, description="Bits that the IPv6 addresses of one client have in common."
    )
    trusted_proxies: Annotated[str, AfterValidator(_are_networks)] = Field(
        "",
        description="Addresses and networks of the proxies in front, split by commas: their"
        " X-Forwarded-For counts, and no limit of a network is theirs.",
    )
    body_limit_bytes: int = Field(65_536, ge=1, description="A longer request body gets 413.")
    body_timeout_seconds: float = Field(
        10.0, gt=0, description="A request that has not arrived whole by then gets 408."
    )
    commit_timeout_seconds: float = Field(
        1.5, gt=0, description="What Postgres has not committed or answered by then gets 503."
    )
    rate_limit_per_second: float = Field(
        0.0, ge=0, description="Requests per second and client that are answered; 0: no limit."
    )
    rate_limit_burst: int = Field(
        100, ge=1, description="Requests that a client may send at once before the rate counts."
    )
    trust_forwarded_for: Annotated[int, BeforeValidator(_hops)] = Field(
        0,
        ge=0,
        le=16,
        description="How many proxies in front append to X-Forwarded-For, whatever their addresses"
        " (`true`: 1).",
    )

    auth: Literal["on", "off"] = Field(
        "on",
        description="Whether `/api` asks clients for keys (`shortlist keys`); `off`: everything is"
        " open, to pages of any origin, too.",
    )
    scoring_auth: Literal["open", "lists", "all"] = Field(
        "open",
        description="What outside `/api` needs a key with the scope `scoring` on the public port:"
        " nothing; `lists`: leaderboards and pages, which tell about others; `all`: submitting and"
        " one's own application, too.",
    )
    public_rate_limit_per_second: float = Field(
        1.0,
        ge=0,
        description="Calls of `/api` that one address may make without a key, where none is needed;"
        " the network around it ten times as many; 0: no limit.",
    )
    public_rate_limit_burst: int = Field(
        60, ge=1, description="Such calls at once, before the rate counts."
    )

    hiring_connections: int = Field(
        4,
        ge=2,
        description="Connections to Postgres for `/api`: half of them write, the others read.",
    )

    @model_validator(mode="after")
    def _keys_close_nothing_when_off(self) -> Self:
        if self.auth == "off" and self.scoring_auth != "open":
            raise ValueError("SHORTLIST_SCORING_AUTH needs SHORTLIST_AUTH=on")
        return self

    @property
    def has_private_listener(self) -> bool:
        """Whether what is for staff has a listener of its own."""
        return self.private_port is not None or self.private_listen_fd is not None
