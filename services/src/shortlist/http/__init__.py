"""HTTP as every process serves it: connections, their bounds, the shape of an error."""
