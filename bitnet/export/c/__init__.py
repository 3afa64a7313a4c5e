"""Frozen nets as C headers: `header` prints the file, the others the nodes of the graph."""
