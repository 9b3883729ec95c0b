"""Python runs this file at its start when its folder is in PYTHONPATH: it switches guards off.

`testkit.processes.stack.Stack.start(role, unguarded="name")` asks for it. The product knows nothing
of it. A patch whose target is gone ends the process, so that no off-switch test passes for that
reason.
"""

from __future__ import annotations

import os
import sys
import traceback


def _switch_off(names: list[str]) -> None:
    from guards import GUARDS  # noqa: PLC0415 (only a process that asks pays for the imports)

    for name in names:
        GUARDS[name]()
        print(f"guard switched off by a test: {name}", file=sys.stderr)  # noqa: T201


if os.environ.get("UNGUARDED"):
    try:
        _switch_off(os.environ["UNGUARDED"].split(","))
    except BaseException:  # Python would print any other end of this file, and go on
        traceback.print_exc()
        os._exit(70)
