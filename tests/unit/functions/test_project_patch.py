"""What a PATCH of a project sets, as RFC 7386 has it: absent fields stay, null removes."""

from typing import Any

import pytest

from functions.projects import patch_of
from shared.domain.errors import InvalidArgument
from shared.domain.project import AutolabelSettings, ProjectSettings
from shared.wire.projects import ProjectBody

FULL = ProjectSettings(0.5, AutolabelSettings(False, "embedded", "m1", ("Sport",)), True, 20)


def settings(value: Any) -> ProjectSettings:
    """The settings of a project that had `FULL` before."""
    change = patch_of(ProjectBody.model_validate({"settings": value})).settings
    return change(FULL) if change else FULL


@pytest.mark.parametrize("value", [{}, {"autolabel": {}}, {"autolabel": {"engine": "embedded"}}])
def test_absent_fields_stay(value):
    assert settings(value) == FULL


def test_null_removes_a_field():
    assert settings({"confidenceThreshold": None}).confidence_threshold == 0
    assert settings({"autolabel": {"engine": None}}).autolabel == AutolabelSettings(
        False, None, "m1", ("Sport",)
    )
    assert settings({"autolabel": {"onUpload": None}}).autolabel.on_upload is True
    assert settings({"autolabel": None}).autolabel == AutolabelSettings()
    assert settings(None) == ProjectSettings()
    patch = patch_of(ProjectBody.model_validate({"description": None, "multilingual": None}))
    assert (patch.description, patch.multilingual) == ("", False)


def test_the_language_cannot_be_removed():
    with pytest.raises(InvalidArgument, match="'language' is required"):
        patch_of(ProjectBody.model_validate({"language": None}))
