"""Push: import a project into an Azure Language resource, train a model there and deploy it.

A message does one step or polls its state, and sends the next message with a delay: no function waits. The job
row holds the step and the id of the service's job, so a push continues after a crash. What began and was
not noted is begun again (an import, a deployment), or found by its label and time (a training).
"""

import logging
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from shared.domain.document import Document
from shared.domain.errors import Conflict, InvalidArgument, Unavailable
from shared.domain.jobs import (
    EvaluationSplit,
    Job,
    JobError,
    JobKind,
    JobStatus,
)
from shared.domain.labels import without_open_end
from shared.domain.project import DeployedModel, Project
from shared.domain.project_file import LabeledDocument, ProjectDetails
from shared.domain.training import SplitOptions
from shared.domain.transfers import PushParameters, PushResult, PushStep
from shared.engines.azure_language.authoring import LanguageAuthoring, ServiceJob
from shared.engines.azure_language.service import Busy, Refused
from shared.engines.base import EngineError, EngineNotConfigured, EngineUnavailable
from shared.services.jobs.dispatch import Later, run_undivided
from shared.services.jobs.lifecycle import JobMessage, JobService
from shared.services.jobs.stores import Stores
from shared.services.project_files.exports import file_chunks
from shared.services.training.model_cache import label_counts
from shared.storage.gateways.ports import RowChanged
from shared.wire.json_codec import to_json
from shared.wire.project_file_writer import ProjectFileWriter

log = logging.getLogger("labelbridge.push")

DEPLOYMENT: Final = "labelbridge"
MODEL_LABEL: Final = "labelbridge"
#: How long a step may take. The service gives up a training after 7 days.
LIMITS: Final = {
    PushStep.IMPORT: timedelta(hours=2),
    PushStep.TRAIN: timedelta(days=7),
    PushStep.DEPLOY: timedelta(hours=2),
}
MAX_PAUSE: Final = 60
#: The share of the whole that is done when a step begins, and its own share.
SHARES: Final = {PushStep.IMPORT: (0, 10), PushStep.TRAIN: (10, 80), PushStep.DEPLOY: (90, 10)}
STEPS: Final = tuple(PushStep)
FILE_TRIES: Final = 5
REPLACE: Final = 'Choose another name, or repeat the request with "replace": true to replace it.'
#: HTTP status: another job of the service is in the way, such as a training that someone else started.
CONFLICT: Final = 409


@dataclass(frozen=True, slots=True)
class PushRequest:
    """Names in the Language resource; None: those of the project, of the settings, and ours.

    `replace`: also a project or deployment there that this project did not make.
    """

    project_name: str | None = None
    deployment_name: str | None = None
    model_label: str | None = None
    split: SplitOptions = field(default_factory=SplitOptions)
    replace: bool = False


@dataclass(frozen=True, slots=True)
class PushTarget:
    """Where a push goes that names nothing: the resource and the names there.

    `unavailable`: why no project can be pushed. `replaces`: whether the project was pushed to that name before.
    """

    endpoint: str
    project_name: str
    deployment_name: str
    model_label: str
    replaces: bool
    unavailable: str | None = None


