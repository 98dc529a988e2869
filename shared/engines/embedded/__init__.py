"""The embedded engine: small models, trained in seconds on this machine, without a network.

The package imports nothing heavy; numpy and scipy come with `models`, when a model is first needed.
"""
