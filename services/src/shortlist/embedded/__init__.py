"""Everything on one machine: servers from wheels, a supervisor, a panel. No root, no containers."""
