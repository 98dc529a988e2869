"""The parts of an Azure project file that are read whole: head, metadata, kinds and categories."""

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from shared.domain.kinds import ProjectKind
from shared.domain.names import category_fault, container_fault, language_fault, project_name_fault
from shared.domain.project import MAX_CATEGORIES, Category
from shared.domain.project_file import ProjectDetails
from shared.wire.faults import Faults, has_lone_surrogate, shown
from shared.wire.project_settings import read_settings

FILE_VERSION: Final = "2022-05-01"
INDEX_TYPE: Final = "Utf16CodeUnit"
#: The versions of the authoring API that write project files; the format is the same in all of them.
KNOWN_VERSIONS: Final = (
    "2022-05-01",
    "2022-05-15-preview",
    "2022-07-01-preview",
    "2022-10-01-preview",
    "2023-04-01",
    "2023-04-15-preview",
    "2024-11-15-preview",
    "2025-05-15-preview",
)
MAX_DESCRIPTION: Final = 4_000
KIND_MISMATCH: Final = (
    "The project kind in the exported project's metadata must match the assets' project kind."
)


def parse_kind(value: object) -> ProjectKind | None:
    """The kind that a JSON value names, if it does."""
    return ProjectKind.parse(value) if isinstance(value, str) else None


def check_head(top: Mapping[str, Any], faults: Faults) -> None:
    """Checks `projectFileVersion` and `stringIndexType`, which have no bearing on how the rest is read."""
    version, index_type = top.get("projectFileVersion"), top.get("stringIndexType")
    if not isinstance(version, str) or version not in KNOWN_VERSIONS:
        known = ", ".join(KNOWN_VERSIONS)
        faults.add(
            "projectFileVersion", f"'projectFileVersion' must be one of {known}, not {shown(version)}."
        )
    if not isinstance(index_type, str) or index_type.lower() != INDEX_TYPE.lower():
        faults.add("stringIndexType", f"'stringIndexType' must be '{INDEX_TYPE}', not {shown(index_type)}.")


def read_metadata(value: object, faults: Faults) -> ProjectDetails:
    """The details in `metadata`. A field with a fault has a stand-in, and `faults` keeps it from use."""
    if not isinstance(value, dict):
        faults.add("metadata", f"'metadata' must be an object, not {shown(value)}.")
        return ProjectDetails("", ProjectKind.SINGLE_LABEL, "", "")
    metadata = cast("dict[str, Any]", value)
    multilingual = metadata.get("multilingual")
    if multilingual is not None and not isinstance(multilingual, bool):
        faults.add(
            "metadata.multilingual", f"'multilingual' must be true or false, not {shown(multilingual)}."
        )
    return ProjectDetails(
        name=_text(metadata, "projectName", project_name_fault, faults),
        kind=_read_kind(metadata, "metadata", faults) or ProjectKind.SINGLE_LABEL,
        container=_text(metadata, "storageInputContainerName", container_fault, faults),
        language=_text(metadata, "language", language_fault, faults),
        multilingual=multilingual is True,
        description=_text(
            {"description": "", **_stated(metadata)}, "description", _description_fault, faults
        ),
        settings=read_settings(metadata.get("settings"), "metadata.settings", faults),
    )


def read_assets_kind(assets: object, metadata: object, faults: Faults) -> ProjectKind | None:
    """The kind of the assets, which must be that of the metadata; None without assets, or with a fault."""
    if assets is None:
        return None
    if not isinstance(assets, dict):
        faults.add("assets", f"'assets' must be an object, not {shown(assets)}.")
        return None
    kind = _read_kind(cast("dict[str, Any]", assets), "assets", faults)
    stated = (
        parse_kind(cast("dict[str, Any]", metadata).get("projectKind"))
        if isinstance(metadata, dict)
        else None
    )
    if kind is not None and stated is not None and kind is not stated:
        faults.add("assets.projectKind", KIND_MISMATCH)
    return kind


def read_categories(assets: Mapping[str, Any], kind: ProjectKind, faults: Faults) -> tuple[Category, ...]:
    """The categories of the assets, in the order of the file.

    One with a faulty name is among them all the same, so that its labels are not reported too.
    """
    path = f"assets.{kind.category_list}"
    value = assets.get(kind.category_list)
    if value is None:
        return ()
    if not isinstance(value, list):
        faults.add(path, f"'{kind.category_list}' must be a list, not {shown(value)}.")
        return ()
    items = cast("list[object]", value)
    if len(items) > MAX_CATEGORIES:
        faults.add(path, f"The file has {len(items):,} categories; a project has at most {MAX_CATEGORIES}.")
    categories: dict[str, Category] = {}
    for index, item in enumerate(items):
        category = _read_category(item, f"{path}[{index}]", faults)
        if category is None:
            continue
        if category.name in categories:
            faults.add(f"{path}[{index}].category", f"The category {shown(category.name)} is listed twice.")
        categories[category.name] = category
    return tuple(categories.values())


def _read_category(item: object, path: str, faults: Faults) -> Category | None:
    if not isinstance(item, dict):
        return faults.add(path, f"A category must be an object with a 'category', not {shown(item)}.")
    value = cast("dict[str, Any]", item)
    name, description = value.get("category"), value.get("description")
    fault = (
        category_fault(name) if isinstance(name, str) else f"'category' must be a name, not {shown(name)}."
    )
    if fault:
        faults.add(f"{path}.category", fault)
    if not isinstance(name, str):
        return None
    wrong = None if description is None else _string_fault(description, "description", _description_fault)
    if wrong:
        faults.add(f"{path}.description", wrong)
    return Category(name, None if wrong else description)


def _read_kind(value: Mapping[str, Any], path: str, faults: Faults) -> ProjectKind | None:
    stated = value.get("projectKind")
    kind = parse_kind(stated)
    if kind is None:
        kinds = ", ".join(ProjectKind)
        faults.add(f"{path}.projectKind", f"'projectKind' must be one of {kinds}, not {shown(stated)}.")
    return kind


def _text(value: Mapping[str, Any], field: str, fault: Callable[[str], str | None], faults: Faults) -> str:
    text = value.get(field)
    wrong = _string_fault(text, field, fault)
    if wrong:
        faults.add(f"metadata.{field}", wrong)
    return text if isinstance(text, str) and not wrong else ""


def _stated(value: Mapping[str, Any]) -> dict[str, Any]:
    """The fields without those that are null, which says the same as leaving them out."""
    return {key: item for key, item in value.items() if item is not None}


def _string_fault(value: object, field: str, fault: Callable[[str], str | None]) -> str | None:
    return fault(value) if isinstance(value, str) else f"'{field}' must be a string, not {shown(value)}."


def _description_fault(text: str) -> str | None:
    if len(text) > MAX_DESCRIPTION:
        return f"A description has at most {MAX_DESCRIPTION:,} characters."
    return (
        "A description is valid Unicode (it holds half of a surrogate pair)."
        if has_lone_surrogate(text)
        else None
    )
