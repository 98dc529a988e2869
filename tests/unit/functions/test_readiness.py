"""`GET /health/ready` names each dependency that fails, with a reason and without addresses or keys."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from functions.system import ready
from shared.engines.base import Engine
from shared.engines.registry import Engines
from shared.storage.gateways.ports import StorageUnavailable
from tests.support.services import App, in_process
from tests.support.storage.memory import MemoryStorage


@pytest.fixture
def app() -> App:
    return in_process(MemoryStorage())


async def checked(app: App) -> tuple[int, Any]:
    call: Any = SimpleNamespace(container=app.container)
    reply = await ready(call)
    return reply.status, reply.data


async def test_all_is_well(app: App) -> None:
    status, data = await checked(app)
    assert (status, data["status"]) == (200, "ready")
    assert [(check["name"], check["status"]) for check in data["checks"]] == [
        ("tables", "ok"),
        ("blobs", "ok"),
        ("queues", "ok"),
        ("engine", "ok"),
    ]


@pytest.mark.parametrize(
    ("retryable", "reason"),
    [(True, "The service does not respond."), (False, "The storage account refuses the app.")],
)
async def test_storage_that_fails_is_named_and_the_others_are_checked(
    app: App, monkeypatch: pytest.MonkeyPatch, retryable: bool, reason: str
) -> None:
    async def fails(_: str) -> bool:
        raise StorageUnavailable("http://secret.example/key", retryable=retryable)

    monkeypatch.setattr(app.container.stores.artifacts, "exists", fails)
    status, data = await checked(app)
    assert (status, data["status"]) == (503, "notReady")
    assert [check for check in data["checks"] if check["status"] != "ok"] == [
        {"name": "blobs", "status": "failed", "reason": reason}
    ]


async def test_an_engine_without_its_settings_is_named(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = app.container.settings.model_copy(update={"default_engine": "azure-openai"})
    monkeypatch.setattr(app.container, "settings", settings)
    status, data = await checked(app)
    assert status == 503
    [failed] = [check for check in data["checks"] if check["status"] == "failed"]
    assert failed["name"] == "engine"
    assert "azure-openai" in failed["reason"]


async def test_an_engine_that_cannot_be_made_is_named(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> Engine:
        raise RuntimeError("secret")

    monkeypatch.setattr(app.container, "engines", Engines({app.container.settings.default_engine: fails}))
    status, data = await checked(app)
    assert status == 503
    reason = "The engine 'scripted' failed (RuntimeError). The log has the details."
    assert data["checks"][-1] == {"name": "engine", "status": "failed", "reason": reason}


async def test_a_check_without_an_answer_ends(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.system.CHECK_SECONDS", 0.01)

    async def waits(_: str) -> bool:
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr(app.container.stores.artifacts, "exists", waits)
    status, data = await checked(app)
    assert status == 503
    [failed] = [check for check in data["checks"] if check["status"] == "failed"]
    assert (failed["name"], failed["reason"]) == ("blobs", "There was no response within 0.01 seconds.")
