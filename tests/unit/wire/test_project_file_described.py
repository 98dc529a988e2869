"""The project file as OpenAPI describes it is the file as it is written."""

import json

import pytest

from shared.wire.project_file import read_project_file
from shared.wire.projects import ProjectFileModel
from tests.unit.wire.project_files import (
    ENTITIES,
    LABEL_FIELDS,
    MULTI,
    SINGLE,
    document,
    file_of,
    region,
    write_project_file,
)

LABELS = {
    SINGLE: [{"category": "A"}, {"category": None}],
    MULTI: [[{"category": "A"}, {"category": "B"}], []],
    ENTITIES: [[region(("A", 0, 3))], [region()]],
}


@pytest.mark.parametrize("kind", LABELS)
def test_nothing_of_a_file_is_lost_through_the_model(kind: str) -> None:
    documents = [document(f"{n}.txt", **{LABEL_FIELDS[kind]: value}) for n, value in enumerate(LABELS[kind])]
    given = file_of(kind, [*documents, document("unlabeled.txt")])
    given["metadata"]["settings"] = {"confidenceThreshold": 0.5, "autolabel": {"onUpload": False}}
    found = read_project_file(json.dumps(given).encode())
    written = json.loads(write_project_file(found.details, found.categories, found.documents))
    model = ProjectFileModel.model_validate(written, by_name=False)
    assert model.model_dump(mode="json", by_alias=True, exclude_unset=True) == written
