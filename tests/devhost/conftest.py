import subprocess

import pytest

from tests.devhost.support import Storage, azurite_program, free_ports, running_host, until


@pytest.fixture(scope="session")
def storage(tmp_path_factory):
    """One Azurite for the session, in memory."""
    port = free_ports(3)
    ports = [f"--{name}Port={port + offset}" for offset, name in enumerate(("blob", "queue", "table"))]
    options = ["--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    output = tmp_path_factory.mktemp("azurite") / "output"
    with output.open("wb") as file:
        process = subprocess.Popen([azurite_program(), *ports, *options], stdout=file, stderr=file)
    try:
        until(lambda: output.read_text().count("successfully listening") == 3, 120)
        store = Storage(port)
        yield store
        store.close()
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="session")
def host(storage, tmp_path_factory):
    """The sample app, for all tests that neither stop it nor start it in some other way."""
    with running_host(storage, tmp_path_factory.mktemp("host")) as running:
        yield running


@pytest.fixture
def orders(host) -> str:
    """Name of the queue that `order` listens to."""
    return host.environment["ORDERS_QUEUE"]
