"""Maintenance: whatever got lost on the way is found here, and put back in the line.

Any number of replicas run; one leads, the others wait. Read in this order: ``leader`` is who may
do anything at all; ``context`` is what every agent works with; ``sweep`` finds what is lost (the
decision is in ``domain/line/sweep.py``); ``dead_workers`` has it sweep at once when a worker died;
``redis_loss`` notices that Redis forgot everything; ``retries`` publishes what is due;
``consumers`` and ``retention`` see to it that nothing grows without bound; ``gauges`` shows it;
``main`` puts them together. ``requeue`` is the command that revives failed applications.

It never writes without leading, and never decides that something is lost by one look alone while
a worker that could bring it forward may be alive.
"""
