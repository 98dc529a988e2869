"""Documents, their labels and decisions on the wire.

The label field of a document is `class`, `classes` or `entities`, as in a project file. "Labeled with nothing" (rule
D6) is `"classes": []`, `"entities": []` or regions without labels, and for a single-label document, for which Azure has
no value, `"class": {"category": null}`. A missing or null field is "unlabeled".
"""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, cast

from pydantic import AfterValidator, ConfigDict, Field, RootModel, WithJsonSchema

from shared.domain.document import Document
from shared.domain.labels import (
    MAX_ENTITIES,
    MAX_ENTITY_LENGTH,
    EntityLabel,
    Labels,
    Region,
    Suggestion,
    SuggestionSet,
    without_open_end,
)
from shared.domain.names import Dataset, DocumentStatus, ProjectKind, category_error
from shared.domain.project import MAX_CATEGORIES, Project
from shared.domain.text import MAX_CHARACTERS
from shared.wire.api import Language, ModelLabel
from shared.wire.json_codec import Strict, ValidationErrors, Wire, moment, shown, to_json

if TYPE_CHECKING:
    from shared.domain.page import HistoryEntry

#: A document of 128,000 characters has at most twice as many UTF-16 code units.
MAX_UNITS: Final = 2 * MAX_CHARACTERS
NOTHING: Final = Labels()
#: Characters of the name of a person.
MAX_PERSON: Final = 200


