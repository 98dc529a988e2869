"""Engines without a key sign in as the managed identity: azure-identity asks the endpoint of App Service for tokens."""

from collections.abc import AsyncIterator

import pytest

from shared.domain.jobs import JobStatus
from shared.runtime.container import service_engines
from shared.services.project_files.push import PushRequest
from shared.services.projects.categories import CategoryChange
from tests.fakes.identity import HEADER, TOKEN, FakeIdentity
from tests.fakes.language import FakeLanguage
from tests.fakes.openai import FakeOpenAI
from tests.fakes.server import serve
from tests.support.services import in_process, settings
from tests.support.storage.memory import MemoryStorage

RESOURCE = "https://cognitiveservices.azure.com"


@pytest.fixture
async def identity(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeIdentity]:
    fake = FakeIdentity()
    async with serve(fake.app()) as url:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", HEADER)
        for name in (
            "AZURE_CLIENT_ID",
            "AZURE_TENANT_ID",
            "AZURE_CLIENT_SECRET",
            "IDENTITY_SERVER_THUMBPRINT",
        ):
            monkeypatch.delenv(name, raising=False)
        yield fake


@pytest.mark.parametrize("client", ["", "5e29463d-71da-4fe0-8e69-999b57db23b0"])
async def test_azure_openai_without_a_key(
    identity: FakeIdentity, storage: MemoryStorage, client: str
) -> None:
    """`client`: a user-assigned identity."""
    fake = FakeOpenAI(key="another", token=TOKEN)
    async with serve(fake.app()) as url:
        given = settings(
            azure_openai_endpoint=url,
            azure_openai_deployment="fake-model",
            website_site_name="app",
            **({"azurewebjobsstorage__clientid": client} if client else {}),
        )
        app = in_process(storage, engines=service_engines(given))
        await app.create(on_upload=False)
        await app.container.categories.put("p", [CategoryChange("Login")], "me")
        await app.upload({"a.txt": "@Login"})
        await app.drain()
        job = await app.autolabel(engine="azure-openai")
        await app.container.engines.get("azure-openai").aclose()  # type: ignore[attr-defined]
    assert job.status is JobStatus.SUCCEEDED, job.errors
    assert (identity.asked, identity.clients) == ([RESOURCE], [client])
    assert len(fake.requests) == 1


async def test_azure_language_without_a_key(identity: FakeIdentity, storage: MemoryStorage) -> None:
    fake = FakeLanguage()
    fake.key, fake.token = "another", TOKEN
    async with serve(fake.app()) as url:
        names = {"language_endpoint": url, "language_project": "support", "language_deployment": "live"}
        given = settings(**names, website_site_name="app")
        app = in_process(
            storage, engines=service_engines(given), language_endpoint=url, website_site_name="app"
        )
        await app.create(on_upload=False)
        await app.upload({"a.txt": "@Login:90", "b.txt": "labeled"})
        await app.drain()
        await app.label("b.txt", "Login")
        job = await app.autolabel(engine="azure-language")
        await app.container.push.start("p", PushRequest(), "push")
        await app.drain()
        push = await app.container.push.get("p", "push")
        await app.container.engines.get("azure-language").close()  # type: ignore[attr-defined]
        await app.container.push._authoring.close()
    assert job.status is JobStatus.SUCCEEDED, job.errors
    assert push.status is JobStatus.SUCCEEDED, push.errors
    assert identity.asked == [RESOURCE] * 2  # by the engine, and by the push, once each
