"""Our processes as a test starts, watches and breaks them."""
