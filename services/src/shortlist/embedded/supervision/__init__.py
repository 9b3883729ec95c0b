"""The processes that `shortlist up` starts, watches and replaces."""
