"""An import of a project file: what its job is asked to do, and what it did."""

from dataclasses import dataclass

from shared.domain.project import Project


@dataclass(frozen=True, slots=True)
class ImportSource:
    """A blob with a project file, as it was when the import was asked for."""

    container: str
    blob: str
    etag: str


@dataclass(frozen=True, slots=True)
class ImportParameters:
    """`places`: incarnations that pages were written to; `landed`: the incarnation that the import became visible in;
    `source`: the blob of a file that is not copied yet.
    """

    by: str = ""
    places: tuple[str, ...] = ()
    landed: str | None = None
    source: ImportSource | None = None

    def landed_in(self, project: Project) -> bool:
        return self.landed == project.incarnation


@dataclass(frozen=True, slots=True)
class ImportResult:
    documents: int = 0
    categories: int = 0
