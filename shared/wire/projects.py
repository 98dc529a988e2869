"""Projects, their settings and project files on the wire, as models.

Project files are read and written piece by piece (`project_file.py`, `project_file_writer.py`); their models here are
for OpenAPI.
"""

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError

from shared.domain.labels import BAND
from shared.domain.names import Dataset, DocumentStatus, ProjectKind, container_error
from shared.domain.project import MAX_CATEGORIES, AutolabelSettings, Guidelines, Project, ProjectSettings
from shared.wire.api import CategoryName, JobModel, Kind, Language, ModelLabel, Names, moment
from shared.wire.documents import ClassModel, RegionModel
from shared.wire.json_codec import Body, Strict, ValidationErrors, Wire, shown

if TYPE_CHECKING:
    from shared.domain.page import ProjectStatistics

MAX_LOOKAHEAD = 100_000
MAX_DESCRIPTION = 4_000
MAX_SHOWN = 10


def _container(name: str) -> str:
    if wrong := container_error(name):
        raise ValueError(wrong)
    return name


def _engine(name: str) -> str:
    """Only the form of an engine's name; whether it exists and is configured is checked by the project or the job."""
    if not (name.isascii() and name.replace("-", "").isalnum() and len(name) <= 50):
        raise ValueError("An engine name must have 1 to 50 letters, digits and '-'.")
    return name


def _boolean(value: Any) -> Any:
    """Microsoft's documentation creates a project with `"multilingual": "True"`."""
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


type ContainerName = Annotated[str, AfterValidator(_container)]
type EngineName = Annotated[str, AfterValidator(_engine)]
MAX_DISPLAY_NAME = 100


def _display_name(text: str) -> str:
    text = text.strip()
    if not text.isprintable():
        raise ValueError("A display name must be one line of printable characters.")
    return text


type DisplayName = Annotated[str, Field(max_length=MAX_DISPLAY_NAME), AfterValidator(_display_name)]
type Description = Annotated[str, Field(max_length=MAX_DESCRIPTION)]


class AutolabelSettingsModel(Strict):
    """How uploads are labeled. In a request, an absent field stays as it is, and null resets it to its default."""

    null_removes: ClassVar[bool] = True  # part of a merge patch

    on_upload: bool | None = True
    engine: EngineName | None = None
    model_label: ModelLabel | None = None
    categories: Annotated[list[CategoryName], Field(max_length=MAX_CATEGORIES)] | None = None

    def applied_to(self, current: AutolabelSettings) -> AutolabelSettings:
        """The settings with the fields of the request."""
        return replace(current, **_given(self, AutolabelSettings()))


class SettingsModel(Wire):
    """Project settings in a request or a project file. An absent field stays as it is, null resets it."""

    confidence_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    run_gpt_predictions: bool | None = None
    gpt_predictive_lookahead: Annotated[int, Field(ge=0, le=MAX_LOOKAHEAD)] | None = None
    autolabel: AutolabelSettingsModel | None = None

    def applied_to(self, current: ProjectSettings) -> ProjectSettings:
        """The settings with the fields of the request."""
        given = _given(self, ProjectSettings())
        if self.autolabel is not None:
            given["autolabel"] = self.autolabel.applied_to(current.autolabel)
        return replace(current, **given)


def _given(model: SettingsModel | AutolabelSettingsModel, defaults: Any) -> dict[str, Any]:
    """The fields that the request has, null as the default, lists as tuples."""
    given: dict[str, Any] = {name: getattr(model, name) for name in model.model_fields_set}
    for name, value in given.items():
        if value is None:
            given[name] = getattr(defaults, name)
        elif name == "categories":
            given[name] = tuple(value)
    return given


class ProjectSettingsModel(SettingsModel):
    """Settings as they are answered. `amlProjectPath` and `isLabelingLocked` come from the connection: read-only."""

    aml_project_path: str | None = None
    is_labeling_locked: bool | None = None


def read_settings(value: object, path: str, errors: ValidationErrors) -> ProjectSettings:
    """The `settings` of a project file; absent fields have their defaults, what is wrong goes to `errors`.

    Unknown fields are ignored, those of `autolabel` too (see `unknown_fields`): the file may be from elsewhere.
    """
    if value is None:
        return ProjectSettings()
    if not isinstance(value, dict):
        errors.add(path, f"'settings' must be an object, not {shown(value)}.")
        return ProjectSettings()
    settings = cast("dict[str, Any]", value)
    if isinstance(settings.get("autolabel"), dict):
        autolabel = cast("dict[str, Any]", settings["autolabel"])
        settings = settings | {"autolabel": {key: autolabel[key] for key in _AUTOLABEL & autolabel.keys()}}
    try:
        return SettingsModel.model_validate(settings, strict=True, by_name=False).applied_to(
            ProjectSettings()
        )
    except ValidationError as error:
        errors.add_model(error, path)
        return ProjectSettings()


