"""A frozen net as one file of Python."""
