"""The rules, without the machinery.

Standard library only, and msgspec for the types of documents. Nothing here reads a clock, draws a
random number, or does I/O: time and chance are arguments.
"""
