"""Rule C2: what the project itself decides, the identity of an AML project, and the languages."""

from datetime import UTC, datetime

import pytest

from shared.domain.bond import Bond, StudioKind, bond_faults, parse_workspace_id
from shared.domain.conditions import project_conditions, require, unmet
from shared.domain.errors import Conflict
from shared.domain.kinds import ProjectKind
from shared.domain.names import LANGUAGES
from shared.domain.project import Category, Project
from shared.domain.textdnn import TEXT_DNN, text_dnn_language

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


def test_all_unmet_conditions_are_told_together() -> None:
    bad = project(ProjectKind.SINGLE_LABEL, "A", language="am", multilingual=True)
    with pytest.raises(Conflict) as refused:
        require(project_conditions(bad, StudioKind.AZURE_ML, 0))
    codes = [detail.inner_code for detail in refused.value.details]
    assert codes == ["EnoughCategories", "NotMultilingual", "LanguageSupported", "TextUploaded"]
    assert all(detail.message in refused.value.message for detail in refused.value.details)


def test_text_is_asked_for_by_azure_ml_only() -> None:
    fine = project(ProjectKind.ENTITIES, "A")
    assert not unmet(project_conditions(fine, StudioKind.WORKSPACE, 0))
    assert [c.code for c in unmet(project_conditions(fine, StudioKind.AZURE_ML, 0))] == ["TextUploaded"]


def test_the_languages() -> None:
    without = "am as eo gd ha km ku lo or ps sa sd si so ug xh yi zu"
    assert set(LANGUAGES) - set(TEXT_DNN) == set(without.split())
    assert set(TEXT_DNN) <= LANGUAGES
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
            Bond(StudioKind.AZURE_ML, spelling, name).key == Bond(StudioKind.AZURE_ML, WORKSPACE, "news").key
        )


def test_different_aml_projects_have_different_identities() -> None:
    keys = {
        Bond(StudioKind.AZURE_ML, WORKSPACE, "a").key,
        Bond(StudioKind.AZURE_ML, WORKSPACE, "b").key,
        Bond(StudioKind.AZURE_ML, WORKSPACE[:-1] + "2", "a").key,
        Bond(StudioKind.WORKSPACE, "docs", "a").key,
    }
    assert len(keys) == 4


@pytest.mark.parametrize(
    "bad", ["", "ws1", WORKSPACE + "/labelingJobs/x", WORKSPACE.replace("workspaces", "w"), "/" + "%2f" * 9]
)
def test_what_is_no_workspace(bad: str) -> None:
    assert parse_workspace_id(bad) is None
    assert [field for field, _ in bond_faults(Bond(StudioKind.AZURE_ML, bad, "ok"))] == ["workspaceId"]


@pytest.mark.parametrize("bad", ["", "a/b", "a/", "-a", "a b", "a%", "ä", "a" * 256, "a\n"])
def test_what_is_no_name(bad: str) -> None:
    assert [field for field, _ in bond_faults(Bond(StudioKind.WORKSPACE, "docs", bad))] == ["amlProjectName"]


def test_everything_badly_spelled_is_told_together() -> None:
    assert [field for field, _ in bond_faults(Bond(StudioKind.WORKSPACE, "A!", ""))] == [
        "workspaceId",
        "amlProjectName",
    ]
    assert not bond_faults(Bond(StudioKind.WORKSPACE, "docs", "ok"))


def test_the_path_names_the_aml_project() -> None:
    assert Bond(StudioKind.WORKSPACE, "docs", "ok").path == "docs/ok/labels.jsonl"
    assert Bond(StudioKind.AZURE_ML, WORKSPACE, "ok").path.endswith("/workspaces/ws1/labelingJobs/ok")
