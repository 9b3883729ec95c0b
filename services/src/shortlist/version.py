"""The version of both distributions and of the chart: written here, and nowhere else by hand."""

__version__ = "0.1.0"
