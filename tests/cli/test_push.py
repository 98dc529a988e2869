"""`labelbridge push` against a host with an Azure Language resource, which is a fake."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Cli
from tests.cli.test_commands import run
from tests.fakes.language import KEY, FakeLanguage, LanguageProject
from tests.fakes.server import serve_in_thread
from tests.integration.conftest import MakeProject
from tests.support.api import unique
from tests.support.azurite import Azurite
from tests.support.hosts import Host, running_host


@pytest.fixture(scope="module")
def service() -> Iterator[FakeLanguage]:
    fake = FakeLanguage()
    with serve_in_thread(fake.app()) as fake.address:
        yield fake


@pytest.fixture(scope="module")
def host(azurite: Azurite, service: FakeLanguage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder: Path = tmp_path_factory.mktemp("push")
    settings = {"LANGUAGE_ENDPOINT": service.address, "LANGUAGE_KEY": KEY}
    with running_host(azurite, unique("push").replace("-", "")[:14], folder, settings) as running:
        yield running


async def test_a_push_asks_first_and_tells_the_reason_or_the_deployment(
    cli: Cli, new_project: MakeProject, service: FakeLanguage
):
    project = await new_project()
    await project.define("Refund", "Login")
    cli.signed_in(project.name)
    assert "confirm with --yes" in (await run(cli, "push", status=8)).err
    assert not service.projects

    service.failing = {"train": ("NotEnoughDocuments", "At least 10 documents for each class are needed.")}
    failed = await run(cli, "push", "--yes", status=1)
    assert "At least 10 documents for each class are needed." in failed.err
    assert failed.out == ""

    service.failing = {}
    pushed = await run(cli, "push", "--as", "support", "--deployment", "live", "--manual", "--yes")
    assert pushed.out == (
        "Pushed 2 documents. Jobs with the engine 'azure-language' use the deployment support/live from now on.\n"
    )
    assert service.projects["support"].deployments == {"live": "labelbridge"}
    training = next(
        operation for operation in service.operations.values() if operation.kind == "train support"
    )
    assert training.body["evaluationOptions"] == {"kind": "manual"}

    started = await run(cli, "push", "--yes", "--no-wait", "--json")
    watched = await run(cli, "watch", started.json["jobId"], "--json")
    assert watched.json["status"] == "succeeded"


async def test_a_project_of_someone_else_is_replaced_only_with_the_option(
    cli: Cli, new_project: MakeProject, service: FakeLanguage
):
    project = await new_project()
    await project.define("Refund", "Login")
    cli.signed_in(project.name)
    service.projects["theirs"] = foreign = LanguageProject({"metadata": {}})
    refused = await run(cli, "push", "--as", "theirs", "--yes", status=6)
    assert "was not pushed from here" in refused.err
    assert service.projects["theirs"] is foreign
    await run(cli, "push", "--as", "theirs", "--replace", "--yes")
    assert service.projects["theirs"].deployments == {"labelbridge": "labelbridge"}
