"""One transaction of hiring: lock, read, decide, write; and the groups that share one.

Read in this order: `asked` (what is asked for), `locking` (openings are locked, and read),
`translating` (asks become acts), `writing` (decisions become rows), `group` (asks on several
openings, decided in one transaction), `by_hand` (a company's act, which is one of its own),
`commits` (which asks share one, and what happens when Postgres breaks off in the middle),
`idempotency` (keys of calls that are repeated), `answering` (what is answered).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SESSION: Final[Mapping[str, str]] = {
    # Another's lock is waited for as long as a client is: 503 within 2 s, and nothing has changed.
    "lock_timeout": "1500",
    # A process that was stopped in the middle lets go of its openings; a statement takes 1.5 s.
    "idle_in_transaction_session_timeout": "3000",
    # Each statement finds its rows by an index. A plan that was made while a table was small would
    # read all of it, and outlives that.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""Settings of the sessions in which `Acts` are done."""
