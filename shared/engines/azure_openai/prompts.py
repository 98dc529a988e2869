"""Prepares requests: the task of a job as bytes, the messages for a document, and the schema of the answer."""

import json
from collections.abc import Sequence
from dataclasses import astuple
from functools import cache
from pathlib import Path
from typing import Any, Final

from shared.domain.labels import Example, Span
from shared.domain.names import ProjectKind
from shared.domain.project import Category
from shared.engines.base import ArtifactError, Task

VERSION: Final = "v1"
"""The newest prompts. A job keeps the version with which it was planned."""
_FOLDER: Final = Path(__file__).parent / "prompts"
_FILES: Final = {
    ProjectKind.SINGLE_LABEL: "single.txt",
    ProjectKind.MULTI_LABEL: "multi.txt",
    ProjectKind.ENTITIES: "entities.txt",
}

type Message = dict[str, str]


def to_bytes(task: Task, calibration: Sequence[float] = ()) -> bytes:
    """The task, the version of its prompts, and the calibration of confidences (see `answers`)."""
    data = {
        "prompts": VERSION,
        "kind": task.kind.value,
        "language": task.language,
        "categories": [[category.name, category.description] for category in task.categories],
        "examples": [
            [example.text, list(example.categories), [astuple(span) for span in example.spans]]
            for example in task.examples
        ],
        "calibration": list(calibration),
    }
    return json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogatepass")


def from_bytes(data: bytes) -> tuple[Task, str, tuple[float, ...]]:
    """The task, the version of its prompts and the calibration. Raises ArtifactError."""
    try:
        stored: Any = json.loads(data.decode("utf-8", "surrogatepass"))
        examples = (
            Example(text, stored["language"], tuple(names), tuple(Span(*span) for span in spans))
            for text, names, spans in stored["examples"]
        )
        categories = tuple(Category(*pair) for pair in stored["categories"])
        task = Task(ProjectKind(stored["kind"]), categories, tuple(examples), stored["language"])
        version, calibration = str(stored["prompts"]), tuple(map(float, stored["calibration"]))
        _text(version, task.kind)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ArtifactError("These bytes are not a task of the engine 'azure-openai'.") from error
    return task, version, calibration


@cache
def _text(version: str, kind: ProjectKind) -> str:
    if not version.isalnum():
        raise ValueError("The prompt version is not the name of a folder.")
    return (_FOLDER / version / _FILES[kind]).read_text("utf-8").strip()


def messages_before(task: Task, version: str = VERSION) -> list[Message]:
    """The messages before the document, the same for each: the categories, then the examples as turns."""
    listed = "\n".join(_listed(category) for category in task.categories)
    messages = [{"role": "system", "content": _text(version, task.kind).format(categories=listed)}]
    for example in task.examples:
        messages.append({"role": "user", "content": example.text})
        messages.append({"role": "assistant", "content": _answer_of(task.kind, example)})
    return messages


def _listed(category: Category) -> str:
    name = json.dumps(category.name, ensure_ascii=False)
    description = " ".join((category.description or "").split())
    return f"- {name}: {description}" if description else f"- {name}"


def _answer_of(kind: ProjectKind, example: Example) -> str:
    answer: dict[str, Any]
    if kind is ProjectKind.SINGLE_LABEL:
        answer = {"category": example.categories[0] if example.categories else ""}
    elif kind is ProjectKind.MULTI_LABEL:
        answer = {"categories": list(example.categories)}
    else:
        answer = {
            "entities": [
                {"text": example.text[span.offset : span.offset + span.length], "category": span.category}
                for span in example.spans
            ]
        }
    return json.dumps(answer, ensure_ascii=False)


def response_format(task: Task) -> dict[str, Any]:
    """The JSON schema of the answer, of plain types and enumerations, which every server understands."""
    category = {"type": "string", "enum": [choice.name for choice in task.categories]}
    if task.kind is ProjectKind.SINGLE_LABEL:
        schema = _object({"category": category})
    elif task.kind is ProjectKind.MULTI_LABEL:
        schema = _object({"categories": {"type": "array", "items": category}})
    else:
        entity = _object({"text": {"type": "string"}, "category": category})
        schema = _object({"entities": {"type": "array", "items": entity}})
    return {"type": "json_schema", "json_schema": {"name": "labels", "strict": True, "schema": schema}}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
