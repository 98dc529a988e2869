"""Names that categories had: who uses one means the category that had it then, and makes none (rule D16)."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.domain.category_edits import CategoryEdit
from shared.domain.document import ANY_VERSION, document_id
from shared.domain.errors import Conflict
from shared.domain.jobs import BulkParameters, JobStatus
from shared.domain.labels import Labels
from shared.domain.names import ProjectKind
from shared.domain.project import AutolabelSettings, Category, Project, ProjectSettings, former_names
from shared.services.jobs.lifecycle import BatchMessage
from shared.services.projects.categories import CategoryChange
from shared.services.review.bulk import BulkRequest
from shared.services.training.service import TrainRequest
from tests.support.services import App


async def _rename(app: App, old: str, new: str) -> None:
    await app.container.categories.put(app.name, [CategoryChange(new, None, old)], "tester")


async def test_labels_under_a_former_name_are_refused_with_the_current_one(app: App) -> None:
    """A page that was open before a rename saves the former name: it must not become a category again."""
    await app.create()
    await app.define("Refund")
    await app.upload({"a.txt": "text"}, events=False)
    await app.container.registering.scan(app.name, "scan")
    await app.drain()
    await _rename(app, "Refund", "Money back")
    key = document_id("a.txt")
    label = app.container.documents.set_labels

    for _ in range(2):  # a repeat changes nothing
        with pytest.raises(Conflict, match="its current name is 'Money back'") as caught:
            await label(app.name, key, ANY_VERSION, Labels(("Refund",)), "ann")
        assert (caught.value.target, caught.value.inner_code) == ("class", "CategoryRenamed")
    project = await app.container.stores.projects.get(app.name)
    assert project.category_names == ("Money back",)

    await app.container.categories.put(app.name, [CategoryChange("Refund")], "tester")
    shown = await label(app.name, key, ANY_VERSION, Labels(("Refund",)), "ann")
    assert shown.document.labels == Labels(("Refund",))


async def _model_of_before(app: App) -> None:
    """The model `old`, which was trained on the categories Refund and Login; more suggestions for `new.txt`."""
    await app.create(settings=ProjectSettings(autolabel=AutolabelSettings(on_upload=False)))
    await app.define("Refund", "Login")
    await app.container.training.start(app.name, TrainRequest("old"), "train")
    await app.drain()
    await app.upload({"new.txt": "@Refund:73", "other.txt": "@Refund:80"})
    await app.drain()


async def _suggested(app: App, job_id: str, **request: Any) -> list[str]:
    """Categories that a job over `new.txt` suggests."""
    await app.autolabel(job_id, documents=(document_id("new.txt"),), **request)
    document = await app.document("new.txt")
    assert document is not None
    return [item.category for item in document.suggestions.items] if document.suggestions else []


async def test_an_older_model_means_the_renamed_category_also_when_the_name_is_defined_again(
    app: App,
) -> None:
    await _model_of_before(app)
    await _rename(app, "Refund", "Money back")
    assert await _suggested(app, "first") == ["Money back"]

    await app.container.categories.put(app.name, [CategoryChange("Refund")], "tester")
    assert await _suggested(app, "second", model_label="old") == ["Money back"]
    await _rename(app, "Money back", "Returns")
    await _rename(app, "Refund", "Voucher")
    assert await _suggested(app, "third", model_label="old") == ["Returns"]

    # A model that is trained now has its own names.
    await app.container.categories.put(app.name, [CategoryChange("Refund")], "tester")
    await app.container.training.start(app.name, TrainRequest("new"), "again")
    await app.drain()
    assert await _suggested(app, "fourth", model_label="new") == ["Refund"]
    assert await _suggested(app, "fifth", model_label="old") == ["Returns"]


async def test_a_removed_category_comes_back_by_no_older_model_and_no_older_page(app: App) -> None:
    await _model_of_before(app)
    key = document_id("~Refund.txt")
    await app.container.documents.set_labels(app.name, key, ANY_VERSION, None, "tester")
    await app.container.categories.remove(app.name, ["Refund"], "tester")

    assert await _suggested(app, "first") == []
    for _ in range(2):
        with pytest.raises(Conflict, match="was removed; define it again") as caught:
            await app.label("new.txt", "Refund")
        assert (caught.value.target, caught.value.inner_code) == ("class", "CategoryRemoved")
    assert (await app.container.stores.projects.get(app.name)).category_names == ("Login",)

    await app.container.categories.put(app.name, [CategoryChange("Refund")], "tester")
    assert (
        await _suggested(app, "second", model_label="old") == []
    )  # it is another category than the model knows
    await app.label("new.txt", "Refund")
    await app.fit()
    assert (await app.container.stores.projects.get(app.name)).category_names == ("Login", "Refund")


async def test_a_bulk_decision_that_a_rename_overtakes_is_about_the_same_category(app: App) -> None:
    await app.create()
    await app.define("Refund", "Login")
    await app.fit()
    await app.upload({"a.txt": "@Refund:73", "b.txt": "@Login:73"})
    await app.drain()
    request = BulkRequest(accept=True, categories=("Refund",), dry_run=True)
    dry = await app.container.bulk.start(app.name, request, "lead", "dry")
    await _rename(app, "Refund", "Money back")
    await app.container.categories.put(app.name, [CategoryChange("Refund")], "tester")
    parameters = replace(dry.parameters_as(BulkParameters), dry_run=False)
    asked = replace(dry, id="bulk", status=JobStatus.RUNNING, result=None, parameters=parameters, etag="")
    job, _ = await app.container.stores.jobs.create(asked)
    for number in range(len(job.batches)):
        await app.container.bulk.run_batch(BatchMessage.of(job, number))

    labels = {name: document.labels for name in ("a.txt", "b.txt") if (document := await app.document(name))}
    assert labels == {"a.txt": Labels(("Money back",)), "b.txt": None}


async def test_an_import_knows_its_own_names(app: App) -> None:
    """It brings back the state of before a rename, whose model means what it says again."""
    await _model_of_before(app)
    export = await app.container.exports.start(app.name, "export")
    body, _ = await app.container.exports.result(app.name, export.id)
    await _rename(app, "Refund", "Money back")

    await app.container.imports.start(app.name, body, "tester", "import")
    await app.drain()

    assert await _suggested(app, "job") == ["Refund"]
    await app.label("new.txt", "Refund")
    assert (await app.container.stores.projects.get(app.name)).category_names == ("Refund", "Login")


def test_names_after_many_edits() -> None:
    """A name that several categories had means the one that had it when the labels were read."""
    at = datetime(2030, 1, 1, tzinfo=UTC)
    names = tuple(map(Category, "AB"))
    project = Project("p", ProjectKind.SINGLE_LABEL, "c", "en", at, at, "i", "e", categories=names)
    for edit in (
        CategoryEdit({"B": "C"}),
        CategoryEdit({"A": "B"}),
        CategoryEdit({"B": "D"}),
        CategoryEdit({"D": "A"}),
        CategoryEdit({}, frozenset({"C"})),
    ):
        project = edit.in_project(project)
    assert [[project.current_name(name, edits) for name in "ABCD"] for edits in range(6)] == [
        ["A", None, None, "A"],
        ["A", "A", None, "A"],
        ["A", "A", None, "A"],
        ["A", "B", None, "A"],
        ["A", "B", None, "D"],
        ["A", "B", "C", "D"],
    ]
    assert former_names(project) == {"B": "A", "C": None, "D": "A"}