class PushService:
    def __init__(self, stores: Stores, jobs: JobService, authoring: LanguageAuthoring) -> None:
        self._stores = stores
        self._jobs = jobs
        self._authoring = authoring

    async def target(self, name: str) -> PushTarget:
        """The target of a push, without calling the resource."""
        project = await self._stores.directory.read(name)
        asked = self._parameters(name, PushRequest())
        unavailable = None
        try:
            self._authoring.require_settings()
        except EngineNotConfigured as error:
            unavailable = str(error)
        imported, _ = await self._made(project, asked)
        return PushTarget(
            self._authoring.endpoint,
            asked.project_name,
            asked.deployment_name,
            asked.model_label,
            imported,
            unavailable,
        )

    def _parameters(self, name: str, request: PushRequest) -> PushParameters:
        return PushParameters(
            request.project_name or name,
            request.deployment_name or self._authoring.deployment or DEPLOYMENT,
            request.model_label or MODEL_LABEL,
            request.split.kind,
            request.split.testing,
            endpoint=self._authoring.endpoint,
        )

    async def start(self, name: str, request: PushRequest, job_id: str) -> Job:
        """Begin a push; the same `job_id` again is the same push.

        Raises InvalidArgument without labels or without a Language resource, Conflict while another push runs and when
        it would replace what this project did not make there, Unavailable.
        """
        project = await self._stores.directory.read(name)
        found = await self._stores.jobs.find(project.incarnation, JobKind.PUSH, job_id)
        if found is not None:
            return found
        try:
            self._authoring.require_settings()
        except EngineNotConfigured as error:
            raise InvalidArgument(str(error)) from error
        heads = await self._stores.pages.heads(project.scope)
        if not label_counts(heads, project.active_studio).labeled:
            raise InvalidArgument("The project has no labeled documents to train on.", target="documents")
        parameters = self._parameters(name, request)
        refusal = None if request.replace else await self._check_target(project, parameters)
        job = Job.new(JobKind.PUSH, job_id, project, self._stores.clock(), parameters)
        job = replace(job, result=_result(parameters))
        if refusal is not None:  # ended from the start: nothing may continue it
            reason = replace(refusal, target=refusal.target or parameters.step)
            job, _ = await self._stores.jobs.create(replace(job, status=JobStatus.FAILED, errors=(reason,)))
            return job
        job, new = await self._stores.jobs.create_alone(job)
        if new:
            await self._jobs.send(job)
        return job

    async def _check_target(self, project: Project, asked: PushParameters) -> JobError | None:
        """Raises Conflict for a project or deployment in the resource that this project did not make, Unavailable.

        When the resource refuses to tell, the reason; nothing may be imported then.
        """
        where, deployment = asked.project_name, asked.deployment_name
        imported, deployed = await self._made(project, asked)
        try:
            if not imported and await self._authoring.has_project(where):
                text = f"The Language resource has a project '{where}' that was not pushed from here."
                raise Conflict(f"{text} {REPLACE}", target="projectName")
            if imported and not deployed and await self._authoring.has_deployment(where, deployment):
                text = f"The project '{where}' has a deployment '{deployment}' that was not pushed from here."
                raise Conflict(f"{text} {REPLACE}", target="deploymentName")
        except Refused as refused:
            return refused.reason
        except EngineUnavailable as error:
            raise Unavailable(str(error)) from error
        return None

    async def _made(self, project: Project, asked: PushParameters) -> tuple[bool, bool]:
        """Whether this project was pushed to that project of the resource before, and to that deployment.

        The project row knows its deployed model also when the job that made it has been deleted.
        """
        there = project.deployed
        imported = deployed = False
        if there is not None and there.endpoint in {"", asked.endpoint}:
            imported = there.project == asked.project_name
            deployed = imported and there.deployment == asked.deployment_name
        for job in await self._stores.jobs.list(project.incarnation, JobKind.PUSH):
            before = job.parameters_as(PushParameters)
            if before.project_name != asked.project_name or before.endpoint not in {"", asked.endpoint}:
                continue
            imported = imported or before.imported_there
            deployed = deployed or (before.deployed_there and before.deployment_name == asked.deployment_name)
        return imported, deployed

    async def get(self, name: str, job_id: str) -> Job:
        project = await self._stores.directory.read(name)
        return await self._stores.jobs.get(project.incarnation, JobKind.PUSH, job_id)

    async def list(self, name: str) -> "list[Job]":
        """Newest first."""
        project = await self._stores.directory.read(name)
        return await self._stores.jobs.list(project.incarnation, JobKind.PUSH)

    async def cancel(self, name: str, job_id: str) -> Job:
        """End the push. A training that runs is canceled in the resource, too; what was imported stays there."""
        job = await self.get(name, job_id)
        canceled = await self._jobs.cancel(job)
        asked = job.parameters_as(PushParameters)
        if not job.status.ended and asked.step is PushStep.TRAIN and asked.operation:
            await self._cancel_training(asked)
        return canceled

    async def run(self, message: JobMessage) -> None:
        """Do what is due, and send the next message. Of two workers one has the lease, the other does nothing."""
        job = await self._stores.jobs.find(message.incarnation, JobKind.PUSH, message.job)
        await run_undivided(self._stores, self._jobs, job, self._advance)

    async def _advance(self, job: Job) -> None:
        """Go on until the push has ended. Raises Later until the next poll, RowChanged when it was canceled."""
        while not job.status.ended:
            project = await self._stores.directory.project_of(job)
            if project is None:
                await self._fail(job, JobError("ProjectNotFound", "The project was deleted."))
                return
            asked = job.parameters_as(PushParameters)
            again = asked.begun is not None
            if not again:  # the row says so before the service is called: a repeat knows what may be there
                job = await self._save(job, replace(asked, begun=self._stores.clock()))
            try:
                job = await self._begin(job, project, again=again)
                state = await self._state(job.parameters_as(PushParameters))
            except (Refused, EngineUnavailable, _LaterError) as error:
                if isinstance(error, Refused) and error.status != CONFLICT:
                    await self._fail(job, error.reason)
                    return
                seconds = error.seconds if isinstance(error, Busy) else 0
                await self._wait(job, str(error), seconds)
                return
            if not state.ended:
                await self._wait(job, None, state.retry_after or 0, state.percent)
                return
            if not state.succeeded:
                await self._fail(job, *(state.errors or (_no_reason(state),)))
                return
            job = await self._next(job, state)

    async def _begin(self, job: Job, project: Project, *, again: bool) -> Job:
        """The job with an operation of its step: the one that it has, or a new one. `again`: there may be one."""
        asked = job.parameters_as(PushParameters)
        if asked.operation:
            return job
        where, label = asked.project_name, asked.model_label
        result, warnings = job.result, job.warnings
        file = await self._file(project, asked) if asked.step is PushStep.IMPORT else _File()
        await self._require_running(job)
        match asked.step:
            case PushStep.IMPORT:
                operation = await self._authoring.begin_import(where, file.data)
                asked = replace(asked, project_kind=project.kind, edits=file.edits)
                result = replace(_result(asked), documents=file.documents)
                warnings = file.warnings
            case PushStep.TRAIN:
                split = to_json(EvaluationSplit.of(asked.options))
                known = await self._authoring.training_since(where, label, asked.imported) if again else ""
                operation = known or await self._authoring.begin_train(where, label, split)
            case PushStep.DEPLOY:
                operation = await self._authoring.begin_deploy(where, asked.deployment_name, label)
        begun = replace(asked, operation=operation, tries=0)
        try:
            return await self._save(replace(job, result=result, warnings=warnings), begun)
        except RowChanged:
            if asked.step is PushStep.TRAIN and not await self._is_running(job):
                await self._cancel_training(begun)
            raise

    async def _require_running(self, job: Job) -> None:
        """Raises RowChanged for a push that was canceled since the job was read: nothing may begin then."""
        if not await self._is_running(job):
            raise RowChanged

    async def _is_running(self, job: Job) -> bool:
        found = await self._stores.jobs.find(job.incarnation, JobKind.PUSH, job.id)
        return found is not None and not found.status.ended

    async def _cancel_training(self, asked: PushParameters) -> None:
        try:
            await self._authoring.cancel_training(asked.project_name, asked.operation)
        except EngineError:
            log.warning("The training %s in Azure Language could not be canceled.", asked.operation)

    async def _state(self, asked: PushParameters) -> ServiceJob:
        where, operation = asked.project_name, asked.operation
        match asked.step:
            case PushStep.IMPORT:
                return await self._authoring.import_state(where, operation)
            case PushStep.TRAIN:
                return await self._authoring.training_state(where, operation)
            case PushStep.DEPLOY:
                return await self._authoring.deployment_state(where, asked.deployment_name, operation)

    async def _next(self, job: Job, state: ServiceJob) -> Job:
        """The job with its next step, or ended."""
        asked = job.parameters_as(PushParameters)
        if asked.step is PushStep.DEPLOY:
            await self._register(job, asked)
            result = replace(_result_of(job), percent_complete=100, waiting_for=None)
            return await self._jobs.end(job, JobStatus.SUCCEEDED, result=result)
        following = replace(
            asked, step=STEPS[STEPS.index(asked.step) + 1], operation="", begun=None, tries=0,
            imported=state.created if asked.step is PushStep.IMPORT else asked.imported,
        )  # fmt: skip
        return await self._save(job, following)

    async def _register(self, job: Job, asked: PushParameters) -> None:
        """From now on jobs of the project with the engine `azure-language` use this deployment."""
        deployed = DeployedModel(asked.project_name, asked.deployment_name, asked.edits, asked.endpoint)

        def change(project: Project) -> Project:
            fits = job.applies_to(project) and project.kind is asked.project_kind
            return replace(project, deployed=deployed) if fits else project

        await self._stores.directory.update(job.project, change)

    async def _wait(self, job: Job, reason: str | None, seconds: int, percent: int | None = None) -> None:
        """Store the progress of the step, and raise Later to poll again. A step that takes too long fails."""
        asked = job.parameters_as(PushParameters)
        now = self._stores.clock()
        begun = asked.begun or now
        if now - begun > LIMITS[asked.step]:
            text = (
                f"The step '{asked.step}' took too long. {reason or 'Azure Language has not completed it.'}"
            )
            await self._fail(job, JobError("Timeout", text))
            return
        result = replace(_result_of(job), waiting_for=reason)
        tried = replace(asked, begun=begun, tries=asked.tries + 1)
        await self._save(replace(job, result=result), tried, percent)
        raise Later(max(1, seconds, min(MAX_PAUSE, 2**asked.tries)))

    async def _save(self, job: Job, asked: PushParameters, percent: int | None = None) -> Job:
        """`percent` of the step; None: as far as it was. Raises RowChanged when another worker was first."""
        now, before = self._stores.clock(), _result_of(job)
        start, share = SHARES[asked.step]
        done = max(start, before.percent_complete) if percent is None else start + share * percent // 100
        result = replace(before, step=asked.step, percent_complete=done)
        return await self._stores.jobs.save(
            replace(job, status=JobStatus.RUNNING, updated=now, parameters=asked, result=result)
        )

    async def _fail(self, job: Job, *reasons: JobError) -> None:
        step = job.parameters_as(PushParameters).step
        errors = tuple(replace(reason, target=reason.target or step) for reason in reasons)
        await self._jobs.end(
            job, JobStatus.FAILED, result=replace(_result_of(job), waiting_for=None), errors=errors
        )

    async def _file(self, project: Project, asked: PushParameters) -> "_File":
        """The project file; again, when its categories changed while documents were read."""
        for _ in range(FILE_TRIES):
            if project.lock is not None and project.lock.edits_categories:
                raise _LaterError("The project's categories are being changed.")
            file = _File()
            details = ProjectDetails(
                asked.project_name,
                project.kind,
                project.container,
                project.language,
                project.multilingual,
                project.description,
                project.settings,
            )
            writer = ProjectFileWriter(details, project.categories, for_azure=True)
            chunks = [chunk async for chunk in file_chunks(self._stores, project, writer, file.written)]
            after = await self._stores.directory.read(project.name)
            if (after.locks, after.categories, after.edition) == (
                project.locks, project.categories, project.edition,
            ):  # fmt: skip
                file.data, file.edits = b"".join(chunks), project.edits
                return file
            project = after
        raise _LaterError("The project's categories are being changed.")


