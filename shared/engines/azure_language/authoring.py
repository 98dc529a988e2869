"""Pushes to the Language resource: import a project, train a model, deploy it.

Each call starts a job of the service or gets its state. None waits for a job.
"""

from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from shared.domain.jobs import JobError
from shared.engines.azure_language.service import (
    API_VERSION,
    LanguageOptions,
    Received,
    reason_in,
    service_call,
)
from shared.engines.base import EngineUnavailable, require_settings

if TYPE_CHECKING:
    from azure.ai.textanalytics.authoring.aio import TextAuthoringProjectClient

ENDED = frozenset({"succeeded", "partiallyCompleted", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class ServiceJob:
    """A job of the service. `created` is a time of the service's clock; only trainings have `percent`."""

    job_id: str
    status: str
    created: str = ""
    percent: int = 0
    model_label: str = ""
    errors: tuple[JobError, ...] = ()
    retry_after: int | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"


class LanguageAuthoring:
    """Raises Refused, EngineUnavailable (including Busy) for temporary failures, and EngineNotConfigured without
    LANGUAGE_ENDPOINT.
    """

    def __init__(self, options: LanguageOptions) -> None:
        self._options = options

    @property
    def endpoint(self) -> str:
        """Address of the resource; empty if it is not set."""
        return self._options.endpoint

    @property
    def deployment(self) -> str:
        """The default name of a deployment."""
        return self._options.deployment

    def require_settings(self) -> None:
        """Raises EngineNotConfigured."""
        require_settings("azure-language", {"LANGUAGE_ENDPOINT": self._options.endpoint})

    async def close(self) -> None:
        """Release the connections."""
        await self._options.close()

    async def has_project(self, project: str) -> bool:
        """Whether the resource has a project of this name."""
        async with self._client(project) as client:
            return await _found(client.project.get_project(**self._options.call_options))

    async def has_deployment(self, project: str, deployment: str) -> bool:
        """Whether the project of the resource has a deployment of this name."""
        async with self._client(project) as client:
            return await _found(client.deployment.get_deployment(deployment, **self._options.call_options))

    async def begin_import(self, project: str, file: bytes) -> str:
        """Replace the project with a project file; return the id of the service's job.

        The client's own `begin_import` always sets a parameter that it then rejects for the stable API version.
        """
        headers = {"Content-Type": "application/json"}
        return (await self._call("POST", project, ":import", content=file, headers=headers))[0].job_id

    async def begin_train(self, project: str, label: str, evaluation: Mapping[str, Any]) -> str:
        """Train a model with this label, which may exist already; return the id of the service's job."""
        received = Received()
        body = {"modelLabel": label, "trainingConfigVersion": "latest", "evaluationOptions": dict(evaluation)}
        async with self._client(project) as client:
            await client.project.begin_train(body, **self._once(received))
        return received.job_id

    async def begin_deploy(self, project: str, deployment: str, label: str) -> str:
        """Have the deployment serve a model; return the id of the service's job."""
        received = Received()
        async with self._client(project) as client:
            body = {"trainedModelLabel": label}
            await client.deployment.begin_deploy_project(deployment, body, **self._once(received))
        return received.job_id

    async def cancel_training(self, project: str, job_id: str) -> None:
        """Ask the service to end a training."""
        async with self._client(project) as client:
            await client.project.begin_cancel_training_job(job_id, **self._once(Received()))

    async def import_state(self, project: str, job_id: str) -> ServiceJob:
        return await self._state(project, f"import/jobs/{job_id}")

    async def training_state(self, project: str, job_id: str) -> ServiceJob:
        return await self._state(project, f"train/jobs/{job_id}")

    async def deployment_state(self, project: str, deployment: str, job_id: str) -> ServiceJob:
        return await self._state(project, f"deployments/{deployment}/jobs/{job_id}")

    async def training_since(self, project: str, label: str, since: str) -> str:
        """The id of the latest training of a label since a time of the service's clock; "" if there is none."""
        if not since:
            return ""
        found: list[tuple[datetime, str]] = []
        async with self._client(project) as client:
            async for job in client.project.list_training_jobs(**self._options.call_options):
                training = read_job(job)
                if training.model_label == label and _moment(training.created) >= _moment(since):
                    found.append((_moment(training.created), training.job_id))
        return max(found)[1] if found else ""

    async def _state(self, project: str, path: str) -> ServiceJob:
        """The client offers no call for the state of a job that another process started."""
        received, body = await self._call("GET", project, path)
        return read_job(body, received.retry_after)

    async def _call(self, method: str, project: str, path: str, **more: Any) -> tuple[Received, Any]:
        """A call that the client does not offer, through its pipeline: the headers and JSON of the response."""
        from azure.core.exceptions import HttpResponseError
        from azure.core.rest import HttpRequest

        url = f"/authoring/analyze-text/projects/{project}/{path}"
        received = Received()
        async with self._client(project) as client:
            response = await client.send_request(
                HttpRequest(method, url, params={"api-version": API_VERSION}, **more),
                raw_response_hook=received,
                **self._options.call_options,
            )
            if response.status_code >= 300:  # `raise_for_status` ignores redirects
                raise HttpResponseError(response=response)
            return received, response.json() if response.content else None

    def _once(self, received: Received) -> dict[str, Any]:
        """Options that start a job without waiting for it."""
        return {"polling": False, "raw_response_hook": received, **self._options.call_options}

    @asynccontextmanager
    async def _client(self, project: str) -> "AsyncGenerator[TextAuthoringProjectClient]":
        from azure.ai.textanalytics.authoring.aio import TextAuthoringProjectClient

        self.require_settings()
        options = self._options
        async with (
            service_call(),
            TextAuthoringProjectClient(
                options.endpoint, options.credential, project_name=project, **options.client_options
            ) as client,
        ):
            yield client


async def _found(asked: Awaitable[object]) -> bool:
    from azure.core.exceptions import ResourceNotFoundError

    try:
        await asked
    except ResourceNotFoundError:
        return False
    return True


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def read_job(body: Mapping[str, Any], retry_after: int | None = None) -> ServiceJob:
    """The state of a job in a response. Raises EngineUnavailable if it has none."""
    try:
        result = cast("Mapping[str, Any]", body.get("result") or {})
        training = cast("Mapping[str, Any]", result.get("trainingStatus") or {})
        return ServiceJob(
            str(body["jobId"]),
            str(body["status"]),
            str(body.get("createdDateTime") or ""),
            int(training.get("percentComplete") or 0),
            str(result.get("modelLabel") or ""),
            tuple(reason_in(error) for error in body.get("errors") or ()),
            retry_after,
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise EngineUnavailable("Azure Language sent a response that cannot be read.") from error