_AUTOLABEL = frozenset(str(field.alias) for field in AutolabelSettingsModel.model_fields.values())


def unknown_fields(settings: object) -> str | None:
    """The warning about fields of `autolabel` in a project file that do not exist here."""
    value = cast("dict[str, Any]", settings).get("autolabel") if isinstance(settings, dict) else None
    if not isinstance(value, dict):
        return None
    unknown = sorted(cast("dict[str, Any]", value).keys() - _AUTOLABEL)
    if not unknown:
        return None
    more = " and more" if len(unknown) > MAX_SHOWN else ""
    names = ", ".join(shown(name) for name in unknown[:MAX_SHOWN])
    return f"Unknown fields of 'autolabel' are ignored: {names}{more}."


def settings_json(settings: ProjectSettings) -> dict[str, Any]:
    """The JSON object; fields that nobody set are None, but for `confidenceThreshold` and `onUpload`."""
    autolabel = settings.autolabel
    return {
        "confidenceThreshold": settings.confidence_threshold,
        "runGptPredictions": settings.run_gpt_predictions,
        "gptPredictiveLookahead": settings.gpt_predictive_lookahead,
        "autolabel": {
            "onUpload": autolabel.on_upload,
            "engine": autolabel.engine,
            "modelLabel": autolabel.model_label,
            "categories": list(autolabel.categories) if autolabel.categories is not None else None,
        },
    }


def project_json(project: Project) -> dict[str, Any]:
    settings = project.settings
    data: dict[str, Any] = {
        "createdDateTime": moment(project.created),
        "lastModifiedDateTime": moment(project.modified),
        "projectKind": project.kind.value,
        "storageInputContainerName": project.container,
        "settings": settings_json(settings)
        | {
            "isLabelingLocked": project.lock is not None,
            "runGptPredictions": settings.run_gpt_predictions or False,
            "gptPredictiveLookahead": settings.gpt_predictive_lookahead or 0,
        },
        "projectName": project.name,
        "multilingual": project.multilingual,
        "description": project.description,
        "language": project.language,
    }
    if project.aml_project_path is not None:
        data["settings"]["amlProjectPath"] = project.aml_project_path
    if project.display_name:
        data["displayName"] = project.display_name
    if project.deployed is not None:
        deployed = project.deployed
        data["deployedModel"] = {"projectName": deployed.project, "deploymentName": deployed.deployment}
    if project.last_trained is not None:
        data["lastTrainedDateTime"] = moment(project.last_trained)
    return data


class ProjectBody(Body):
    """Body of `PATCH P`. Kind, container and language are required for a new project."""

    model_config = ConfigDict(json_schema_extra={"title": "ProjectPatch"})
    null_removes: ClassVar[bool] = True

    project_name: str | None = None
    project_kind: Kind | None = None
    storage_input_container_name: ContainerName | None = None
    language: Language | None = None
    multilingual: Annotated[bool, Field(strict=True), BeforeValidator(_boolean)] | None = None
    description: Description | None = None
    #: What people see in place of the name, which cannot be changed; empty or null: the name.
    display_name: DisplayName | None = None
    settings: SettingsModel | None = None


class DeployedModelModel(Wire):
    """Where the project was pushed to: the model that the engine `azure-language` uses for it."""

    project_name: str
    deployment_name: str


class ProjectModel(Wire):
    created_date_time: datetime
    last_modified_date_time: datetime
    last_trained_date_time: datetime | None = None
    last_deployed_date_time: datetime | None = None
    project_kind: ProjectKind
    storage_input_container_name: str
    settings: ProjectSettingsModel
    project_name: str
    multilingual: bool
    description: str
    display_name: str | None = None
    language: str
    deployed_model: DeployedModelModel | None = None


class ProjectList(Wire):
    value: list[ProjectModel]
    next_link: str | None = None


def _at_most_100(size: int) -> int:
    return min(size, 100)


