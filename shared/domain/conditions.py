"""What must hold before a project may be connected (rule C2). All are looked at, never just the first."""

from collections.abc import Iterable
from dataclasses import dataclass

from shared.domain.bond import StudioKind
from shared.domain.errors import Conflict, InvalidArgument
from shared.domain.kinds import ProjectKind
from shared.domain.project import Project
from shared.domain.textdnn import text_dnn_language

MIN_CLASSES = 2
MIN_ENTITIES = 1


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: `code` for programs, `message` for people, `target` the field."""

    code: str
    met: bool
    message: str
    target: str | None = None


def project_conditions(project: Project, studio: StudioKind, documents: int) -> list[Condition]:
    """The conditions that the project itself decides. `documents`: how many are registered."""
    conditions = [_categories(project), _multilingual(project), _language(project)]
    if studio is StudioKind.AZURE_ML:
        conditions.append(_text_uploaded(documents))
    return conditions


def _categories(project: Project) -> Condition:
    entities = project.kind is ProjectKind.ENTITIES
    least = MIN_ENTITIES if entities else MIN_CLASSES
    word = "entity" if entities else "classes"
    count = len(project.categories)
    met = count >= least
    message = (
        f"The project has {count} categories."
        if met
        else f"Define at least {least} {word}; there are {count}."
    )
    return Condition("EnoughCategories", met, message, "categories")


def _multilingual(project: Project) -> Condition:
    met = not project.multilingual
    message = "The project has one language." if met else "A multilingual project cannot be connected."
    return Condition("NotMultilingual", met, message, "multilingual")


def _language(project: Project) -> Condition:
    code = text_dnn_language(project.language)
    if code:
        return Condition(
            "LanguageSupported", True, f"Azure Machine Learning knows the language as '{code}'.", "language"
        )
    message = f"Azure Machine Learning cannot label text in the language '{project.language}'."
    return Condition("LanguageSupported", False, message, "language")


def _text_uploaded(documents: int) -> Condition:
    met = documents > 0
    message = (
        f"{documents} documents are registered." if met else "Upload text to the project's container first."
    )
    return Condition("TextUploaded", met, message, "documents")


def unmet(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    return tuple(condition for condition in conditions if not condition.met)


def require(conditions: Iterable[Condition]) -> None:
    """Raises Conflict with one detail for each condition that does not hold."""
    failed = unmet(conditions)
    if not failed:
        return
    details = tuple(InvalidArgument(c.message, target=c.target, inner_code=c.code) for c in failed)
    summary = " ".join(c.message for c in failed)
    raise Conflict(
        f"The project cannot be connected: {summary}", inner_code="PreconditionsNotMet", details=details
    )
