"""``python -m shortlist_operator``."""

from shortlist_operator.main import main

raise SystemExit(main())
