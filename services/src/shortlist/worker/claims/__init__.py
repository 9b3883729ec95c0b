"""The right to score one application, in both connection modes, behind one interface.

Read ``store`` first: what a worker can do with a claim, and how it gets one. ``per_job`` keeps a
connection for the whole score; its session lock is the claim's life. ``per_write`` borrows
connections for milliseconds; the worker's lease is the claim's life. A verdict is written only
while its claim is the latest of its application, in both.
"""
