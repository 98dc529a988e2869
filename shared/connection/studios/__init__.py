"""The labeling studios that a project can be connected with, behind one protocol."""
