"""A process of its own for each application that may end its worker."""
