"""Tests against the app as a user runs it: one host, its event forwarder and one Azurite for the session."""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from shared.storage.gateways.clients import StorageClients
from tests.support.api import Project, client, unique
from tests.support.azurite import Azurite, azurite
from tests.support.hosts import QUIET, Host, host

__all__ = ["azurite", "host"]

type MakeProject = Callable[..., Awaitable[Project]]


@pytest.fixture
async def storage(azurite: Azurite, host: Host) -> AsyncIterator[StorageClients]:
    """The account that the host works on, under the host's names."""
    async with azurite.storage(host.prefix) as clients:
        yield clients


@pytest.fixture
async def http(host: Host) -> AsyncIterator[httpx.AsyncClient]:
    """The API, called with the key that holds every role."""
    async with client(host.url) as made:
        yield made


@pytest.fixture
def new_project(http: httpx.AsyncClient, storage: StorageClients) -> MakeProject:
    """Make a project with a container of its own; without `events=True` its uploads make no events."""

    async def make(kind: str | None = None, *, events: bool = False, create: bool = True) -> Project:
        container = unique("loud" if events else QUIET)
        await storage.blobs.create_container(container)
        name = unique("p")
        project = Project(http, storage.blobs, name, container, **({"kind": kind} if kind else {}))
        if create:
            await project.create()
        return project

    return make


@pytest.fixture
async def sample(new_project: MakeProject, http: httpx.AsyncClient, storage: StorageClients) -> Project:
    """A project for tests that change nothing: `a.txt` with a suggestion, `~Refund.txt` labeled by hand."""
    if _Sample.made is None:
        made = await new_project()
        await made.suggested({"a.txt": "@Refund:73 please"}, "Refund")
        _Sample.made = (made.name, made.container)
    return Project(http, storage.blobs, *_Sample.made)


class _Sample:
    made: tuple[str, str] | None = None
