"""`GET /health/ready` names each dependency that fails, with a reason and without addresses or keys."""

from types import SimpleNamespace
from typing import Any

import pytest

from functions.system import ready
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
