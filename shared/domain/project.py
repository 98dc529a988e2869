"""A custom text project: what people set, and the counters that order what happens to it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from shared.domain.errors import InvalidArgument, LabelingLocked
from shared.domain.kinds import ProjectKind, Studio

DEFAULT_PAGES = 1_024
MAX_CATEGORIES = 200
MAX_DOCUMENTS = 100_000


@dataclass(frozen=True, slots=True)
class AutolabelSettings:
    """How uploads are labeled: `settings.autolabel` on the wire."""

    on_upload: bool = True
    engine: str | None = None
    model_label: str | None = None
    categories: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    confidence_threshold: float = 0.0
    autolabel: AutolabelSettings = AutolabelSettings()
    run_gpt_predictions: bool | None = None
    gpt_predictive_lookahead: int | None = None


@dataclass(frozen=True, slots=True)
class Category:
    name: str
    description: str | None = None


#: Begins the holder of a lock under which categories are renamed or removed.
CATEGORY_EDIT = "categories "


@dataclass(frozen=True, slots=True)
class Lock:
    """Who keeps labels from changing, and what to tell those who try. `number` orders locks (section 5, the gate)."""

    number: int
    holder: str
    reason: str
    retry_after: int | None = None

    @property
    def edits_categories(self) -> bool:
        return self.holder.startswith(CATEGORY_EDIT)


@dataclass(frozen=True, slots=True)
class Project:
    name: str
    kind: ProjectKind
    container: str
    language: str
    created: datetime
    modified: datetime
    incarnation: str
    edition: str
    multilingual: bool = False
    description: str = ""
    settings: ProjectSettings = ProjectSettings()
    categories: tuple[Category, ...] = ()
    #: (former name, name of today) of renamed categories: models trained before still use the former.
    former: tuple[tuple[str, str], ...] = ()
    last_trained: datetime | None = None
    generation: int = 0
    active_studio: Studio = Studio.LANGUAGE_STUDIO
    aml_project_path: str | None = None
    pages: int = DEFAULT_PAGES
    #: Highest lock number given out, and the highest that is open again: a page with a slot above `opened` is shut.
    locks: int = 0
    opened: int = 0
    lock: Lock | None = None
    #: Id of the train job that runs: one at a time (rule T1).
    training: str | None = None
    deleting: bool = False
    etag: str = field(default="", compare=False)

    @property
    def scope(self) -> "Scope":
        return Scope(self.name, self.incarnation, self.edition, self.pages)

    @property
    def category_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.categories)


@dataclass(frozen=True, slots=True)
class Scope:
    """Where the content of a project lies: what left-over messages of a deleted or replaced content do not match."""

    project: str
    incarnation: str
    edition: str
    pages: int


def with_categories(project: Project, categories: tuple[Category, ...]) -> Project:
    """The project with exactly these categories; a former name that is taken again means no other any more."""
    names = {category.name for category in categories}
    return replace(
        project, categories=categories, former=tuple(pair for pair in project.former if pair[0] not in names)
    )


def define(project: Project, names: Sequence[str], target: str = "category") -> Project:
    """The project with these categories defined (rule D7).

    Raises InvalidArgument over 200, LabelingLocked while categories are renamed or removed.
    """
    known = set(project.category_names)
    fresh = [name for name in dict.fromkeys(names) if name not in known]
    if not fresh:
        return project
    if project.lock is not None and project.lock.edits_categories:
        raise LabelingLocked(project.lock.reason, retry_after=project.lock.retry_after)
    if len(known) + len(fresh) > MAX_CATEGORIES:
        raise InvalidArgument(f"A project has at most {MAX_CATEGORIES} categories.", target=target)
    return with_categories(project, (*project.categories, *(Category(name) for name in fresh)))
