"""A custom text project: its settings, and the counters that order its changes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from shared.domain.errors import Conflict, InvalidArgument, LabelingLocked
from shared.domain.names import ProjectKind, Studio

DEFAULT_PAGES = 1_024
MAX_CATEGORIES = 200
MAX_PROJECT_DOCUMENTS = 100_000


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


@dataclass(frozen=True, slots=True)
class FormerName:
    """A name that a category had until the project's edit number `edit`; `now`: its current name, None: removed."""

    name: str
    now: str | None
    edit: int


#: Begins the holder of a lock under which categories are renamed or removed.
CATEGORY_EDIT = "categories "


@dataclass(frozen=True, slots=True)
class Lock:
    """The holder of the lock on the labels, and the reason that callers see. `number` is the fence number."""

    number: int
    holder: str
    reason: str
    retry_after: int | None = None

    @property
    def edits_categories(self) -> bool:
        return self.holder.startswith(CATEGORY_EDIT)


class HasIncarnation(Protocol):
    @property
    def incarnation(self) -> str: ...


class OfProject:
    """Something that belongs to one incarnation of a project: a job, a message, a connection."""

    __slots__ = ()

    def applies_to(self: HasIncarnation, project: "Project") -> bool:
        """Whether this is the same project, and not one created later under its name."""
        return project.incarnation == self.incarnation


@dataclass(frozen=True, slots=True)
class DeployedModel:
    """A model in an Azure Language resource, by the names of its project and deployment there.

    `edits`: how often categories had been renamed or removed when the project was pushed, for what their names mean to
    the model; None: not known. `endpoint`: the resource; "" where an earlier version did not note it.
    """

    project: str
    deployment: str
    edits: int | None = None
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Guidelines:
    """How to label, in Markdown: one version, numbered from 1. Version 0 is the absence of any."""

    version: int = 0
    text: str = ""
    by: str | None = None
    at: datetime | None = None
    #: In code points; of a version that is only listed, without its text.
    length: int = 0


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
    #: The name that people see; "": the project's name, which is its identity and never changes.
    display_name: str = ""
    settings: ProjectSettings = ProjectSettings()
    categories: tuple[Category, ...] = ()
    #: How often categories were renamed or removed, and what they were called before, oldest first.
    edits: int = 0
    former: tuple[FormerName, ...] = ()
    last_trained: datetime | None = None
    generation: int = 0
    active_studio: Studio = Studio.LANGUAGE_STUDIO
    aml_project_path: str | None = None
    pages: int = DEFAULT_PAGES
    #: Highest fence number given out, and the highest that was released: a page with a higher one is locked.
    locks: int = 0
    released: int = 0
    lock: Lock | None = None
    #: Id of the train job that runs: one at a time (rule T1).
    training: str | None = None
    #: Its model is visible: from the write that ended the generation on (rule T4), also before the model has its row.
    trained: bool = False
    deleting: bool = False
    #: Where the project was pushed to last, for the engine `azure-language`.
    deployed: DeployedModel | None = None
    etag: str = field(default="", compare=False)

    def same_as(self, other: "Project") -> bool:
        """Whether both are states of one project, and not of two consecutive projects of the same name."""
        return self.incarnation == other.incarnation

    @property
    def scope(self) -> "Scope":
        return Scope(self.name, self.incarnation, self.edition, self.pages)

    @property
    def category_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.categories)

    def current_name(self, name: str, edits: int) -> str | None:
        """The current name of a category that had this name after that many edits; None: removed since.

        A model that was trained then means that category, also where the name was given to another since.
        """
        return next(
            (former.now for former in self.former if former.name == name and former.edit > edits), name
        )


@dataclass(frozen=True, slots=True)
class Scope:
    """Where the content of a project is stored; messages about deleted or replaced content do not match it."""

    project: str
    incarnation: str
    edition: str
    pages: int


def with_categories(project: Project, categories: tuple[Category, ...]) -> Project:
    """The project with exactly these categories, as an import has them.

    Former names of categories that it does not have are forgotten: its own names mean what they say.
    """
    names = {category.name for category in categories}
    known = tuple(
        former
        for former in project.former
        if (former.now in names if former.now is not None else former.name not in names)
    )
    return replace(project, categories=categories, former=known)


def released(project: Project, training: str) -> Project:
    """The project without this training, if it is its current one."""
    return replace(project, training=None, trained=False) if project.training == training else project


def former_names(project: Project) -> dict[str, str | None]:
    """Former names and the current name of each; None: the category was removed."""
    known = set(project.category_names)
    return {former.name: former.now for former in project.former if former.name not in known}


def require_current_names(project: Project, names: Iterable[str], target: str) -> None:
    """Raises Conflict for a name that a category had: only an explicit definition makes it again (rule D16)."""
    former = former_names(project)
    for name in names:
        if name not in former:
            continue
        now = former[name]
        if now is None:
            text = f"The category '{name}' was removed; define it again to use it."
            raise Conflict(text, target=target, inner_code="CategoryRemoved")
        text = f"The category '{name}' was renamed; its current name is '{now}'."
        raise Conflict(text, target=target, inner_code="CategoryRenamed")


def unknown_categories(project: Project, names: Iterable[str]) -> dict[str, str]:
    """What is wrong with `categories` of a request that must exist: a message for each, by path."""
    known = set(project.category_names)
    return {
        f"categories[{index}]": f"The project has no category '{name}'."
        for index, name in enumerate(names)
        if name not in known
    }


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
    return replace(project, categories=(*project.categories, *(Category(name) for name in fresh)))
