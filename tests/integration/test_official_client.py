"""Azure's own client works against the host unchanged, in both of its forms."""

import pytest
from azure.ai.textanalytics.authoring import TextAuthoringClient, aio
from azure.ai.textanalytics.authoring.models import CreateProjectOptions, ProjectSettings
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError

from tests.support.api import unique
from tests.support.hosts import KEY, QUIET, Host


def options(name: str) -> CreateProjectOptions:
    return CreateProjectOptions(
        project_kind="CustomSingleLabelClassification",
        storage_input_container_name=f"{QUIET}-none",
        settings=ProjectSettings(confidence_threshold=0.7),
        project_name=name,
        multilingual=False,
        description="Made by the official client",
        language="en-us",
    )


def test_the_client_creates_reads_lists_and_deletes_a_project(host: Host) -> None:
    name = unique("official")
    with TextAuthoringClient(host.url, AzureKeyCredential(KEY)) as client:
        made = client.create_project(name, options(name))
        assert (made.project_name, made.project_kind) == (name, "CustomSingleLabelClassification")
        assert made.settings
        assert made.settings.confidence_threshold == 0.7

        read = client.get_project(name)
        assert read.as_dict() == made.as_dict()
        assert read.created_on.tzinfo is not None

        assert name in [project.project_name for project in client.list_projects()]
        assert [p.project_name for p in client.list_projects(top=1)]

        client.begin_delete_project(name).result()
        with pytest.raises(ResourceNotFoundError) as missing:
            client.get_project(name)
        assert missing.value.error
        assert missing.value.error.code == "ProjectNotFound"
        assert name not in [project.project_name for project in client.list_projects()]


async def test_the_client_creates_reads_lists_and_deletes_a_project_async(host: Host) -> None:
    name = unique("official")
    async with aio.TextAuthoringClient(host.url, AzureKeyCredential(KEY)) as client:
        made = await client.create_project(name, options(name))
        assert (await client.get_project(name)).as_dict() == made.as_dict()
        assert name in [project.project_name async for project in client.list_projects()]

        poller = await client.begin_delete_project(name)
        await poller.result()

        with pytest.raises(ResourceNotFoundError):
            await client.get_project(name)


@pytest.mark.parametrize(
    "version", ["2023-04-01", "2023-04-15-preview", "2024-11-15-preview", "2025-05-15-preview"]
)
def test_the_client_speaks_every_version(host: Host, version: str) -> None:
    name = unique("official")
    with TextAuthoringClient(host.url, AzureKeyCredential(KEY), api_version=version) as client:
        client.create_project(name, options(name))
        client.begin_delete_project(name).result()


def test_the_client_pages_through_many_projects(host: Host) -> None:
    prefix = unique("many")
    with TextAuthoringClient(host.url, AzureKeyCredential(KEY)) as client:
        names = [f"{prefix}-{n}" for n in range(7)]
        for name in names:
            client.create_project(name, options(name))
        listed = [p.project_name for p in client.list_projects() if p.project_name.startswith(prefix)]
        assert listed == names
        pages = list(client.list_projects(skip=1, top=3).by_page())
        assert sum(len(list(page)) for page in pages) == 3


def test_the_client_tells_apart_what_went_wrong(host: Host) -> None:
    with (
        TextAuthoringClient(host.url, AzureKeyCredential("wrong")) as stranger,
        pytest.raises(ClientAuthenticationError),
    ):
        stranger.get_project("p")
    with (
        TextAuthoringClient(host.url, AzureKeyCredential(KEY)) as client,
        pytest.raises(HttpResponseError) as refused,
    ):
        client.create_project("global", options("global"))
    assert refused.value.status_code == 400
    assert refused.value.error
    assert (refused.value.error.code, refused.value.error.target) == ("InvalidArgument", "projectName")
