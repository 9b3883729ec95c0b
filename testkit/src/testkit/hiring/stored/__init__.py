"""The product on a database of a test's own: its clock, an opening, two who race."""
