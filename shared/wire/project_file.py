"""The Azure project file, read: from its bytes to domain objects, or to all its errors together.

The documents are decoded one at a time and become domain objects at once, so that memory holds the result, but
neither the text nor the file as dicts. They can only be judged when metadata, kind and categories are known:
of a file that has them in another order the documents are skimmed, and the file is read again.
"""

import gc
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO, Final, cast

from shared.domain.errors import InvalidRequest
from shared.domain.jobs import JobError
from shared.domain.names import (
    MAX_LOCATION,
    Dataset,
    ProjectKind,
    azure_name_warning,
    category_error,
    container_error,
    language_error,
    project_name_error,
    similar_names,
)
from shared.domain.project import MAX_CATEGORIES, MAX_PROJECT_DOCUMENTS, Category
from shared.domain.project_file import LabeledDocument, ProjectDetails, ProjectFile
from shared.domain.text import has_lone_surrogate
from shared.wire.api import API_VERSIONS, INDEX_TYPE
from shared.wire.documents import LabelReader
from shared.wire.json_codec import JsonReader, ValidationErrors, shown
from shared.wire.projects import MAX_DESCRIPTION, read_settings, unknown_fields

#: The longest name of a blob.
_DATASETS: Final = {dataset.value: dataset for dataset in Dataset}
_LABEL_FIELDS: Final = frozenset(kind.label_field for kind in ProjectKind)


