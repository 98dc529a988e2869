"""Body of `PUT P/documents/{id}/labels`: one field, whose name and shape follow from the project's kind."""

from typing import Any

from pydantic import ConfigDict, RootModel

_DOCUMENTED = {
    "oneOf": [
        {"required": ["class"], "properties": {"class": {"anyOf": [{"$ref": "#/components/schemas/ClassModel"}, {"type": "null"}]}}},
        {"required": ["classes"], "properties": {"classes": {"type": ["array", "null"], "items": {"$ref": "#/components/schemas/ClassModel"}}}},
        {"required": ["entities"], "properties": {"entities": {"type": ["array", "null"], "items": {"$ref": "#/components/schemas/RegionModel"}}}},
    ]
}  # fmt: skip


class LabelsBody(RootModel[dict[str, Any]]):
    """`class`, `classes` or `entities`; `shared.wire.labels` reads the value."""

    model_config = ConfigDict(frozen=True, json_schema_extra=_DOCUMENTED)
