"""What the tests and the load tests share.

`databases`: Postgres, Redis, and what stands before them; `proxies`: what refuses in their place;
`processes`: ours, as a test starts and breaks them; `operator` and `kubernetes`: the operator by
itself, and on a real cluster; `clients`: who talks to ingest; `faults`: what happens to all of
them; `unguarded`: the product without one of its guards; `observability`: who listens.
"""