class LabelReader:
    """Reads label fields of one project kind; what is wrong goes to `errors`, with its path.

    `categories` are those that labels may have; None lets every valid name pass (rule D7). Equal labels of
    classification documents are one object, and so are equal names: 100,000 documents have few of them.
    """

    def __init__(
        self, kind: ProjectKind, errors: ValidationErrors, categories: Iterable[str] | None = None
    ) -> None:
        self.field = kind.label_field
        self._errors = errors
        self._where = f"assets.{kind.category_list}"
        self._open = categories is None
        self._names = {name: name for name in categories or ()}
        self._shared: dict[tuple[str, ...], Labels] = {(): NOTHING}
        self._read = {
            ProjectKind.SINGLE_LABEL: self._class,
            ProjectKind.MULTI_LABEL: self._classes,
            ProjectKind.ENTITIES: self._regions,
        }[kind]

    def read(self, value: object, path: str) -> Labels | None:
        """The labels of a label field; None for null, and for what cannot be read (see `errors`)."""
        return None if value is None else self._read(value, path)

    def _class(self, value: object, path: str) -> Labels | None:
        if not isinstance(value, dict):
            return self._error(path, f"'class' must be an object with a 'category', not {shown(value)}.")
        label = cast("dict[str, Any]", value)
        if "category" in label and label["category"] is None:
            return NOTHING
        name = self._category(label, path)
        return None if name is None else self._share((name,))

    def _classes(self, value: object, path: str) -> Labels | None:
        if not isinstance(value, list):
            return self._error(path, f"'classes' must be a list, not {shown(value)}.")
        items = cast("list[object]", value)
        if len(items) > MAX_CATEGORIES:
            return self._error(
                path, f"A document must have at most {MAX_CATEGORIES} classes, not {len(items):,}."
            )
        names: dict[str, None] = {}
        for index, item in enumerate(items):
            name = self._category(item, f"{path}[{index}]")
            if name in names:
                self._error(f"{path}[{index}].category", f"The class {shown(name)} is listed twice.")
            elif name is not None:
                names[name] = None
        return self._share(tuple(names))

    def _regions(self, value: object, path: str) -> Labels | None:
        if not isinstance(value, list):
            return self._error(path, f"'entities' must be a list of regions, not {shown(value)}.")
        items = cast("list[object]", value)
        if len(items) > MAX_ENTITIES:
            return self._too_many(path, "regions", len(items))
        regions: list[Region] = []
        seen: set[EntityLabel] = set()
        for index, item in enumerate(items):
            region = self._valid_region(item) or self._region(item, f"{path}[{index}]")
            if region is None:
                continue
            if not seen.isdisjoint(region.labels):
                text = "An entity is also listed in an earlier region (same category, offset and length)."
                self._error(f"{path}[{index}].labels", text)
            seen.update(region.labels)
            regions.append(region)
        if len(seen) > MAX_ENTITIES:
            return self._too_many(path, "entities", len(seen))
        return Labels(regions=tuple(regions)) if regions else NOTHING

    def _valid_region(self, value: Any) -> Region | None:
        """The region if nothing is wrong with it, in half the time; `_region` finds out what is."""
        entities: list[EntityLabel] = []
        names, last, ordered = self._names, -1, True
        try:
            start, size, labels = value["regionOffset"], value["regionLength"], value["labels"]
            if type(labels) is not list or len(cast("list[Any]", labels)) > MAX_ENTITIES:
                return None
            if not (type(start) is type(size) is int and start >= 0 and 0 <= size <= MAX_UNITS - start):
                return None
            end = start + size
            for label in cast("list[Any]", labels):
                offset, length = label["offset"], label["length"]
                if not (type(offset) is type(length) is int and 1 <= length <= MAX_ENTITY_LENGTH):
                    return None
                if not start <= offset <= end - length:
                    return None
                entities.append(EntityLabel(names[label["category"]], offset, length))
                ordered, last = ordered and offset > last, offset
        except (KeyError, TypeError):
            return None
        distinct = ordered or len(set(entities)) == len(entities)
        return Region(start, size, tuple(entities)) if distinct else None

    def _region(self, value: object, path: str) -> Region | None:
        if not isinstance(value, dict):
            return self._error(path, f"A region must be an object, not {shown(value)}.")
        region = cast("dict[str, Any]", value)
        offset = self._number(region, "regionOffset", path)
        length = self._number(region, "regionLength", path)
        if offset is not None and length is not None and offset + length > MAX_UNITS:
            text = f"The region ends beyond the longest document ({MAX_UNITS:,} code units)."
            return self._error(f"{path}.regionLength", text)
        labels = region.get("labels")
        if labels is None:
            labels = []
        if not isinstance(labels, list):
            return self._error(f"{path}.labels", f"'labels' must be a list, not {shown(labels)}.")
        items = cast("list[object]", labels)
        if len(items) > MAX_ENTITIES:
            return self._too_many(f"{path}.labels", "entities", len(items))
        entities: list[EntityLabel] = []
        for index, item in enumerate(items):
            entity = self._entity(item, f"{path}.labels[{index}]", offset, length)
            if entity is not None:
                entities.append(entity)
        if len(set(entities)) != len(entities):
            self._error(f"{path}.labels", "An entity is listed twice (same category, offset and length).")
        return None if offset is None or length is None else Region(offset, length, tuple(entities))

    def _entity(self, value: object, path: str, start: int | None, size: int | None) -> EntityLabel | None:
        if not isinstance(value, dict):
            return self._error(path, f"An entity must be an object, not {shown(value)}.")
        entity = cast("dict[str, Any]", value)
        category = self._category(entity, path)
        offset = self._number(entity, "offset", path)
        length = self._number(entity, "length", path)
        if category is None or offset is None or length is None:
            return None
        if not 1 <= length <= MAX_ENTITY_LENGTH:
            return self._error(
                f"{path}.length", f"An entity must have 1 to {MAX_ENTITY_LENGTH} characters, not {length}."
            )
        if start is not None and size is not None and not start <= offset <= start + size - length:
            place = f"{offset} to {offset + length} is not inside its region, {start} to {start + size}"
            return self._error(f"{path}.offset", f"The entity {place}.")
        return EntityLabel(category, offset, length)

    def _category(self, value: object, path: str) -> str | None:
        if not isinstance(value, dict):
            return self._error(path, f"A class must be an object with a 'category', not {shown(value)}.")
        name = cast("dict[str, Any]", value).get("category")
        if not isinstance(name, str):
            return self._error(
                f"{path}.category", f"'category' must be the name of a category, not {shown(name)}."
            )
        known = self._names.get(name)
        return known if known is not None else self._unknown(name, path)

    def _unknown(self, name: str, path: str) -> str | None:
        if not self._open:
            return self._error(
                f"{path}.category", f"The category {shown(name)} is not listed in {self._where}."
            )
        wrong = category_error(name)
        if wrong:
            return self._error(f"{path}.category", wrong)
        return self._names.setdefault(name, name)

    def _number(self, value: dict[str, Any], field: str, path: str) -> int | None:
        number = value.get(field)
        if type(number) is not int or number < 0:
            return self._error(
                f"{path}.{field}", f"'{field}' must be an integer of 0 or more, not {shown(number)}."
            )
        if number > MAX_UNITS:
            return self._error(
                f"{path}.{field}", f"'{field}' is beyond the longest document ({MAX_UNITS:,} code units)."
            )
        return number

    def _share(self, names: tuple[str, ...]) -> Labels:
        labels = self._shared.get(names)
        return labels if labels is not None else self._shared.setdefault(names, Labels(categories=names))

    def _too_many(self, path: str, what: str, count: int) -> None:
        self._error(path, f"A document must have at most {MAX_ENTITIES:,} {what}, not {count:,}.")

    def _error(self, path: str, message: str) -> None:
        self._errors.add(path, message)


