"""The local Azure Functions host: a program for development and tests, never deployed.

Like `func start`, it runs any Python app with HTTP, queue, timer, Event Grid and blob triggers: it loads the app
through Microsoft's own worker library and runs its functions by the rules of the real host.

    python -m devhost host      the host alone, against a storage emulator that already runs
    python -m devhost events    Event Grid: posts events for what happens in the emulator's containers
    python -m devhost run       Azurite, the host and the events together, as `make run` starts them

Start reading at `host.py`. tests/devhost replays recordings of the real host; where this host differs, the list
of exceptions there says why.
"""
