"""A real cluster: namespaces, the chart as a release, pipelines."""
