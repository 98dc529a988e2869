"""Azure's project file as OpenAPI describes it.

Files are read and written piece by piece (`project_file.py`, `project_file_writer.py`), not through these models.
"""

from typing import Annotated

from pydantic import Field

from shared.domain.kinds import Dataset
from shared.wire.api import CategoryName, JobModel, Kind, Wire
from shared.wire.api_documents import ClassModel, RegionModel
from shared.wire.api_projects import SettingsModel
from shared.wire.project_file_parts import MAX_DESCRIPTION


class FileMetadata(Wire):
    """What the project is; an import takes the name from its address."""

    project_kind: Kind
    storage_input_container_name: str
    project_name: str
    language: str
    multilingual: bool | None = None
    description: Annotated[str, Field(max_length=MAX_DESCRIPTION)] | None = None
    settings: SettingsModel | None = None


class FileCategory(Wire):
    """A class or an entity of the project."""

    category: CategoryName
    description: Annotated[str, Field(max_length=MAX_DESCRIPTION)] | None = None


class FileDocument(Wire):
    """One document; of the label fields that of the project's kind, and only when it is labeled."""

    location: str
    language: str | None = None
    dataset: Dataset | None = None
    class_: ClassModel | None = Field(default=None, alias="class")
    classes: list[ClassModel] | None = None
    entities: list[RegionModel] | None = None


class FileAssets(Wire):
    """Categories, in the list that the kind has, and documents."""

    project_kind: Kind
    classes: list[FileCategory] | None = None
    entities: list[FileCategory] | None = None
    documents: list[FileDocument] | None = None


class ProjectFileModel(Wire):
    """A project with its labels; offsets and lengths are UTF-16 code units."""

    project_file_version: str
    string_index_type: str
    metadata: FileMetadata
    assets: FileAssets | None = None


class ExportJobModel(JobModel):
    """State of an export; `resultUrl`, once it has succeeded, is where the file is."""

    result_url: str | None = None
