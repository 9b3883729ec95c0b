"""The command line: one command for each process, and a few for people.

Nothing heavy is imported before a command needs it, so that ``--help`` answers at once. Every
setting comes from the environment (``shortlist settings``); a flag overrides it.

``main`` starts here, ``app`` lists the commands, ``processes`` and ``tools`` are what they do, and
``options`` are the flags that several share. Exit codes: `shortlist.runtime.exit_codes`.
"""
