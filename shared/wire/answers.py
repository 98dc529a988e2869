"""Domain objects as the JSON of answers."""

from datetime import datetime
from typing import Any

from shared.domain.jobs import DocumentOutcome, Job, JobError
from shared.domain.page import HistoryEntry
from shared.domain.project import Project


def moment(at: datetime) -> str:
    """ISO 8601 in UTC with `Z`, as Azure writes it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def project_json(project: Project) -> dict[str, Any]:
    settings, autolabel = project.settings, project.settings.autolabel
    data: dict[str, Any] = {
        "createdDateTime": moment(project.created),
        "lastModifiedDateTime": moment(project.modified),
        "projectKind": project.kind.value,
        "storageInputContainerName": project.container,
        "settings": {
            "confidenceThreshold": settings.confidence_threshold,
            "isLabelingLocked": project.lock is not None,
            "runGptPredictions": settings.run_gpt_predictions or False,
            "gptPredictiveLookahead": settings.gpt_predictive_lookahead or 0,
            "autolabel": {
                "onUpload": autolabel.on_upload,
                "engine": autolabel.engine,
                "modelLabel": autolabel.model_label,
                "categories": list(autolabel.categories) if autolabel.categories is not None else None,
            },
        },
        "projectName": project.name,
        "multilingual": project.multilingual,
        "description": project.description,
        "language": project.language,
    }
    if project.aml_project_path is not None:
        data["settings"]["amlProjectPath"] = project.aml_project_path
    if project.last_trained is not None:
        data["lastTrainedDateTime"] = moment(project.last_trained)
    return data


def job_json(job: Job) -> dict[str, Any]:
    """State of a long-running operation."""
    data: dict[str, Any] = {
        "jobId": job.id,
        "createdDateTime": moment(job.created),
        "lastUpdatedDateTime": moment(job.updated),
        "expirationDateTime": moment(job.expires),
        "status": job.status.value,
        "warnings": [job_error_json(one) for one in job.warnings],
        "errors": [job_error_json(one) for one in job.errors],
    }
    if job.result:
        data["result"] = dict(job.result)
    return data


def job_error_json(error: JobError) -> dict[str, Any]:
    data = {"code": error.code, "message": error.message}
    return data | ({"target": error.target} if error.target else {})


def outcome_json(outcome: DocumentOutcome) -> dict[str, Any]:
    data: dict[str, Any] = {
        "documentId": outcome.document_id,
        "location": outcome.location,
        "outcome": outcome.outcome.value,
    }
    if outcome.error is not None:
        data["error"] = job_error_json(outcome.error)
    return data


def history_json(by: str, at: datetime, entry: HistoryEntry) -> dict[str, Any]:
    return {"dateTime": moment(at), "by": by, "action": entry.action, "details": dict(entry.facts)}
