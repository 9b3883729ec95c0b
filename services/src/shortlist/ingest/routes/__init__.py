"""The routes of the front door, one module for each kind of call."""
