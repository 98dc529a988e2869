"""The local Azure Functions host: a program for development and tests, never deployed.

It plays the part of `func start`: it loads a function app through Microsoft's own worker library and gives it
HTTP, queue, timer, Event Grid and blob triggers by the rules of the real host.

    python -m devhost host      the host alone, against a storage emulator that already runs
    python -m devhost events    the part of Event Grid: events for what happens in the emulator's containers
    python -m devhost run       Azurite, the host and the events together, as `make run` starts them

Start reading at `host.py`.
"""
