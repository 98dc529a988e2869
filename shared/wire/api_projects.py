"""Projects, their categories and counts, on the wire."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from shared.domain.kinds import ProjectKind
from shared.domain.names import container_fault
from shared.wire.api import CategoryName, Kind, Language, ModelLabel, Strict, Wire
from shared.wire.project_settings import MAX_LOOKAHEAD


def _container(name: str) -> str:
    if fault := container_fault(name):
        raise ValueError(fault)
    return name


type ContainerName = Annotated[str, AfterValidator(_container)]


class AutolabelSettingsModel(Strict):
    """How uploads are labeled."""

    on_upload: bool = True
    engine: Annotated[str, Field(max_length=50)] | None = None
    model_label: ModelLabel | None = None
    categories: list[CategoryName] | None = None


class SettingsModel(Wire):
    """Project settings. `amlProjectPath` and `isLabelingLocked` tell of the connection and are read-only."""

    confidence_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    aml_project_path: str | None = None
    is_labeling_locked: bool | None = None
    run_gpt_predictions: bool | None = None
    gpt_predictive_lookahead: Annotated[int, Field(ge=0, le=MAX_LOOKAHEAD)] | None = None
    autolabel: AutolabelSettingsModel | None = None


class ProjectBody(Wire):
    """Body of `PATCH P`. Kind, container and language are required for a new project."""

    model_config = ConfigDict(json_schema_extra={"title": "ProjectPatch"})

    project_name: str | None = None
    project_kind: Kind | None = None
    storage_input_container_name: ContainerName | None = None
    language: Language | None = None
    multilingual: Annotated[bool, Field(strict=True)] | None = None
    description: Annotated[str, Field(max_length=4_000)] | None = None
    settings: SettingsModel | None = None


class ProjectModel(Wire):
    created_date_time: datetime
    last_modified_date_time: datetime
    last_trained_date_time: datetime | None = None
    last_deployed_date_time: datetime | None = None
    project_kind: ProjectKind
    storage_input_container_name: str
    settings: SettingsModel
    project_name: str
    multilingual: bool
    description: str
    language: str


class ProjectList(Wire):
    value: list[ProjectModel]
    next_link: str | None = None


class ProjectListQuery(Wire):
    top: Annotated[int, Field(ge=0)] | None = None
    skip: Annotated[int, Field(ge=0)] = 0
    maxpagesize: Annotated[int, Field(ge=1, le=100)] = Field(default=100, alias="maxpagesize")