class ProjectListQuery(Wire):
    top: Annotated[int, Field(ge=0)] | None = None
    skip: Annotated[int, Field(ge=0)] = 0
    #: Values above 100 mean 100.
    maxpagesize: Annotated[int, Field(ge=1), AfterValidator(_at_most_100)] = Field(
        default=100, alias="maxpagesize"
    )


MAX_GUIDELINES = 50_000


class GuidelinesBody(Strict):
    #: Markdown. Empty: the project has no guidelines any more; earlier versions stay readable.
    text: Annotated[str, Field(max_length=MAX_GUIDELINES)]


class GuidelineVersion(Wire):
    """A version without its text. `length` is in characters. Version 0: nobody wrote any yet."""

    version: int
    by: str | None
    date_time: datetime | None
    length: int


class GuidelinesModel(GuidelineVersion):
    text: str


class GuidelineVersions(Wire):
    value: list[GuidelineVersion]
    continuation_token: str | None = None


def guidelines_json(guidelines: Guidelines, *, text: bool = True) -> dict[str, Any]:
    """One version; without its text in a list."""
    return {
        "version": guidelines.version,
        "by": guidelines.by,
        "dateTime": moment(guidelines.at) if guidelines.at else None,
        "length": guidelines.length,
    } | ({"text": guidelines.text} if text else {})


class CategoryModel(Wire):
    category: str
    description: str | None = None


class CategoryList(Wire):
    value: list[CategoryModel]


class CategoryItem(Strict):
    """A category to define or describe; `previousCategory` renames the one of that name."""

    category: CategoryName
    description: Annotated[str, Field(max_length=1_000)] | None = None
    previous_category: str | None = None


class CategoriesBody(Strict):
    value: Annotated[list[CategoryItem], Field(min_length=1, max_length=MAX_CATEGORIES)]


class CategoryNames(Strict):
    categories: Annotated[Names, Field(min_length=1, max_length=MAX_CATEGORIES)]


class DocumentCounts(Wire):
    total: int
    unlabeled: int
    auto_labeled: int
    labeled: int
    rejected: int
    missing: int
    waiting: int
    flagged: int


class CategoryLabels(Wire):
    category: str
    labels: int


class CalibrationBand(Wire):
    min_confidence: float
    max_confidence: float
    accepted: int
    rejected: int
    accepted_share: float | None


class Statistics(Wire):
    documents: DocumentCounts
    datasets: dict[str, int]
    categories: list[CategoryLabels]
    calibration: list[CalibrationBand]


def statistics_json(statistics: "ProjectStatistics") -> dict[str, Any]:
    """`acceptedShare` is null in a band of which nothing was decided."""
    calibration = statistics.calibration
    return {
        "documents": {
            "total": statistics.documents,
            **{status.value: statistics.statuses.get(status, 0) for status in DocumentStatus},
            "missing": statistics.missing,
            "waiting": statistics.waiting,
            "flagged": statistics.flagged,
        },
        "datasets": {dataset.value: statistics.datasets.get(dataset, 0) for dataset in Dataset},
        "categories": [
            {"category": name, "labels": labels} for name, labels in statistics.categories.items()
        ],
        "calibration": [
            {
                "minConfidence": index * BAND / 100,
                "maxConfidence": (index + 1) * BAND / 100,
                "accepted": accepted,
                "rejected": rejected,
                "acceptedShare": accepted / (accepted + rejected) if accepted + rejected else None,
            }
            for index, (accepted, rejected) in enumerate(
                zip(calibration.accepted, calibration.rejected, strict=True)
            )
        ],
    }


class FileMetadata(Wire):
    """What the project is; an import takes the name from its address."""

    project_kind: Kind
    storage_input_container_name: str
    project_name: str | None = None
    language: str
    multilingual: bool | None = None
    description: Description | None = None
    settings: SettingsModel | None = None


class FileCategory(Wire):
    """A class or an entity of the project."""

    category: CategoryName
    description: Description | None = None


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


class ExportedFileModel(ProjectFileModel):
    """A part of an export, at most 32 MiB; `nextLink` is where the next part is, with other documents."""

    next_link: str | None = None


class BlobModel(Strict):
    """A blob in this storage account."""

    container_name: ContainerName
    blob_name: Annotated[str, Field(min_length=1, max_length=1_024)]


class ProjectFileReference(Strict):
    """Body of `:import` for a file of up to 100 MiB in the container that it names."""

    project_file: BlobModel


class ExportJobModel(JobModel):
    """State of an export; `resultUrl`, once it has succeeded, is where the file is, or its first part."""

    result_url: str | None = None
