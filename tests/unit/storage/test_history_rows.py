"""Rows of the history: details of every action, as earlier versions stored them and as callers see them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.domain.labels import EntityLabel, Hundredths, Labels, Region
from shared.domain.names import Dataset, ProjectKind
from shared.domain.page import (
    Action,
    CategoryRemoval,
    CategoryRenaming,
    ContentChange,
    DecidedSuggestion,
    DecisionChange,
    Deletion,
    Details,
    DocumentSettings,
    HistoryEntry,
    ImportedLabels,
    LabelChange,
    Page,
    SettingsChange,
)
from shared.storage import page_codec, rows
from shared.storage.pages import Author, history_row
from shared.wire.documents import history_json

AT = datetime(2026, 1, 1, tzinfo=UTC)
SPORT = Labels(("Sport",))
ENTITIES = Labels(regions=(Region(0, 20, (EntityLabel("Name", 4, 3),)),))
STORED_ENTITIES = {"r": [[0, 20, [["Name", 4, 3]]]]}
SHOWN_ENTITIES = {
    "entities": [
        {"regionOffset": 0, "regionLength": 20, "labels": [{"category": "Name", "offset": 4, "length": 3}]}
    ]
}
SHOWN_SPORT = {"class": {"category": "Sport"}}
CLASS = {
    "id": "s1",
    "category": "Sport",
    "confidence": 0.57,
    "jobId": "j",
    "engine": "embedded",
    "model": None,
}
SPAN = CLASS | {"id": "s2", "category": "Name", "confidence": 1.0, "model": "m1", "offset": 4, "length": 3}
CLASS_DECIDED = DecidedSuggestion("s1", "Sport", Hundredths(57), "j", "embedded", None)
SPAN_DECIDED = DecidedSuggestion("s2", "Name", Hundredths(100), "j", "embedded", "m1", 4, 3)
BEFORE = {"dataset": "Train", "language": "en-us", "contentChanged": True}
AFTER = {"dataset": "Test", "language": "de", "contentChanged": False}
SETTINGS_AFTER = DocumentSettings(Dataset.TEST, "de", False)

#: (action, details as stored, details, details as shown)
ENTRIES: list[tuple[str, dict[str, Any], Details, dict[str, Any]]] = [
    (
        "decided",
        {"before": None, "after": ["Sport"], "accepted": [CLASS], "rejected": []},
        DecisionChange(None, SPORT, (CLASS_DECIDED,), ()),
        {"before": None, "after": SHOWN_SPORT, "accepted": [CLASS], "rejected": []},
    ),
    (
        "decided",
        {
            "before": STORED_ENTITIES, "after": STORED_ENTITIES, "accepted": [], "rejected": [SPAN],
            "reviewJobId": "r1",
        },
        DecisionChange(ENTITIES, ENTITIES, (), (SPAN_DECIDED,), "r1"),
        {
            "before": SHOWN_ENTITIES, "after": SHOWN_ENTITIES, "accepted": [], "rejected": [SPAN],
            "reviewJobId": "r1",
        },
    ),
    (
        "decisionUndone",
        {"before": ["Sport"], "after": None, "reviewJobId": "r1"},
        LabelChange(SPORT, None, review_job_id="r1"),
        {"before": SHOWN_SPORT, "after": None, "reviewJobId": "r1"},
    ),
    (
        "labelsUndone",
        {"before": ["Sport"], "after": None},
        LabelChange(SPORT, None),
        {"before": SHOWN_SPORT, "after": None},
    ),
    (
        "labelsSet",
        {"before": None, "after": []},
        LabelChange(None, Labels()),
        {"before": None, "after": {"class": {"category": None}}},
    ),
    (
        "labelsSet",
        {"before": None, "after": ["Sport", "Team"]},
        LabelChange(None, Labels(("Sport", "Team"))),
        {"before": None, "after": {"classes": [{"category": "Sport"}, {"category": "Team"}]}},
    ),
    (
        "labelsImported",
        {"before": None, "after": ["Sport"], "source": "azureMachineLearning"},
        LabelChange(None, SPORT, "azureMachineLearning"),
        {"before": None, "after": SHOWN_SPORT, "source": "azureMachineLearning"},
    ),
    (
        "labelsAdopted",
        {"before": ["Sport"], "after": STORED_ENTITIES, "source": "azureMachineLearning"},
        LabelChange(SPORT, ENTITIES, "azureMachineLearning"),
        {"before": SHOWN_SPORT, "after": SHOWN_ENTITIES, "source": "azureMachineLearning"},
    ),
    (
        "documentChanged",
        {"before": BEFORE, "after": AFTER},
        SettingsChange(DocumentSettings(Dataset.TRAIN, "en-us", True), SETTINGS_AFTER),
        {"before": BEFORE, "after": AFTER},
    ),
    (
        "categoryRenamed",
        {"renamed": {"Sport": "Sports"}},
        CategoryRenaming({"Sport": "Sports"}),
        {"renamed": {"Sport": "Sports"}},
    ),
    ("categoryRemoved", {"removed": ["A", "B"]}, CategoryRemoval(("A", "B")), {"removed": ["A", "B"]}),
    ("imported", {"after": ["Sport"]}, ImportedLabels(SPORT), {"after": SHOWN_SPORT}),
    ("contentChanged", {"content": "c4"}, ContentChange("c4"), {"content": "c4"}),
    ("deleted", {"location": "a/1.txt"}, Deletion("a/1.txt"), {"location": "a/1.txt"}),
]  # fmt: skip


def test_every_action_is_among_them():
    assert {action for action, *_ in ENTRIES} == set(Action)


@pytest.mark.parametrize(("action", "stored", "details", "shown"), ENTRIES)
def test_details_are_stored_and_shown_as_before(
    action: str, stored: dict[str, Any], details: Details, shown: dict[str, Any]
):
    entry = page_codec.decode_entry(["id", action, stored])
    assert entry == HistoryEntry("id", Action(action), details)
    row = history_row(Page(7, seq=3), [entry], Author("ann", AT, "r")).values
    _, _, [written] = rows.unpacked_values(row)
    # The same text, not only equal values: what is in storage stays as it is.
    assert json.dumps(written) == json.dumps(["id", action, stored])
    assert history_json("ann", AT, entry, ProjectKind.SINGLE_LABEL) == {
        "dateTime": "2026-01-01T00:00:00.000Z", "by": "ann", "action": action, "details": shown,
    }  # fmt: skip


@pytest.mark.parametrize("hundredths", range(101))
def test_every_confidence_survives(hundredths: int):
    suggestion = CLASS | {"confidence": hundredths / 100}
    stored = {"before": None, "after": None, "accepted": [suggestion], "rejected": []}
    details = page_codec.decode_entry(["id", "decided", stored]).details
    assert isinstance(details, DecisionChange)
    assert details.accepted[0].confidence == hundredths


def test_settings_of_the_first_version_are_those_after_the_change():
    entry = page_codec.decode_entry(["id", "documentChanged", AFTER])
    assert entry.details == SettingsChange(None, SETTINGS_AFTER)
