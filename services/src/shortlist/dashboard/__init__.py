"""The pages that people look at: read-only, and the first to give way.

``main.py`` starts the process, ``app.py`` holds the routes, ``reader.py`` reads at most once a
second however many look, ``view.py`` turns what was read into the texts of the page. Everything
the page needs comes from here: no third party's script, style or font. It works without scripts;
with them it updates itself.

All paths but ``/`` begin with ``/dashboard/``, so that ingest can pass them through on its port.
"""
