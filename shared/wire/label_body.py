"""Body of `PUT P/documents/{id}/labels`: one field, whose name and shape follow from the project's kind."""

from typing import Any

from pydantic import ConfigDict, RootModel


def _one(field: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"required": [field], "properties": {field: {"anyOf": [value, {"type": "null"}]}}}


def _ref(model: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{model}"}


_DOCUMENTED: dict[str, Any] = {
    "oneOf": [
        _one("class", _ref("ClassModel")),
        _one("classes", {"type": "array", "items": _ref("ClassModel")}),
        _one("entities", {"type": "array", "items": _ref("RegionModel")}),
    ]
}


class LabelsBody(RootModel[dict[str, Any]]):
    """`class`, `classes` or `entities`; `shared.wire.labels` reads the value."""

    model_config = ConfigDict(frozen=True, json_schema_extra=_DOCUMENTED)
