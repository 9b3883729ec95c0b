"""The version that is installed, as ``services/pyproject.toml`` has it."""

from importlib.metadata import version

__version__ = version("shortlist")
