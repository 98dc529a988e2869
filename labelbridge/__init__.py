"""The client and the command line of Labelbridge: what runs on the user's machine. Imports nothing of the app."""

__version__ = "0.1.0"
