"""The JSON of answers, written by hand, is what their models say, from which OpenAPI is made (decision 8)."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import function_app  # declares the operations  # noqa: F401
from functions.http import OPERATIONS
from shared.domain.document import Document, document_id
from shared.domain.jobs import DocumentOutcome, Job, JobError, JobKind, JobStatus, Outcome
from shared.domain.labels import EntityLabel, Hundredths, Labels, Region, Suggestion, SuggestionSet
from shared.domain.names import Dataset, ProjectKind
from shared.domain.page import Action, HistoryEntry, LabelChange
from shared.domain.project import AutolabelSettings, Category, Lock, Project, ProjectSettings
from shared.domain.text import Rejection
from shared.domain.transfers import ImportResult
from shared.wire.api import job_json, outcome_json
from shared.wire.documents import document_json, history_json
from shared.wire.projects import project_json

AT = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)
PROJECT = Project(
    "news", ProjectKind.SINGLE_LABEL, "documents", "en-us", AT, AT, incarnation="i", edition="e",
    categories=(Category("Sport"),), generation=3,
)  # fmt: skip
DOCUMENT = Document(
    document_id("a.txt"), "a.txt", "en-us", revision="r1", content="c", length=40, characters=39
)
ERROR = JobError("BatchFailed", "It failed.", "engine")


def model(operation: str) -> type[BaseModel]:
    """What an operation says that it answers."""
    found = next(candidate for candidate in OPERATIONS if candidate.id == operation).answers[200]
    assert isinstance(found, type)
    return found


def comparable(data: Any) -> Any:
    """Times as times: a model writes more digits of them."""
    if isinstance(data, dict):
        return {key: comparable(value) for key, value in data.items()}
    if isinstance(data, list):
        return [comparable(value) for value in data]
    if isinstance(data, str) and data.startswith("20") and data.endswith("Z"):
        return datetime.fromisoformat(data)
    return data


def through(kind: type[BaseModel], data: Any) -> Any:
    """What the model makes of the JSON: fields that it does not know are gone."""
    made = kind.model_validate(data, by_name=False)
    return comparable(made.model_dump(mode="json", by_alias=True, exclude_unset=True))


def projects() -> list[Project]:
    settings = ProjectSettings(0.5, AutolabelSettings(False, "embedded", "m1", ("Sport",)), True, 20)
    full = replace(
        PROJECT, settings=settings, last_trained=AT, aml_project_path="labels/news/labels.jsonl",
        description="About.", multilingual=True, lock=Lock(1, "job", "Switching.", 2),
    )  # fmt: skip
    return [PROJECT, full]


def suggestions(*items: Suggestion, model: str | None = None) -> SuggestionSet:
    return SuggestionSet("job-1", "embedded", model, PROJECT.generation, "r2", items)


SPORT = Suggestion("s1", "Sport", Hundredths(87))
TEAM = Suggestion("s2", "Team", Hundredths(100), 4, 6)
SINGLE, MULTI, ENTITIES = ProjectKind
REGION = Region(0, 40, (EntityLabel("Team", 0, 3),))
DOCUMENTS = [
    (SINGLE, DOCUMENT),
    (SINGLE, replace(DOCUMENT, length=None, missing=True)),
    (SINGLE, replace(DOCUMENT, labels=Labels(("Sport",)), dataset=Dataset.TEST, content_changed=True)),
    (SINGLE, replace(DOCUMENT, labels=Labels(), flagged=True, note="Ask legal.")),
    (SINGLE, replace(DOCUMENT, suggestions=suggestions(SPORT, model="m1"))),
    (SINGLE, replace(DOCUMENT, rejection=Rejection("EmptyDocument", "It is empty."))),
    (MULTI, replace(DOCUMENT, labels=Labels(("Sport", "News")), suggestions=suggestions(SPORT))),
    (MULTI, replace(DOCUMENT, labels=Labels())),
    (ENTITIES, replace(DOCUMENT, labels=Labels(regions=(REGION,)), suggestions=suggestions(TEAM))),
    (ENTITIES, replace(DOCUMENT, labels=Labels(regions=(Region(0, 40),)), problems=("It does not fit.",))),
]


def jobs() -> list[Job]:
    plain = Job("job-1", JobKind.AUTOLABEL, "news", "i", "e", AT, AT)
    return [
        plain,
        replace(
            plain, status=JobStatus.FAILED, errors=(ERROR,), warnings=(ERROR,), result=ImportResult(1, 2)
        ),
    ]


@pytest.mark.parametrize("project", projects())
def test_projects(project):
    data = project_json(project)
    assert through(model("get_project"), data) == comparable(data)


@pytest.mark.parametrize(("kind", "document"), DOCUMENTS)
def test_documents(kind, document):
    data = document_json(document, replace(PROJECT, kind=kind))
    assert through(model("get_document"), data) == comparable(data)


def test_the_documents_have_every_field_of_the_model():
    seen = {
        field
        for kind, document in DOCUMENTS
        for field in document_json(document, replace(PROJECT, kind=kind))
    }
    assert seen == {field.alias for field in model("get_document").model_fields.values()}


@pytest.mark.parametrize("job", jobs())
def test_jobs(job):
    data = job_json(job)
    assert through(model("get_autolabel_job"), data) == comparable(data)


@pytest.mark.parametrize("error", [None, ERROR])
@pytest.mark.parametrize("outcome", Outcome)
def test_outcomes(outcome, error):
    data = {"value": [outcome_json(DocumentOutcome(DOCUMENT.id, "a.txt", outcome, error))]}
    assert through(model("get_autolabel_outcomes"), data) == data


def test_history():
    entry = HistoryEntry(DOCUMENT.id, Action.LABELS_SET, LabelChange(None, Labels(("Sport",))))
    data = {"value": [history_json("ann", AT, entry, ProjectKind.SINGLE_LABEL)]}
    assert data["value"][0]["details"] == {"before": None, "after": {"class": {"category": "Sport"}}}
    assert through(model("get_document_history"), data) == comparable(data)


def test_the_comparison_sees_a_field_that_the_model_lacks():
    data = document_json(DOCUMENT, PROJECT) | {"color": "red"}
    assert through(model("get_document"), data) != comparable(data)


def test_the_comparison_sees_a_field_that_is_forgotten():
    data = document_json(DOCUMENT, PROJECT)
    del data["missing"]
    with pytest.raises(ValidationError, match="missing"):
        through(model("get_document"), data)