def read_labels(kind: ProjectKind, value: object) -> Labels | None:
    """The labels of one label field, with any valid category. Raises InvalidArgument with all its errors."""
    errors = ValidationErrors("label field")
    labels = LabelReader(kind, errors).read(value, kind.label_field)
    errors.raise_any()
    return labels


def write_labels(kind: ProjectKind, labels: Labels) -> Any:
    """The JSON value of the label field."""
    if kind is ProjectKind.SINGLE_LABEL:
        return {"category": labels.categories[0] if labels.categories else None}
    if kind is ProjectKind.MULTI_LABEL:
        return [{"category": name} for name in labels.categories]
    return [_write_region(region) for region in labels.regions]


def _write_region(region: Region) -> dict[str, Any]:
    return {
        "regionOffset": region.offset,
        "regionLength": region.length,
        "labels": [{"category": e.category, "offset": e.offset, "length": e.length} for e in region.labels],
    }


def etag(document: Document, generation: int) -> str:
    """The version a client sees: opaque to it, two parts inside (labels and settings; suggestions)."""
    labels, suggestions = document.etag(generation)
    return f'"{labels}.{suggestions}"'


def document_json(document: Document, project: Project) -> dict[str, Any]:
    labels = document.active_labels(project.active_studio)
    pending = document.pending(project.generation)
    data: dict[str, Any] = {
        "id": document.id,
        "location": document.location,
        "language": document.language,
        "dataset": document.dataset.value,
        "status": document.status(project.generation, project.active_studio).value,
        "eTag": etag(document, project.generation),
        "contentChanged": document.content_changed,
        "missing": document.missing,
        "length": document.length,
        "flagged": document.flagged,
        "excerpt": document.excerpt,
        "assignee": document.assignee or None,
        "suggestions": [_suggestion(s, pending, project.kind) for s in pending.items] if pending else [],
    }
    if labels is not None:
        shown = without_open_end(labels, document.length)
        data[project.kind.label_field] = write_labels(project.kind, shown)
    if document.note:
        data["note"] = document.note
    if document.rejection is not None:
        data["rejection"] = {"code": document.rejection.code, "message": document.rejection.message}
    if document.problems:
        data["labelProblems"] = list(document.problems)
    return data


def _suggestion(suggestion: Suggestion, source: SuggestionSet, kind: ProjectKind) -> dict[str, Any]:
    data: dict[str, Any] = {
        "id": suggestion.id,
        "category": suggestion.category,
        "confidence": suggestion.confidence / 100,
        "jobId": source.job_id,
        "engine": source.engine,
        "model": source.model,
    }
    if kind is ProjectKind.ENTITIES:
        data |= {"offset": suggestion.offset, "length": suggestion.length}
    return data


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
    """`class`, `classes` or `entities`; `read_labels` reads the value."""

    model_config = ConfigDict(frozen=True, defer_build=True, json_schema_extra=_DOCUMENTED)


class ClassModel(Wire):
    category: str | None


class EntityModel(Wire):
    category: str
    offset: int
    length: int


class RegionModel(Wire):
    region_offset: int
    region_length: int
    labels: list[EntityModel]


class SuggestionModel(Wire):
    id: str
    category: str
    offset: int | None = None
    length: int | None = None
    confidence: Annotated[float, Field(ge=0, le=1)]
    job_id: str
    engine: str
    model: str | None


class RejectionModel(Wire):
    code: str
    message: str


