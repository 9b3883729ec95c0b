"""``python -m shortlist``: the command line, for those who have no scripts on their path."""

from __future__ import annotations

from shortlist.cli.main import main

if __name__ == "__main__":
    main()
