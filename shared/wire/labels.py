"""The label field of a document, read and written: `class`, `classes` or `entities` of a project file.

"Labeled with nothing" (rule D6) is `"classes": []`, `"entities": []` or regions without labels, and for a
single-label document, for which Azure has no word, `"class": {"category": null}`. A missing or null field is
"unlabeled".
"""

from collections.abc import Iterable
from typing import Any, Final, cast

from shared.domain.kinds import ProjectKind
from shared.domain.labels import EntityLabel, Labels, Region
from shared.domain.names import category_fault
from shared.domain.suggestions import MAX_ENTITY_LENGTH
from shared.domain.text import MAX_CHARACTERS
from shared.wire.faults import Faults, shown

#: A document of 128,000 characters has at most twice as many UTF-16 code units.
MAX_UNITS: Final = 2 * MAX_CHARACTERS
NOTHING: Final = Labels()


class LabelReader:
    """Reads label fields of one project kind; what is wrong goes to `faults`, with its path.

    `categories` are those that labels may have; None lets every valid name pass (rule D7). Equal labels of
    classification documents are one object, and so are equal names: 100,000 documents have few of them.
    """

    def __init__(self, kind: ProjectKind, faults: Faults, categories: Iterable[str] | None = None) -> None:
        self.field = kind.label_field
        self._faults = faults
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
        """The labels of a label field; None for null, and for what cannot be read (see `faults`)."""
        return None if value is None else self._read(value, path)

    def _class(self, value: object, path: str) -> Labels | None:
        if not isinstance(value, dict):
            return self._fault(path, f"'class' must be an object with a 'category', not {shown(value)}.")
        one = cast("dict[str, Any]", value)
        if "category" in one and one["category"] is None:
            return NOTHING
        name = self._category(one, path)
        return None if name is None else self._share((name,))

    def _classes(self, value: object, path: str) -> Labels | None:
        if not isinstance(value, list):
            return self._fault(path, f"'classes' must be a list, not {shown(value)}.")
        names: list[str] = []
        for index, item in enumerate(cast("list[object]", value)):
            name = self._category(item, f"{path}[{index}]")
            if name in names:
                self._fault(f"{path}[{index}].category", f"The class {shown(name)} is listed twice.")
            elif name is not None:
                names.append(name)
        return self._share(tuple(names))

    def _regions(self, value: object, path: str) -> Labels | None:
        if not isinstance(value, list):
            return self._fault(path, f"'entities' must be a list of regions, not {shown(value)}.")
        regions: list[Region] = []
        seen: set[EntityLabel] = set()
        for index, item in enumerate(cast("list[object]", value)):
            region = self._faultless_region(item) or self._region(item, f"{path}[{index}]")
            if region is None:
                continue
            if not seen.isdisjoint(region.labels):
                text = "An entity is listed in an earlier region, too (same category, offset and length)."
                self._fault(f"{path}[{index}].labels", text)
            seen.update(region.labels)
            regions.append(region)
        return Labels(regions=tuple(regions)) if regions else NOTHING

    def _faultless_region(self, value: Any) -> Region | None:
        """The region if nothing is wrong with it, in half the time; `_region` finds out what is."""
        entities: list[EntityLabel] = []
        names, last, ordered = self._names, -1, True
        try:
            start, size, labels = value["regionOffset"], value["regionLength"], value["labels"]
            if type(labels) is not list:
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
            return self._fault(path, f"A region must be an object, not {shown(value)}.")
        region = cast("dict[str, Any]", value)
        offset = self._number(region, "regionOffset", path)
        length = self._number(region, "regionLength", path)
        if offset is not None and length is not None and offset + length > MAX_UNITS:
            text = f"The region ends beyond the longest document ({MAX_UNITS:,} code units)."
            return self._fault(f"{path}.regionLength", text)
        labels = region.get("labels")
        if labels is None:
            labels = []
        if not isinstance(labels, list):
            return self._fault(f"{path}.labels", f"'labels' must be a list, not {shown(labels)}.")
        entities: list[EntityLabel] = []
        for index, item in enumerate(cast("list[object]", labels)):
            entity = self._entity(item, f"{path}.labels[{index}]", offset, length)
            if entity is not None:
                entities.append(entity)
        if len(set(entities)) != len(entities):
            self._fault(f"{path}.labels", "An entity is listed twice (same category, offset and length).")
        return None if offset is None or length is None else Region(offset, length, tuple(entities))

    def _entity(self, value: object, path: str, start: int | None, size: int | None) -> EntityLabel | None:
        if not isinstance(value, dict):
            return self._fault(path, f"An entity must be an object, not {shown(value)}.")
        entity = cast("dict[str, Any]", value)
        category = self._category(entity, path)
        offset = self._number(entity, "offset", path)
        length = self._number(entity, "length", path)
        if category is None or offset is None or length is None:
            return None
        if not 1 <= length <= MAX_ENTITY_LENGTH:
            return self._fault(
                f"{path}.length", f"An entity has 1 to {MAX_ENTITY_LENGTH} characters, not {length}."
            )
        if start is not None and size is not None and not start <= offset <= start + size - length:
            place = f"{offset} to {offset + length} is not inside its region, {start} to {start + size}"
            return self._fault(f"{path}.offset", f"The entity {place}.")
        return EntityLabel(category, offset, length)

    def _category(self, value: object, path: str) -> str | None:
        if not isinstance(value, dict):
            return self._fault(path, f"A class must be an object with a 'category', not {shown(value)}.")
        name = cast("dict[str, Any]", value).get("category")
        if not isinstance(name, str):
            return self._fault(
                f"{path}.category", f"'category' must be the name of a category, not {shown(name)}."
            )
        known = self._names.get(name)
        return known if known is not None else self._unknown(name, path)

    def _unknown(self, name: str, path: str) -> str | None:
        if not self._open:
            return self._fault(
                f"{path}.category", f"The category {shown(name)} is not listed in {self._where}."
            )
        fault = category_fault(name)
        if fault:
            return self._fault(f"{path}.category", fault)
        return self._names.setdefault(name, name)

    def _number(self, value: dict[str, Any], field: str, path: str) -> int | None:
        number = value.get(field)
        if type(number) is not int or number < 0:
            return self._fault(
                f"{path}.{field}", f"'{field}' must be an integer of 0 or more, not {shown(number)}."
            )
        if number > MAX_UNITS:
            return self._fault(
                f"{path}.{field}", f"'{field}' is beyond the longest document ({MAX_UNITS:,} code units)."
            )
        return number

    def _share(self, names: tuple[str, ...]) -> Labels:
        labels = self._shared.get(names)
        return labels if labels is not None else self._shared.setdefault(names, Labels(categories=names))

    def _fault(self, path: str, message: str) -> None:
        self._faults.add(path, message)


def read_labels(kind: ProjectKind, value: object) -> Labels | None:
    """The labels of one label field, with any valid category. Raises InvalidArgument with all its faults."""
    faults = Faults("label field")
    labels = LabelReader(kind, faults).read(value, kind.label_field)
    faults.raise_any()
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
