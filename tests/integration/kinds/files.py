"""Project files of the three kinds that hold everything there is to keep."""

import json
from typing import Any

from tests.integration.kinds.helpers import FIELDS
from tests.support.api import ENTITIES, MULTI, SINGLE, Json

DESCRIPTIONS = {"Refund": "Money back", "Ärger 😀": None, "Other": "All else"}
_VALUES: dict[str, list[Any]] = {
    SINGLE: [{"category": "Refund"}, {"category": "Ärger 😀"}, {"category": None}],
    MULTI: [[{"category": "Refund"}, {"category": "Other"}], [{"category": "Ärger 😀"}], []],
    ENTITIES: [
        [
            {
                "regionOffset": 0,
                "regionLength": 40,
                "labels": [{"category": "Refund", "offset": 3, "length": 5}],
            },
            {"regionOffset": 50, "regionLength": 20, "labels": []},
        ],
        [
            {
                "regionOffset": 0,
                "regionLength": 9,
                "labels": [{"category": "Ärger 😀", "offset": 0, "length": 2}],
            }
        ],
        [{"regionOffset": 0, "regionLength": 30, "labels": []}],
    ],
}


def project_file(kind: str, container: str, documents: int = 12, mark: str = "") -> Json:
    """Labels of all states, both sets, languages, folders; `mark` stands in every location."""
    return {
        "projectFileVersion": "2022-05-01",
        "stringIndexType": "Utf16CodeUnit",
        "metadata": {
            "projectKind": kind,
            "storageInputContainerName": container,
            "settings": {"confidenceThreshold": 0.25, "autolabel": {"onUpload": False}},
            "projectName": "as-it-was-called",
            "multilingual": True,
            "description": "Zwei Zeilen\nund 😀",
            "language": "de",
        },
        "assets": {
            "projectKind": kind,
            "entities" if kind == ENTITIES else "classes": [
                {"category": name} | ({"description": text} if text else {})
                for name, text in DESCRIPTIONS.items()
            ],
            "documents": [_document(kind, number, mark) for number in range(documents)],
        },
    }


def _document(kind: str, number: int, mark: str) -> Json:
    document: Json = {
        "location": f"folder {number % 3}/{mark}ü-{number:04}.txt",
        "language": ("de", "en-us")[number % 2],
        "dataset": ("Train", "Train", "Test")[number % 3],
    }
    if number % 4 < 3:
        document[FIELDS[kind]] = _VALUES[kind][number % 4]
    return document


def comparable(file: Json, project: str) -> Json:
    """The file without what an import sets anew, and without the order of its documents."""
    made = json.loads(json.dumps(file))
    made["metadata"] |= {"projectName": project}
    made["metadata"]["settings"] = {
        key: made["metadata"]["settings"][key] for key in ("confidenceThreshold",)
    } | {"onUpload": made["metadata"]["settings"]["autolabel"]["onUpload"]}
    made["assets"]["documents"].sort(key=lambda document: document["location"])
    return made
