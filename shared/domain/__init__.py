"""The rules of Labelbridge: pure data and functions, no I/O, no clock, no environment."""
