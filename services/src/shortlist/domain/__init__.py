"""The rules, without the machinery.

Standard library only; nothing here reads a clock, draws a random number, or does I/O: time
and chance are arguments.
"""
