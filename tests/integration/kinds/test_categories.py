"""Categories: listed, defined, described, renamed with all that bears their names; and the counts of a project."""

from collections.abc import Sequence
from dataclasses import replace
from typing import override

import pytest

from shared.domain.labels import Prediction
from shared.domain.names import ProjectKind
from shared.engines.base import Model
from shared.services.projects.categories import CategoryChange
from tests.integration.conftest import MakeProject
from tests.integration.kinds.helpers import KINDS, categories_of, export, history, suggested
from tests.support.api import MULTI, Json, Project
from tests.support.engines import ScriptedEngine
from tests.support.lives import Life, living
from tests.support.services import Clock
from tests.support.storage.memory import MemoryStorage


async def put(project: Project, *items: Json) -> list[Json]:
    answer = await project.http.put(f"{project.path}/categories", json={"value": list(items)})
    assert answer.status_code == 200, answer.text
    return answer.json()["value"]


async def refused(project: Project, *items: Json) -> Json:
    answer = await project.http.put(f"{project.path}/categories", json={"value": list(items)})
    assert answer.status_code == 400, answer.text
    return answer.json()["error"]


@pytest.mark.parametrize("kind", KINDS)
async def test_define_describe_and_rename(new_project: MakeProject, kind: str):
    project = await new_project(kind)
    [document] = await project.suggested({"a.txt": "@Refund:73"}, "Refund", "Login")

    assert await put(project, {"category": "New", "description": "what is new"}) == [
        {"category": "Refund"},
        {"category": "Login"},
        {"category": "New", "description": "what is new"},
    ]
    made = await put(
        project, {"category": "Geld zurück", "previousCategory": "Refund", "description": "Geld"}
    )
    assert made[0] == {"category": "Geld zurück", "description": "Geld"}
    assert made == (await project.get("/categories"))["value"]

    assert categories_of(await project.document("~Refund.txt"), kind) == ["Geld zurück"]
    renamed = await project.document("a.txt")
    assert suggested(renamed) == ["Geld zurück"]
    [result] = await project.review(
        [{"documentId": document["id"], "eTag": document["eTag"], "acceptAll": True}]
    )
    assert result["status"] == "conflict"  # it was seen under the old name
    assert (await history(project, "~Refund.txt"))[0]["action"] == "categoryRenamed"
    assert "'Refund'" not in str(await export(project))
    counted = {c["category"]: c["labels"] for c in (await project.get("/statistics"))["categories"]}
    assert counted == {"Geld zurück": 1, "Login": 1, "New": 0}


class Renamed(ScriptedEngine):
    """Knows the category by its new name, as a model trained after the renaming does."""

    @override
    async def load(self, artifact: bytes) -> Model:
        model = await super().load(artifact)
        read = model.predict

        async def predict(texts: Sequence[str]) -> list[list[Prediction]]:
            return [[replace(p, category="Money") for p in found] for found in await read(texts)]

        model.predict = predict
        return model


@pytest.mark.parametrize("kind", list(ProjectKind))
async def test_what_was_rejected_under_the_old_name_stays_rejected(
    memory: MemoryStorage, clock: Clock, app: Life, kind: ProjectKind
):
    await app.create(kind, on_upload=False)
    await app.suggested({"a.txt": "@Refund:73"}, "Refund", "Login")
    await app.decide("a.txt", reject_all=True)
    await app.container.categories.put(app.name, [CategoryChange("Money", renames="Refund")], "tester")
    later = living(memory, clock, engine=Renamed)

    await later.suggested({"b.txt": "@Refund:73 here"})

    assert await later.pending("b.txt") == ["Money"]
    assert await later.pending("a.txt") == []


async def test_settings_name_the_category_as_it_is_called_now(new_project: MakeProject):
    project = await new_project(MULTI)
    await project.define("Refund", "Login")
    settings = {"settings": {"autolabel": {"onUpload": False, "categories": ["Refund"]}}}
    assert (await project.http.patch(project.path, json=settings)).status_code == 200

    await put(project, {"category": "Money", "previousCategory": "Refund"})

    assert (await project.get(""))["settings"]["autolabel"]["categories"] == ["Money"]


async def test_what_cannot_be_is_refused_with_its_place(new_project: MakeProject):
    project = await new_project(MULTI)
    await project.define("Refund", "Login")
    assert (await refused(project, {"category": "A"}, {"category": "A"}))["details"][0][
        "target"
    ] == "value[0].category"
    unknown = await refused(project, {"category": "New", "previousCategory": "Unheard"})
    assert unknown["target"] == "value[0].previousCategory"
    taken = await refused(project, {"category": "Login", "previousCategory": "Refund"})
    assert taken["target"] == "value[0].category"
    assert (await refused(project, {"category": "x" * 51}))["target"] == "value[0].category"
    over = [{"category": f"C{n}"} for n in range(199)]
    assert "200" in (await refused(project, *over))["message"]
    assert [c["category"] for c in (await project.get("/categories"))["value"]] == ["Refund", "Login"]


@pytest.mark.parametrize("kind", KINDS)
async def test_statistics_count_what_there_is(new_project: MakeProject, kind: str):
    project = await new_project(kind)
    await project.suggested({"a.txt": "@Refund:73", "b.txt": "nothing", "pdf.pdf": "%PDF"}, "Refund", "Login")
    found = await project.get("/statistics")
    assert found["documents"] == {
        "total": 5,
        "unlabeled": 1,
        "autoLabeled": 1,
        "labeled": 2,
        "rejected": 1,
        "missing": 0,
        "waiting": 0,
        "flagged": 0,
    }
    assert found["categories"] == [{"category": "Refund", "labels": 1}, {"category": "Login", "labels": 1}]
    assert found["datasets"] == {"Train": 5, "Test": 0}
    listed = {
        status: len(await project.documents(status=status)) for status in ("unlabeled", "labeled", "rejected")
    }
    assert listed == {"unlabeled": 1, "labeled": 2, "rejected": 1}
