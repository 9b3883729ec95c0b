"""The hiring contract under ``/api``, served by FastAPI.

Read `gateway` first: what is asked before FastAPI has been loaded, and loads it. Then `app`, which
puts it together; `route`: what is common to all routes; and `routes`, a file for each resource.
Acts and reads are `shortlist.hiring`'s: what is here knows HTTP, and nothing of hiring's rules.
"""
