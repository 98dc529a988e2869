"""A push goes step by step through messages that may be lost, doubled or late; the official client does the calls."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.document import ANY_VERSION, document_id
from shared.domain.errors import Conflict, InvalidArgument, Unavailable
from shared.domain.jobs import Job, JobKind, JobStatus
from shared.domain.labels import EntityLabel, Labels, Region
from shared.domain.names import ProjectKind
from shared.domain.project import DeployedModel
from shared.domain.training import SplitKind, SplitOptions
from shared.engines.azure_language.engine import NAME, AzureLanguageEngine
from shared.engines.azure_language.service import LanguageOptions
from shared.services.autolabel.service import AutolabelRequest
from shared.services.project_files.push import PushRequest
from shared.services.projects.categories import CategoryChange
from tests.fakes.faults import Fault
from tests.fakes.language import AUTHORING, KEY, FakeLanguage, LanguageProject
from tests.fakes.server import serve
from tests.support.services import App, Clock, in_process, result_json
from tests.support.storage.memory import MemoryStorage


@pytest.fixture
async def service() -> AsyncIterator[FakeLanguage]:
    fake = FakeLanguage()
    async with serve(fake.app()) as fake.address:
        yield fake


@pytest.fixture
async def app(service: FakeLanguage, storage: MemoryStorage, clock: Clock) -> App:
    """A project with two labeled documents and one without labels."""
    app = in_process(storage, clock, language_endpoint=service.address, language_key=KEY)
    await app.create(on_upload=False)
    await app.upload({"a.txt": "first", "b.txt": "second", "c.txt": "third"})
    await app.drain()
    await app.label("a.txt", "Refund")
    await app.label("b.txt", "Login")
    return app


async def start(app: App, job_id: str = "push", **request: Any) -> Job:
    return await app.container.push.start(app.name, PushRequest(**request), job_id)


async def deliver(app: App, clock: Clock) -> None:
    """Deliver the next message, when its time has come."""
    clock.move(301)
    await app.deliver(*app.sent.waiting.popleft())


async def to_end(app: App, clock: Clock, job_id: str = "push") -> Job:
    while app.sent.waiting:
        await deliver(app, clock)
    return await app.container.push.get(app.name, job_id)


def begun(service: FakeLanguage) -> list[int]:
    """How many imports, trainings and deployments were begun."""
    return [
        sum(1 for o in service.operations.values() if o.kind == f"{k} p")
        for k in ("import", "train", "deploy")
    ]


async def test_a_push_imports_trains_deploys_and_registers_the_model(app, service, clock):
    service.polls = 2
    await start(app)

    job = await to_end(app, clock)

    assert (job.status, job.errors) == (JobStatus.SUCCEEDED, ())
    assert result_json(job) == {
        "projectName": "p",
        "deploymentName": "labelbridge",
        "modelLabel": "labelbridge",
        "step": "deploy",
        "percentComplete": 100,
        "documents": 3,
    }
    assert service.projects["p"].deployments == {"labelbridge": "labelbridge"}
    deployed = DeployedModel("p", "labelbridge", 0, service.address)
    assert (await app.container.projects.get("p")).deployed == deployed
    assert begun(service) == [1, 1, 1]
    assert service.calls[f"GET {AUTHORING}p/train/jobs"] == 0  # only a repeat looks for a training


async def test_the_file_is_the_one_that_azure_documents(app, service, clock):
    await start(app)

    await to_end(app, clock)

    file = service.projects["p"].file
    assert file["metadata"] == {
        "projectKind": "CustomSingleLabelClassification",
        "storageInputContainerName": "docs",
        "settings": {"confidenceThreshold": 0.0},
        "projectName": "p",
        "multilingual": False,
        "description": "",
        "language": "en-us",
    }
    assert file["assets"]["classes"] == [{"category": "Refund"}, {"category": "Login"}]
    documents = {entry["location"]: entry for entry in file["assets"]["documents"]}
    assert documents["a.txt"] == {
        "location": "a.txt",
        "language": "en-us",
        "dataset": "Train",
        "class": {"category": "Refund"},
    }
    assert "class" not in documents["c.txt"]


async def test_names_and_the_split_are_the_callers(app, service, clock):
    await start(
        app,
        project_name="other",
        deployment_name="live",
        model_label="m1",
        split=SplitOptions(SplitKind.MANUAL),
    )

    await to_end(app, clock)

    [training] = [o for o in service.operations.values() if o.kind == "train other"]
    assert training.body == {
        "modelLabel": "m1",
        "trainingConfigVersion": "latest",
        "evaluationOptions": {"kind": "manual"},
    }
    assert service.projects["other"].deployments == {"live": "m1"}
    assert (await app.container.projects.get("p")).deployed == DeployedModel(
        "other", "live", 0, service.address
    )


async def test_every_message_twice_begins_everything_once(app, service, clock):
    service.polls = 2
    await start(app)
    while app.sent.waiting:
        message = app.sent.waiting.popleft()
        clock.move(301)
        await app.deliver(*message)
        await app.deliver(*message)

    job = await app.container.push.get("p", "push")

    assert job.status is JobStatus.SUCCEEDED
    assert begun(service) == [1, 1, 1]
    assert len(app.delivered) < 40  # a doubled message does not go on by itself


@pytest.mark.parametrize("path", [":import", ":train", "deployments/"])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_call_whose_answer_is_lost_leads_to_the_same_end(app, service, clock, path, moment):
    service.polls = 1
    service.faults = [Fault(f"{AUTHORING}p/{path}", cut=moment)]
    await start(app)

    job = await to_end(app, clock)

    assert job.status is JobStatus.SUCCEEDED
    assert begun(service)[1] == 1
    assert service.projects["p"].deployments == {"labelbridge": "labelbridge"}


async def test_a_lost_message_is_sent_again_by_the_sweep(app, service, clock):
    service.polls = 1
    await start(app)
    await deliver(app, clock)
    app.sent.waiting.clear()
    clock.move(301)

    await app.container.maintenance.sweep()

    assert (await to_end(app, clock)).status is JobStatus.SUCCEEDED
    assert begun(service) == [1, 1, 1]


@pytest.mark.parametrize("step", ["import", "train", "deploy"])
async def test_a_step_that_fails_ends_the_push_with_the_services_reason(app, service, clock, step):
    service.failing = {step: ("InvalidArgument", "The service does not like it.")}
    await start(app)

    job = await to_end(app, clock)

    assert job.status is JobStatus.FAILED
    assert [(e.code, e.message, e.target) for e in job.errors] == [
        ("InvalidArgument", "The service does not like it.", step)
    ]
    assert (await app.container.projects.get("p")).deployed is None


async def test_a_refused_call_ends_the_push_with_the_services_reason(app, service, clock):
    service.key = "another"
    await start(app)

    job = await to_end(app, clock)

    assert job.status is JobStatus.FAILED
    assert job.errors[0].message == "Access denied due to invalid subscription key."


async def test_progress_tells_the_step_and_what_it_waits_for(app, service, clock):
    service.polls = 1
    service.faults = [Fault(f"POST {AUTHORING}p/:train", status=429, retry_after=17)]
    await start(app)
    seen = []
    while app.sent.waiting:
        await deliver(app, clock)
        result = result_json(await app.container.push.get("p", "push"))
        seen.append((result["step"], result["percentComplete"], "429" in result.get("waitingFor", "")))

    assert ("train", 10, True) in seen
    assert ("train", 50, False) in seen
    percents = [percent for _, percent, _ in seen]
    assert percents == sorted(percents)
    assert seen[-1] == ("deploy", 100, False)


async def test_the_pauses_grow_and_follow_the_service(app, service, clock):
    sent: list[int] = []
    inner = app.sent.send

    async def send(queue: str, body: str, *, delay: int = 0) -> None:
        sent.append(delay)
        await inner(queue, body, delay=delay)

    app.sent.send = send
    service.polls = 8
    await start(app)
    while (await app.container.push.get("p", "push")).result.step == "import":
        await deliver(app, clock)
    assert sent[:8] == [0, 1, 2, 4, 8, 16, 32, 60]

    service.retry_after = 90
    await deliver(app, clock)
    assert sent[-1] == 90


async def test_a_training_of_someone_else_is_waited_for(app, service, clock):
    service.polls = 3
    await start(app)
    while (await app.container.push.get("p", "push")).result.step == "import":
        await deliver(app, clock)
        if service.projects.get("p") and begun(service)[1] == 0:
            service.faults = [Fault(f"POST {AUTHORING}p/:train", status=409, times=2)]

    assert "as the test asked" in (await app.container.push.get("p", "push")).result.waiting_for
    assert (await to_end(app, clock)).status is JobStatus.SUCCEEDED


async def test_a_step_that_takes_too_long_fails_with_what_it_waited_for(app, service, clock):
    service.faults = [Fault(f"{AUTHORING}p/:import", status=503, times=10_000)]
    await start(app)

    job = await to_end(app, clock)

    assert job.status is JobStatus.FAILED
    assert job.errors[0].code == "Timeout"
    assert "503" in job.errors[0].message
    assert job.updated - job.created > timedelta(hours=2)


async def test_a_cancelled_push_cancels_the_training_and_registers_nothing(app, service, clock):
    service.polls = 5
    await start(app)
    while begun(service)[1] == 0:
        await deliver(app, clock)

    cancelled = await app.container.push.cancel("p", "push")

    assert cancelled.status is JobStatus.CANCELLED
    [training] = [o for o in service.operations.values() if o.kind == "train p"]
    assert training.status == "cancelled"
    assert (await to_end(app, clock)).status is JobStatus.CANCELLED
    assert begun(service)[2] == 0
    assert (await app.container.projects.get("p")).deployed is None


@pytest.mark.parametrize("step", ["_file", "_save"])
async def test_a_push_that_is_canceled_while_its_file_is_made_imports_nothing(
    app, service, clock, monkeypatch, step
):
    """Between the note that the import begins and the import there is time for a cancel."""
    push = app.container.push
    before = getattr(push, step)

    async def canceled_meanwhile(*arguments: Any) -> Any:
        made = await before(*arguments)
        await push.cancel("p", "push")
        return made

    monkeypatch.setattr(push, step, canceled_meanwhile)
    await start(app)

    assert (await to_end(app, clock)).status is JobStatus.CANCELLED
    assert service.projects == {}


async def test_a_training_that_begins_while_the_push_is_canceled_is_canceled_too(
    app, service, clock, monkeypatch
):
    push = app.container.push
    before = push._authoring.begin_train

    async def canceled_meanwhile(*arguments: Any) -> str:
        operation = await before(*arguments)
        await push.cancel("p", "push")
        return operation

    monkeypatch.setattr(push._authoring, "begin_train", canceled_meanwhile)
    service.polls = 5
    await start(app)

    assert (await to_end(app, clock)).status is JobStatus.CANCELLED
    assert [o.status for o in service.operations.values() if o.kind == "train p"] == ["cancelled"]


async def test_where_a_push_would_go_is_known_before(app, storage, clock, service):
    target = await app.container.push.target("p")
    await start(app, deployment_name="live")
    await to_end(app, clock)
    again = await app.container.push.target("p")
    other = in_process(storage, clock, language_deployment="production")
    without = await other.container.push.target("p")

    assert (target.endpoint, target.project_name, target.deployment_name) == (
        service.address, "p", "labelbridge",
    )  # fmt: skip
    assert (target.model_label, target.unavailable, target.replaces) == ("labelbridge", None, False)
    assert again.replaces
    assert without.deployment_name == "production"
    assert "LANGUAGE_ENDPOINT" in (without.unavailable or "")


async def test_a_project_of_someone_else_is_replaced_only_when_that_is_asked_for(app, service, clock):
    service.projects["p"] = foreign = LanguageProject({"metadata": {"projectName": "p"}})
    assert not (await app.container.push.target("p")).replaces

    with pytest.raises(Conflict, match='"replace": true') as refused:
        await start(app)
    assert refused.value.target == "projectName"
    assert await app.container.push.list("p") == []
    assert service.projects["p"] is foreign

    await start(app, "replacing", replace=True)
    assert (await to_end(app, clock, "replacing")).status is JobStatus.SUCCEEDED
    assert (await app.container.push.target("p")).replaces
    await start(app, "again")
    assert (await to_end(app, clock, "again")).status is JobStatus.SUCCEEDED


async def test_a_deployment_of_someone_else_is_replaced_only_when_that_is_asked_for(app, service, clock):
    await start(app)
    await to_end(app, clock)
    service.projects["p"].deployments["production"] = "theirs"

    with pytest.raises(Conflict) as refused:
        await start(app, "second", deployment_name="production")
    assert refused.value.target == "deploymentName"
    await start(app, "third", deployment_name="new")
    assert (await to_end(app, clock, "third")).status is JobStatus.SUCCEEDED
    assert service.projects["p"].deployments["production"] == "theirs"

    await start(app, "fourth", deployment_name="production", replace=True)
    assert (await to_end(app, clock, "fourth")).status is JobStatus.SUCCEEDED
    assert service.projects["p"].deployments["production"] == "labelbridge"


async def test_what_was_pushed_stays_ours_when_the_job_has_been_deleted(app, service, clock):
    """Ended jobs are deleted after seven days."""
    await start(app)
    await to_end(app, clock)
    clock.move(8 * 86_400)
    await app.container.maintenance.reconcile()
    await app.drain()
    assert await app.container.push.list(app.name) == []
    assert (await app.container.push.target(app.name)).replaces

    await start(app, "next-week")

    assert (await to_end(app, clock, "next-week")).status is JobStatus.SUCCEEDED
    assert begun(service) == [2, 2, 2]


async def test_what_a_push_that_failed_imported_is_ours(app, service, clock):
    service.failing = {"train": ("Few", "Too few documents.")}
    await start(app)
    assert (await to_end(app, clock)).status is JobStatus.FAILED
    service.failing = {}
    await start(app, "again")
    assert (await to_end(app, clock, "again")).status is JobStatus.SUCCEEDED


async def test_a_resource_that_does_not_say_what_it_has_is_not_written_to(app, service, clock):
    service.faults = [Fault(f"GET {AUTHORING}p", status=500, times=1)]
    with pytest.raises(Unavailable):
        await start(app)
    service.faults = [Fault(f"GET {AUTHORING}p", status=403, times=1)]
    job = await start(app, "forbidden")
    job = await app.container.push.get("p", job.id)
    assert (job.status, [error.target for error in job.errors]) == (JobStatus.FAILED, ["import"])
    assert begun(service) == [0, 0, 0]


async def test_one_push_at_a_time(app, service, clock):
    service.polls = 1
    await start(app)
    with pytest.raises(Conflict, match="already running"):
        await start(app, "second")
    assert (await start(app)).id == "push"  # the same request again

    await to_end(app, clock)
    await start(app, "second")

    assert (await to_end(app, clock, "second")).status is JobStatus.SUCCEEDED
    assert [job.id for job in await app.container.push.list("p")] == ["second", "push"]


async def test_without_labels_or_a_resource_nothing_begins(app, storage, clock):
    bare = in_process(storage, clock)
    with pytest.raises(InvalidArgument, match="LANGUAGE_ENDPOINT"):
        await start(bare)

    app.name = "q"
    await app.create(on_upload=False)
    with pytest.raises(InvalidArgument, match="no labeled documents"):
        await start(app)


async def test_documents_without_a_blob_and_offsets_of_another_content_are_left_out(app, service, clock):
    app.name = "q"
    await app.create(ProjectKind.ENTITIES, on_upload=False)
    await app.drain()
    for location in ("a.txt", "b.txt"):
        await _label_entity(app, location)
    await app.upload({"a.txt": "changed"})
    await app.blobs.delete(app.documents, "b.txt")
    await app.container.uploads.seen(app.documents, "b.txt")
    await app.drain()

    await start(app)
    job = await to_end(app, clock)

    documents = {entry["location"]: entry for entry in service.projects["q"].file["assets"]["documents"]}
    assert "b.txt" not in documents
    assert "entities" not in documents["a.txt"]
    assert [warning.code for warning in job.warnings] == ["DocumentsNotReadable", "ContentChanged"]


async def _label_entity(app: App, location: str) -> None:
    labels = Labels(regions=(Region(0, 5, (EntityLabel("Thing", 0, 5),)),))
    await app.container.documents.set_labels(app.name, document_id(location), ANY_VERSION, labels, "tester")


async def test_a_deleted_project_ends_its_push(app, service, clock):
    service.polls = 3
    await start(app)
    await deliver(app, clock)
    project = await app.container.projects.get("p")
    await app.container.stores.projects.save(replace(project, incarnation="another"), project)

    while app.sent.waiting:
        await deliver(app, clock)

    job = await app.container.stores.jobs.find(project.incarnation, JobKind.PUSH, "push")
    assert job.status is JobStatus.FAILED
    assert json.dumps([e.code for e in job.errors]) == '["ProjectNotFound"]'


async def test_the_deployed_model_suggests_under_the_current_names(app, service, storage, clock):
    """It knows the names of the push, as a model that is trained here knows those of its training."""
    engine = AzureLanguageEngine(LanguageOptions(service.address, KEY))
    target = {"language_endpoint": service.address, "language_key": KEY}
    app = in_process(storage, clock, engines={NAME: lambda: engine}, **target)
    await app.container.categories.put(app.name, [CategoryChange("Cashback", None, "Refund")], "tester")
    await start(app)
    await to_end(app, clock)
    await app.container.categories.put(app.name, [CategoryChange("Money back", None, "Cashback")], "tester")
    await app.container.categories.put(app.name, [CategoryChange("Cashback", None, None)], "tester")
    await app.upload({"d.txt": "@Cashback:90"}, events=False)
    await app.container.registering.scan(app.name, "scan")
    await app.drain()
    request = AutolabelRequest(engine=NAME, documents=(document_id("d.txt"),))
    await app.container.autolabel.start(app.name, request, "job")
    await to_end(app, clock)
    await engine.close()

    document = await app.document("d.txt")
    assert document is not None
    assert document.suggestions is not None
    assert [item.category for item in document.suggestions.items] == ["Money back"]