class _LaterError(Exception):
    """The project is not ready; the argument says why."""


class _File:
    """A project file, and what of the project is in it.

    Documents without a blob or that cannot be read are left out: the service would refuse the whole file. Labels
    whose offsets are of another content are left out, too.
    """

    def __init__(self) -> None:
        self.data = b""
        self.edits = 0
        self.documents = 0
        self._missing = 0
        self._stale = 0

    def written(self, document: Document, project: Project) -> LabeledDocument | None:
        if document.missing or document.rejection is not None:
            self._missing += 1
            return None
        self.documents += 1
        labels = document.active_labels(project.active_studio)
        if labels is not None and document.has_stale_labels(project.kind):
            self._stale += 1
            labels = None
        shown = labels and without_open_end(labels, document.length)
        return LabeledDocument(document.location, document.language, document.dataset, shown)

    @property
    def warnings(self) -> tuple[JobError, ...]:
        counts = (
            ("DocumentsNotReadable", self._missing, "Documents left out because their blobs cannot be read"),
            ("ContentChanged", self._stale, "Documents without labels because their content has changed"),
        )
        return tuple(
            JobError(code, f"{text}: {count:,}.", "documents") for code, count, text in counts if count
        )


def _result(asked: PushParameters) -> PushResult:
    return PushResult(asked.project_name, asked.deployment_name, asked.model_label)


def _result_of(job: Job) -> PushResult:
    return job.result_as(PushResult) or _result(job.parameters_as(PushParameters))


def _no_reason(state: ServiceJob) -> JobError:
    return JobError(
        "Unknown", f"Azure Language ended the job with the status '{state.status}' and no reason."
    )
