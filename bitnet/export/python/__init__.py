"""Frozen nets as one file of Python."""
