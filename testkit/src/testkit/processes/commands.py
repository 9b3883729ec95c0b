"""Commands as a person types them, to their end."""

from __future__ import annotations

import os
import subprocess
import sys


def shortlist(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``shortlist ARGUMENTS``, with more of an environment."""
    return subprocess.run(
        [sys.executable, "-m", "shortlist", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=60,
        check=False,
    )