class DocumentReader:
    """Takes the documents of a file in their order; `language` is that of documents that state none."""

    def __init__(
        self, kind: ProjectKind, language: str, labels: LabelReader, errors: ValidationErrors
    ) -> None:
        self._kind = kind
        self._foreign = _LABEL_FIELDS - {kind.label_field}
        self._labels = labels
        self._errors = errors
        self._index = 0
        self._documents: list[LabeledDocument] = []
        self._places: dict[str, int] = {}
        self._language = language
        self._languages: dict[str, str] = {}

    @property
    def path(self) -> str:
        """The JSON path of the document that comes next."""
        return f"assets.documents[{self._index}]"

    def add(self, value: object) -> None:
        """Reads the next document. Beyond the limit documents are only counted."""
        if self._index < MAX_PROJECT_DOCUMENTS:
            self._read_document(value, self.path)
        self._index += 1

    def finish(self) -> list[LabeledDocument]:
        """All documents with a valid name, in the order of the file."""
        if self._index > MAX_PROJECT_DOCUMENTS:
            message = (
                f"The file has {self._index:,} documents; a project has at most {MAX_PROJECT_DOCUMENTS:,}."
            )
            self._errors.add("assets.documents", message)
        return self._documents

    def _read_document(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            self._errors.add(path, f"A document must be an object, not {shown(value)}.")
            return
        document = cast("dict[str, Any]", value)
        location = self._location(document.get("location"), path)
        language = self._read_language(document.get("language"), path)
        dataset = self._dataset(document.get("dataset"), path)
        found = document.get(self._labels.field)
        labels = None if found is None else self._labels.read(found, f"{path}.{self._labels.field}")
        if not self._foreign.isdisjoint(document):
            self._check_foreign(document, path)
        if location is not None:
            self._documents.append(LabeledDocument(location, language, dataset, labels))

    def _location(self, value: object, path: str) -> str | None:
        if not isinstance(value, str):
            return self._errors.add(
                f"{path}.location", f"'location' must be the name of a blob, not {shown(value)}."
            )
        if not 1 <= len(value) <= MAX_LOCATION or "\0" in value or has_lone_surrogate(value):
            message = f"The name of a blob must have 1 to {MAX_LOCATION:,} valid characters."
            return self._errors.add(f"{path}.location", message)
        first = self._places.setdefault(value, self._index)
        if first != self._index:
            message = f"The location {shown(value)} is listed twice; documents[{first}] has it too."
            return self._errors.add(f"{path}.location", message)
        return value

    def _read_language(self, value: object, path: str) -> str:
        if value is None:
            return self._language
        if not isinstance(value, str):
            self._errors.add(f"{path}.language", f"'language' must be a language code, not {shown(value)}.")
            return ""
        known = self._languages.get(value)
        if known is not None:
            return known
        wrong = language_error(value)
        if wrong:
            self._errors.add(f"{path}.language", wrong)
            return value
        return self._languages.setdefault(value, value)

    def _dataset(self, value: object, path: str) -> Dataset:
        if value is None:
            return Dataset.TRAIN
        dataset = _DATASETS.get(value) if isinstance(value, str) else None
        if dataset is None:
            self._errors.add(f"{path}.dataset", f"'dataset' must be 'Train' or 'Test', not {shown(value)}.")
        return dataset or Dataset.TRAIN

    def _check_foreign(self, document: dict[str, Any], path: str) -> None:
        """A label field of another kind is not ignored as unknown, because its labels would be lost silently."""
        for field in sorted(self._foreign):
            if document.get(field):
                message = f"Documents of a {self._kind} project have their labels in '{self._labels.field}'"
                self._errors.add(f"{path}.{field}", f"{message}, not in '{field}'.")


FILE_VERSION: Final = "2022-05-01"
KIND_MISMATCH: Final = (
    "The project kind in the exported project's metadata must match the assets' project kind."
)


def parse_kind(value: object) -> ProjectKind | None:
    """The kind that a JSON value names, if it does."""
    return ProjectKind.parse(value) if isinstance(value, str) else None


def check_head(top: Mapping[str, Any], errors: ValidationErrors) -> None:
    """Checks `projectFileVersion` and `stringIndexType`, which have no bearing on how the rest is read."""
    version, index_type = top.get("projectFileVersion"), top.get("stringIndexType")
    if not isinstance(version, str) or version not in API_VERSIONS:
        known = ", ".join(API_VERSIONS)
        errors.add(
            "projectFileVersion", f"'projectFileVersion' must be one of {known}, not {shown(version)}."
        )
    if not isinstance(index_type, str) or index_type.lower() != INDEX_TYPE.lower():
        errors.add("stringIndexType", f"'stringIndexType' must be '{INDEX_TYPE}', not {shown(index_type)}.")


def read_metadata(value: object, errors: ValidationErrors) -> ProjectDetails:
    """The details in `metadata`. A field with an error has a stand-in, and `errors` keeps it from use."""
    if not isinstance(value, dict):
        errors.add("metadata", f"'metadata' must be an object, not {shown(value)}.")
        return ProjectDetails("", ProjectKind.SINGLE_LABEL, "", "")
    metadata = cast("dict[str, Any]", value)
    multilingual = metadata.get("multilingual")
    if multilingual is not None and not isinstance(multilingual, bool):
        errors.add(
            "metadata.multilingual", f"'multilingual' must be true or false, not {shown(multilingual)}."
        )
    return ProjectDetails(
        name=_text(metadata, "projectName", project_name_error, errors)
        if metadata.get("projectName")
        else "",
        kind=_read_kind(metadata, "metadata", errors) or ProjectKind.SINGLE_LABEL,
        container=_text(metadata, "storageInputContainerName", container_error, errors),
        language=_text(metadata, "language", language_error, errors),
        multilingual=multilingual is True,
        description=_text(
            {"description": "", **_stated(metadata)}, "description", _description_error, errors
        ),
        settings=read_settings(metadata.get("settings"), "metadata.settings", errors),
    )


def metadata_warnings(metadata: Mapping[str, Any]) -> tuple[JobError, ...]:
    """What is ignored of valid `metadata`."""
    ignored = unknown_fields(metadata.get("settings"))
    return (JobError("Warning", ignored, "metadata.settings.autolabel"),) if ignored else ()


def read_assets_kind(assets: object, metadata: object, errors: ValidationErrors) -> ProjectKind | None:
    """The kind of the assets, which must be that of the metadata; None without assets, or with an error."""
    if assets is None:
        return None
    if not isinstance(assets, dict):
        errors.add("assets", f"'assets' must be an object, not {shown(assets)}.")
        return None
    kind = _read_kind(cast("dict[str, Any]", assets), "assets", errors)
    stated = (
        parse_kind(cast("dict[str, Any]", metadata).get("projectKind"))
        if isinstance(metadata, dict)
        else None
    )
    if kind is not None and stated is not None and kind is not stated:
        errors.add("assets.projectKind", KIND_MISMATCH)
    return kind


def read_categories(
    assets: Mapping[str, Any], kind: ProjectKind, errors: ValidationErrors
) -> tuple[Category, ...]:
    """The categories of the assets, in the order of the file.

    One with an invalid name is included, so that its labels are not reported, too.
    """
    path = f"assets.{kind.category_list}"
    value = assets.get(kind.category_list)
    if value is None:
        return ()
    if not isinstance(value, list):
        errors.add(path, f"'{kind.category_list}' must be a list, not {shown(value)}.")
        return ()
    items = cast("list[object]", value)
    if len(items) > MAX_CATEGORIES:
        errors.add(path, f"The file has {len(items):,} categories; a project has at most {MAX_CATEGORIES}.")
    categories: dict[str, Category] = {}
    for index, item in enumerate(items):
        category = _read_category(item, f"{path}[{index}]", errors)
        if category is None:
            continue
        if category.name in categories:
            errors.add(f"{path}[{index}].category", f"The category {shown(category.name)} is listed twice.")
        categories[category.name] = category
    return tuple(categories.values())


def _read_category(item: object, path: str, errors: ValidationErrors) -> Category | None:
    if not isinstance(item, dict):
        return errors.add(path, f"A category must be an object with a 'category', not {shown(item)}.")
    value = cast("dict[str, Any]", item)
    name, description = value.get("category"), value.get("description")
    wrong = (
        category_error(name) if isinstance(name, str) else f"'category' must be a name, not {shown(name)}."
    )
    if wrong:
        errors.add(f"{path}.category", wrong)
    if not isinstance(name, str):
        return None
    wrong = None if description is None else _string_error(description, "description", _description_error)
    if wrong:
        errors.add(f"{path}.description", wrong)
    return Category(name, None if wrong else description)


def _read_kind(value: Mapping[str, Any], path: str, errors: ValidationErrors) -> ProjectKind | None:
    stated = value.get("projectKind")
    kind = parse_kind(stated)
    if kind is None:
        kinds = ", ".join(ProjectKind)
        errors.add(f"{path}.projectKind", f"'projectKind' must be one of {kinds}, not {shown(stated)}.")
    return kind


def _text(
    value: Mapping[str, Any], field: str, rule: Callable[[str], str | None], errors: ValidationErrors
) -> str:
    text = value.get(field)
    wrong = _string_error(text, field, rule)
    if wrong:
        errors.add(f"metadata.{field}", wrong)
    return text if isinstance(text, str) and not wrong else ""


def _stated(value: Mapping[str, Any]) -> dict[str, Any]:
    """The fields without those that are null, which says the same as leaving them out."""
    return {key: item for key, item in value.items() if item is not None}


def _string_error(value: object, field: str, rule: Callable[[str], str | None]) -> str | None:
    return rule(value) if isinstance(value, str) else f"'{field}' must be a string, not {shown(value)}."


def _description_error(text: str) -> str | None:
    if len(text) > MAX_DESCRIPTION:
        return f"A description must have at most {MAX_DESCRIPTION:,} characters."
    return (
        "The description must be valid Unicode; it contains an unpaired surrogate."
        if has_lone_surrogate(text)
        else None
    )


type ContainerError = Callable[[str], str | None]
"""The error of a container that a file names, besides its spelling."""


def read_project_file(
    source: bytes | BinaryIO, container_error: ContainerError = lambda _: None
) -> ProjectFile:
    """The content of a project file, given as bytes or as a file, which may be read twice.

    About a second of CPU for 100,000 documents: not for the event loop.

    Raises InvalidRequest when the body is no JSON object, InvalidArgument when it breaks rules: one error
    with message and JSON path (`target`), several as `details`, 100 at most and then the count of the rest.
    """
    with _collector_paused():
        stream = BytesIO(source) if isinstance(source, bytes) else source
        return _ProjectFileReader(stream, container_error).read()


@contextmanager
def _collector_paused() -> Generator[None]:
    """Reading makes a million objects and no cycles; to look for cycles among them takes half of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@dataclass(frozen=True, slots=True)
class _Head:
    """All of a file but its documents."""

    details: ProjectDetails
    kind: ProjectKind
    categories: tuple[Category, ...]


class _ProjectFileReader:
    def __init__(self, source: BinaryIO, container_error: ContainerError) -> None:
        self._source = source
        self._container_error = container_error
        self._json = JsonReader(source)
        self._errors = ValidationErrors("project file")
        self._top: dict[str, Any] = {}
        self._assets: dict[str, Any] = {}
        self._documents: list[LabeledDocument] = []
        self._skimmed = False
        self._made: _Head | None = None

    def read(self) -> ProjectFile:
        if self._json.peek() != "{":
            raise InvalidRequest("A project file must be a JSON object.")
        for key in self._json.members():
            if key == "assets" and self._json.peek() == "{":
                self._walk_assets()
            else:
                self._keep(self._top, key, key)
        self._drain("")
        self._json.end()
        return self._finish()

    def _walk_assets(self) -> None:
        self._top["assets"] = self._assets
        for key in self._json.members():
            if key == "documents" and self._json.peek() == "[":
                self._meet_documents()
            else:
                self._keep(self._assets, key, f"assets.{key}")
        self._drain("assets")

    def _keep(self, target: dict[str, Any], key: str, path: str) -> None:
        target[key] = self._json.value()
        self._drain(path)

    def _drain(self, path: str) -> None:
        for complaint in self._json.complaints:
            self._errors.add(path, complaint)
        self._json.complaints.clear()

    def _meet_documents(self) -> None:
        kind = parse_kind(self._assets.get("projectKind"))
        if "metadata" in self._top and kind is not None and kind.category_list in self._assets:
            self._read_documents()
            return
        self._skimmed = True
        for _ in self._json.elements():
            self._json.complaints.clear()

    def _read_documents(self) -> None:
        head = self._head()
        labels = LabelReader(head.kind, self._errors, (category.name for category in head.categories))
        reader = DocumentReader(head.kind, head.details.language, labels, self._errors)
        for value in self._json.elements():
            if self._json.complaints:
                self._drain(reader.path)
            reader.add(value)
        self._documents = reader.finish()

    def _read_again(self) -> None:
        """The documents of a file that had to be skimmed to its end."""
        self._source.seek(0)
        self._json = JsonReader(self._source)
        for key in self._json.members():
            if key != "assets" or self._json.peek() != "{":
                self._json.value()
                continue
            for inner in self._json.members():
                self._json.complaints.clear()  # they are reported already
                if inner == "documents" and self._json.peek() == "[":
                    return self._read_documents()
                self._json.value()
        return None

    def _head(self) -> _Head:
        if self._made is None:
            details = read_metadata(self._top.get("metadata"), self._errors)
            wrong = self._container_error(details.container) if details.container else None
            if wrong:
                self._errors.add("metadata.storageInputContainerName", wrong)
            kind = (
                read_assets_kind(self._top.get("assets"), self._top.get("metadata"), self._errors)
                or details.kind
            )
            self._made = _Head(details, kind, read_categories(self._assets, kind, self._errors))
        return self._made

    def _finish(self) -> ProjectFile:
        head = self._head()
        check_head(self._top, self._errors)
        documents = self._assets.get("documents")
        if documents is not None:
            self._errors.add("assets.documents", f"'documents' must be a list, not {shown(documents)}.")
        if self._skimmed:
            self._read_again()
        self._errors.raise_any()
        return ProjectFile(head.details, head.categories, self._documents, self._warnings(head))

    def _warnings(self, head: _Head) -> tuple[JobError, ...]:
        where = f"assets.{head.kind.category_list}"
        warnings = [
            JobError("Warning", warning, f"{where}[{index}].category")
            for index, category in enumerate(head.categories)
            if (warning := azure_name_warning(category.name))
        ]
        names = [category.name for category in head.categories]
        for earlier, name in similar_names(names):
            text = f"The categories {shown(earlier)} and {shown(name)} differ only in spaces, case or Unicode form."
            warnings.append(JobError("Warning", text, f"{where}[{names.index(name)}].category"))
        return (*warnings, *metadata_warnings(self._top["metadata"]))
