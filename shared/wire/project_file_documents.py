"""The documents of an Azure project file: each becomes a `LabeledDocument`, or its faults are noted."""

from typing import Any, Final, cast

from shared.domain.kinds import Dataset, ProjectKind
from shared.domain.names import language_fault
from shared.domain.project import MAX_DOCUMENTS
from shared.domain.project_file import LabeledDocument
from shared.wire.faults import Faults, has_lone_surrogate, shown
from shared.wire.labels import LabelReader

#: The longest name of a blob.
MAX_LOCATION: Final = 1_024
_DATASETS: Final = {dataset.value: dataset for dataset in Dataset}
_LABEL_FIELDS: Final = frozenset(kind.label_field for kind in ProjectKind)


class DocumentReader:
    """Takes the documents of a file in their order; `language` is that of documents that state none."""

    def __init__(self, kind: ProjectKind, language: str, labels: LabelReader, faults: Faults) -> None:
        self._kind = kind
        self._foreign = _LABEL_FIELDS - {kind.label_field}
        self._labels = labels
        self._faults = faults
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
        if self._index < MAX_DOCUMENTS:
            self._read(value, self.path)
        self._index += 1

    def finish(self) -> list[LabeledDocument]:
        """All documents without a fault in their name, in the order of the file."""
        if self._index > MAX_DOCUMENTS:
            message = f"The file has {self._index:,} documents; a project has at most {MAX_DOCUMENTS:,}."
            self._faults.add("assets.documents", message)
        return self._documents

    def _read(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            self._faults.add(path, f"A document must be an object, not {shown(value)}.")
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
            return self._faults.add(
                f"{path}.location", f"'location' must be the name of a blob, not {shown(value)}."
            )
        if not 1 <= len(value) <= MAX_LOCATION or "\0" in value or has_lone_surrogate(value):
            message = f"The name of a blob has 1 to {MAX_LOCATION:,} valid characters."
            return self._faults.add(f"{path}.location", message)
        first = self._places.setdefault(value, self._index)
        if first != self._index:
            message = f"The location {shown(value)} is listed twice; it is that of documents[{first}] too."
            return self._faults.add(f"{path}.location", message)
        return value

    def _read_language(self, value: object, path: str) -> str:
        if value is None:
            return self._language
        if not isinstance(value, str):
            self._faults.add(f"{path}.language", f"'language' must be a language code, not {shown(value)}.")
            return ""
        known = self._languages.get(value)
        if known is not None:
            return known
        fault = language_fault(value)
        if fault:
            self._faults.add(f"{path}.language", fault)
            return value
        return self._languages.setdefault(value, value)

    def _dataset(self, value: object, path: str) -> Dataset:
        if value is None:
            return Dataset.TRAIN
        dataset = _DATASETS.get(value) if isinstance(value, str) else None
        if dataset is None:
            self._faults.add(f"{path}.dataset", f"'dataset' must be 'Train' or 'Test', not {shown(value)}.")
        return dataset or Dataset.TRAIN

    def _check_foreign(self, document: dict[str, Any], path: str) -> None:
        """A label field of another kind is no unknown extra: to ignore it would lose labels silently."""
        for field in sorted(self._foreign):
            if document.get(field):
                message = f"Documents of a {self._kind} project have their labels in '{self._labels.field}'"
                self._faults.add(f"{path}.{field}", f"{message}, not in '{field}'.")
