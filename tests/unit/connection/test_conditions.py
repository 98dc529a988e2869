"""Rules C2, C13: what the project itself decides, the identity of an AML project, and the languages."""

from datetime import UTC, datetime

import pytest

from shared.connection.binding import Binding, StudioKind, binding_errors, parse_workspace_id
from shared.connection.conditions import TEXT_DNN, project_conditions, text_dnn_language, unmet
from shared.domain.names import LANGUAGES, ProjectKind
from shared.domain.project import Category, Project

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORKSPACE = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/Rg-1"
    "/providers/Microsoft.MachineLearningServices/workspaces/ws1"
)


def project(kind: ProjectKind, names: str, language: str = "en-us", multilingual: bool = False) -> Project:
    categories = tuple(Category(n) for n in names)
    return Project(
        "p", kind, "docs", language, NOW, NOW, "i", "e", multilingual=multilingual, categories=categories
    )


@pytest.mark.parametrize(
    ("kind", "names", "met"),
    [
        (ProjectKind.ENTITIES, "", False),
        (ProjectKind.ENTITIES, "A", True),
        (ProjectKind.SINGLE_LABEL, "A", False),
        (ProjectKind.SINGLE_LABEL, "AB", True),
        (ProjectKind.MULTI_LABEL, "A", False),
        (ProjectKind.MULTI_LABEL, "AB", True),
    ],
)
def test_one_entity_or_two_classes(kind: ProjectKind, names: str, met: bool) -> None:
    assert [c.code for c in unmet(project_conditions(project(kind, names), StudioKind.WORKSPACE, 0))] != met


def test_all_unmet_conditions_are_reported_together() -> None:
    bad = project(ProjectKind.SINGLE_LABEL, "A", language="am", multilingual=True)
    codes = [condition.code for condition in unmet(project_conditions(bad, StudioKind.AZURE_ML, 0))]
    assert codes == ["EnoughCategories", "NotMultilingual", "LanguageSupported", "TextUploaded"]


def test_only_azure_ml_requires_documents() -> None:
    fine = project(ProjectKind.ENTITIES, "A")
    assert not unmet(project_conditions(fine, StudioKind.WORKSPACE, 0))
    assert [c.code for c in unmet(project_conditions(fine, StudioKind.AZURE_ML, 0))] == ["TextUploaded"]


def test_the_languages() -> None:
    without = "am as eo gd ha km ku lo or ps sa sd si so ug xh yi zh-hant zu"
    assert set(LANGUAGES) - set(TEXT_DNN) == set(without.split())
    assert set(TEXT_DNN) <= LANGUAGES.keys()
    assert "mul" not in TEXT_DNN.values()
    assert (text_dnn_language("EN-us"), text_dnn_language("zh-hans")) == ("eng", "zho")
    assert text_dnn_language("mul") is None


@pytest.mark.parametrize(
    "spelling",
    [
        WORKSPACE,
        WORKSPACE + "/",
        WORKSPACE + "//",
        WORKSPACE.upper(),
        WORKSPACE.lower(),
        WORKSPACE[1:],
        f" {WORKSPACE} ",
    ],
)
def test_every_spelling_of_an_aml_project_has_one_identity(spelling: str) -> None:
    for name in ("News", "news", "NEWS"):
        assert (
            Binding(StudioKind.AZURE_ML, spelling, name).key
            == Binding(StudioKind.AZURE_ML, WORKSPACE, "news").key
        )


def test_different_aml_projects_have_different_identities() -> None:
    keys = {
        Binding(StudioKind.AZURE_ML, WORKSPACE, "a").key,
        Binding(StudioKind.AZURE_ML, WORKSPACE, "b").key,
        Binding(StudioKind.AZURE_ML, WORKSPACE[:-1] + "2", "a").key,
        Binding(StudioKind.WORKSPACE, "docs", "a").key,
    }
    assert len(keys) == 4


@pytest.mark.parametrize(
    "bad", ["", "ws1", WORKSPACE + "/labelingJobs/x", WORKSPACE.replace("workspaces", "w"), "/" + "%2f" * 9]
)
def test_invalid_workspace_ids(bad: str) -> None:
    assert parse_workspace_id(bad) is None
    assert [field for field, _ in binding_errors(Binding(StudioKind.AZURE_ML, bad, "ok"))] == ["workspaceId"]


@pytest.mark.parametrize("bad", ["", "a/b", "a/", "-a", "a b", "a%", "ä", "a" * 256, "a\n"])
def test_invalid_names(bad: str) -> None:
    assert [field for field, _ in binding_errors(Binding(StudioKind.WORKSPACE, "docs", bad))] == [
        "amlProjectName"
    ]


def test_all_invalid_fields_are_reported_together() -> None:
    assert [field for field, _ in binding_errors(Binding(StudioKind.WORKSPACE, "A!", ""))] == [
        "workspaceId",
        "amlProjectName",
    ]
    assert not binding_errors(Binding(StudioKind.WORKSPACE, "docs", "ok"))


def test_the_path_names_the_aml_project() -> None:
    assert Binding(StudioKind.WORKSPACE, "docs", "ok").path == "docs/ok/labels.jsonl"
    assert Binding(StudioKind.AZURE_ML, WORKSPACE, "ok").path.endswith("/workspaces/ws1/labelingJobs/ok")
