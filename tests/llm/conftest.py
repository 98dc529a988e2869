"""A real server with OpenAI's API and a small model, made by `scripts/llm.sh`, and a host that asks it."""

import os
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from shared.storage.gateways.clients import StorageClients
from tests.integration.conftest import azurite, http, storage
from tests.support.api import Json, Project, unique
from tests.support.azurite import Azurite
from tests.support.hosts import QUIET, ROOT, Host, running_host
from tests.support.waiting import eventually

__all__ = ["azurite", "http", "storage"]

FOLDER = Path(os.environ.get("LLM_FOLDER") or ROOT / ".llm")
MODEL = "smollm2"

type MakeProject = Callable[..., Awaitable[Project]]


def serving(prefix: str, folder: Path) -> Iterator[str]:
    """llama-server on a free port under a path; its address without the path."""
    program, weights = FOLDER / "llama-server", next(FOLDER.glob("weights/**/*.gguf"), None)
    if not program.exists() or weights is None:
        pytest.skip("no server with a language model: run make test-llm")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "-m", weights, "--host", "127.0.0.1", "--port", str(port), "-c", "4096", "-np", "1"]
    # One thread: of several, each waits for the slowest at every token, and other processes make them slow.
    command += ["-t", "1", "--alias", MODEL, "--jinja", "--api-prefix", prefix]
    with (folder / "llama-server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


async def ready(url: str, prefix: str) -> None:
    """Wait until the model is loaded."""
    async with httpx.AsyncClient(verify=False) as asked:

        async def look() -> bool:
            try:
                return (await asked.get(f"{url}{prefix}/health")).status_code == 200
            except httpx.TransportError:
                return False

        await eventually("the language model", look, 120)


@pytest.fixture(scope="session")
def compatible(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server with OpenAI's API."""
    yield from serving("/openai", tmp_path_factory.mktemp("compatible"))


@pytest.fixture(scope="session")
def host(azurite: Azurite, compatible: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    settings = {
        "DEFAULT_ENGINE": "embedded",
        "OPENAI_BASE_URL": f"{compatible}/openai/v1",
        "OPENAI_MODEL": MODEL,
        "OPENAI_INPUT_PRICE": "1",
        "OPENAI_OUTPUT_PRICE": "1",
        "OPENAI_TIMEOUT_SECONDS": "300",
        "OPENAI_MAX_ANSWER_TOKENS": "80",  # a small model may repeat itself until its context is full
    }
    folder = tmp_path_factory.mktemp("llm")
    with running_host(azurite, unique("llm").replace("-", "")[:14], folder, settings) as running:
        yield running


@pytest.fixture
async def new_project(compatible: str, http: httpx.AsyncClient, storage: StorageClients) -> MakeProject:
    """A project with categories and no labels."""
    await ready(compatible, "/openai")

    async def make(kind: str, texts: dict[str, str], categories: list[Json]) -> Project:
        container = unique(QUIET)
        await storage.blobs.create_container(container)
        project = Project(http, storage.blobs, unique("p"), container, kind)
        await project.create()
        await project.upload(texts)
        await project.scan()
        answer = await http.put(f"{project.path}/categories", json={"value": categories})
        assert answer.status_code == 200, answer.text
        await project.registered(len(texts))
        return project

    return make