class DocumentModel(Wire):
    """One document; of the label fields only that of the project's kind, and only when it is labeled."""

    id: str
    location: str
    language: str
    dataset: Dataset
    status: DocumentStatus
    e_tag: str
    content_changed: bool
    missing: bool
    length: int | None
    flagged: bool
    #: The assignee: advice, not a lock.
    assignee: str | None
    note: str | None = None
    #: The first words of the text, in one line; empty where the text was not read yet.
    excerpt: str
    class_: ClassModel | None = Field(default=None, alias="class")
    classes: list[ClassModel] | None = None
    entities: list[RegionModel] | None = None
    suggestions: list[SuggestionModel]
    rejection: RejectionModel | None = None
    label_problems: list[str] | None = None


class DocumentListModel(Wire):
    """One page of a list; `count`, where it was asked for: the documents on all its pages."""

    value: list[DocumentModel]
    count: int | None = None
    continuation_token: str | None = None


type Confidence = Annotated[float, Field(ge=0, le=1)]


class DocumentFilters(Wire):
    """The filters and orders of the list of documents."""

    status: DocumentStatus | None = None
    dataset: Dataset | None = None
    category: Annotated[str, Field(max_length=100)] | None = None
    job_id: Annotated[str, Field(max_length=100)] | None = None
    location_prefix: Annotated[str, Field(max_length=1_024)] | None = None
    flagged: bool | None = None
    #: Documents with a suggestion of such a confidence, both ends included; with `category`: a suggestion of it.
    min_confidence: Confidence | None = None
    max_confidence: Confidence | None = None
    #: A person's name; `@me`: the caller; `@none`: documents that are assigned to nobody.
    assigned_to: Annotated[str, Field(max_length=MAX_PERSON)] | None = None
    #: Test documents that the evaluation of this model counts in a cell of its confusion matrix: in the row of
    #: `expectedCategory` and the column of `predictedCategory`, as the matrix names them; without one, in any.
    evaluated_model: ModelLabel | None = None
    expected_category: Annotated[str, Field(max_length=100)] | None = None
    predicted_category: Annotated[str, Field(max_length=100)] | None = None
    orderby: Literal["id", "location", "uncertainty"] = "id"


class DocumentListQuery(DocumentFilters):
    top: Annotated[int, Field(ge=1, le=1_000)] = 100
    #: Whether the answer says how many documents match.
    count: bool = False
    continuation_token: Annotated[str, Field(max_length=4_000)] | None = None


class PageQuery(Wire):
    """Paging of the shorter lists."""

    top: Annotated[int, Field(ge=1, le=1_000)] = 100
    continuation_token: Annotated[str, Field(max_length=4_000)] | None = None


def _only_false(value: bool) -> bool:
    if value:
        raise ValueError("'contentChanged' can only be set to false, which confirms the labels.")
    return value


type Confirmed = Annotated[bool, AfterValidator(_only_false), WithJsonSchema({"const": False})]


MAX_NOTE = 2_000
type Note = Annotated[str, Field(max_length=MAX_NOTE)]


class ScanBody(Strict):
    #: Whether documents whose blobs are gone may be removed even if they are more than half of all.
    confirm_removals: bool = False


class DocumentPatchBody(Strict):
    null_removes: ClassVar[bool] = True

    dataset: Dataset | None = None
    language: Language | None = None
    #: Only false: a person confirms that the labels are still correct for the changed content.
    content_changed: Confirmed | None = None
    flagged: bool | None = None
    #: For other people; empty or null removes it.
    note: Note | None = None


def history_json(by: str, at: datetime, entry: "HistoryEntry", kind: ProjectKind) -> dict[str, Any]:
    """One change; labels before and after it are label fields of the project's kind."""
    details = to_json(entry.details, lambda labels: _label_field(labels, kind))
    return {"dateTime": moment(at), "by": by, "action": entry.action.value, "details": details}


def _label_field(labels: Labels, kind: ProjectKind) -> dict[str, Any]:
    """Labels from before an import changed the kind are shown as what they were."""
    if labels.regions:
        kind = ProjectKind.ENTITIES
    elif len(labels.categories) > (0 if kind is ProjectKind.ENTITIES else 1):
        kind = ProjectKind.MULTI_LABEL
    return {kind.label_field: write_labels(kind, without_open_end(labels, None))}


class HistoryItem(Wire):
    date_time: datetime
    by: str
    action: str
    details: dict[str, Any]


class HistoryList(Wire):
    value: list[HistoryItem]
    continuation_token: str | None = None
