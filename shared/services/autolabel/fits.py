"""Fits as jobs: an engine learns from a project's labels when a job or an upload needs it, one fit at a time."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from shared.domain.autolabel import MAX_GIVEN_UP, fit_pause
from shared.domain.errors import ProjectNotFound
from shared.domain.jobs import (
    AutolabelParameters,
    FitParameters,
    FitResult,
    Job,
    JobError,
    JobKind,
    JobSource,
    JobStatus,
)
from shared.domain.names import derived_job_id
from shared.domain.page import Head
from shared.domain.project import Project
from shared.engines.base import Engine, EngineError
from shared.engines.registry import Engines
from shared.services.jobs.dispatch import FIVE_TIMES, GIVEN_UP, OUTAGE
from shared.services.jobs.lifecycle import SAFETY_SECONDS, JobMessage, JobService, PlanMessage
from shared.services.jobs.stores import Stores
from shared.services.training.model_cache import FEW_TEXTS, Fitted, ModelCache, label_counts
from shared.storage.gateways.ports import RowChanged

#: Attempts to record the progress; if other workers write the row each time, it is left out.
TRIES: Final = 3
FIT_RUNNING: Final = JobError("FitRunning", "A model is being fitted on the labels.", "engine")


class FitRunner:
    def __init__(
        self, stores: Stores, engines: Engines, models: ModelCache, jobs: JobService, window: int
    ) -> None:
        self._stores = stores
        self._engines = engines
        self._models = models
        self._jobs = jobs
        self._window = window

    async def current(
        self,
        project: Project,
        engine: Engine,
        heads: Sequence[Head],
        request: Job | None,
        *,
        here: bool = False,
    ) -> tuple[Fitted, Job | None]:
        """For a request, the model of the current labels; for uploads, the last one while another is fitted.

        With `here`, also a short fit that the caller runs itself. If the caller dies, the fit's message runs it, or the
        sweep where that message came while the caller still had the lease.
        """
        fitted = await self._models.current(project, engine, heads, request)
        if fitted.due is None:
            return fitted, None
        if request is not None and not here and (failure := await self._failed_twice(request, engine)):
            return Fitted(failure=failure), None
        short = here and label_counts(heads, project.active_studio).labeled <= FEW_TEXTS
        job, new = await self._start_now(fitted.due, SAFETY_SECONDS if short else 0)
        if job.status.ended and request is not None:  # it ended without a model; the request tries again
            again = replace(fitted.due, id=derived_job_id(job.id, request.id))
            job, new = await self._start(again, SAFETY_SECONDS if short else 0)
        if job.status.ended and not fitted.artifact:
            return Fitted(failure=_reason_of(job)), None
        return fitted, job if new and short else None

    async def _failed_twice(self, request: Job, engine: Engine) -> str:
        """Why the last of at least two fits since the request failed; else empty.

        A fit that was given up is not noted with the models, and each change of labels makes another fit due.
        """
        fits = await self._stores.jobs.list(request.incarnation, JobKind.FIT)
        failed = [
            fit
            for fit in fits
            if fit.status is JobStatus.FAILED
            and fit.created >= request.created
            and fit.parameters_as(FitParameters).engine == engine.name
        ]
        return _reason_of(failed[0]) if len(failed) > 1 else ""

    async def _start_now(self, job: Job, delay: int) -> tuple[Job, bool]:
        """As `_start`, unless a fit waits already. One that was given up is tried again after a pause, one that ended
        otherwise without a model at once.
        """
        if (waiting := await self._waiting(job)) is not None:
            return waiting, False
        found, new = await self._start(job, delay)
        while found.status.ended:
            before = found.parameters_as(FitParameters)
            tries, failed = before.tries, before.failed
            codes = {error.code for error in found.errors}
            if not codes.isdisjoint((GIVEN_UP, OUTAGE)):
                if self._stores.clock() - found.updated < fit_pause(tries):
                    break
                tries, failed = tries + 1, failed + (GIVEN_UP in codes)
            parameters = replace(job.parameters_as(FitParameters), tries=tries, failed=failed)
            job = replace(job, id=derived_job_id(found.id, "again"), parameters=parameters)
            found, new = await self._start(job, delay)
        return found, new

    async def _waiting(self, job: Job) -> Job | None:
        """A fit of the engine that will read the labels: an open one that has not begun, or one of two that have, of
        which one waits for the other's lease.
        """
        engine = job.parameters_as(FitParameters).engine
        fits = [
            other
            for other in await self._stores.jobs.open_jobs(job.incarnation)
            if isinstance(other.parameters, FitParameters) and other.parameters.engine == engine
        ]
        unread = (other for other in fits if other.status is JobStatus.NOT_STARTED)
        return next(unread, fits[-1] if len(fits) > 1 else None)

    async def _start(self, job: Job, delay: int) -> tuple[Job, bool]:
        """The fit as a job on the queue for CPU work, and whether it is new: the same labels have the same job."""
        engine = job.parameters_as(FitParameters).engine
        job, new = await self._stores.jobs.create(replace(job, result=FitResult(engine)))
        if new:
            await self._jobs.send(job, delay=delay)
        return job, new

    async def run(self, message: JobMessage) -> Project | None:
        """Fit the engine of a job. Returns the project if work that waited for the model can be planned.

        A repeat finds what was done, and returns the project again: who ended the fit may have died before planning.
        """
        job = await self._stores.jobs.find(message.incarnation, JobKind.FIT, message.job)
        if job is None:
            return None
        if job.status.ended:
            return await self._stores.directory.project_of(job)
        name = job.parameters_as(FitParameters).engine
        try:
            project = await self._stores.directory.read(message.project)
            if not job.applies_to(project):
                return None
            engine = self._engines.get(name)
        except ProjectNotFound:
            return None
        except EngineError as error:
            await self._jobs.end(job, JobStatus.FAILED, errors=(JobError("FitFailed", str(error), "engine"),))
            return None
        since = self._stores.clock()
        heads = await self._stores.pages.heads(project.scope)
        labeled = label_counts(heads, project.active_studio).labeled
        started = (job.result_as(FitResult) or FitResult(name)).training_status.begun(since)
        halfway = FitResult(name, labeled, replace(started, percent_complete=50))
        fitted = await self._models.fit(
            project,
            engine,
            heads,
            since=since,
            retry=True,
            begun=lambda: self._note(job, FitResult(name, labeled, started)),
            read=lambda: self._note(job, halfway),
        )
        if (error := obstacle(fitted)) == FIT_RUNNING:
            # Until the holder of the lease ends, this fit has not started. The holder requests it then; if it dies, the
            # sweep does.
            return None
        status = JobStatus.FAILED if error else JobStatus.SUCCEEDED
        state = started if error else started.succeeded(self._stores.clock())
        result = FitResult(name, labeled, state)
        if fitted.changed and fitted.failure:  # before the fit ends, because a repeat then does nothing
            await self._report_failure(project, engine, heads, fitted)
        await self._plan_after(job, "ended", self._window)
        await self._jobs.end(job, status, result=result, errors=(error,) if error else ())
        return project

    async def fail(self, job: Job, error: JobError) -> None:
        """End a fit that was given up, and have what waits for it planned when it may be tried again.

        If that happened too often on the same labels, as when they need more memory than there is, the fit has failed.
        Outages of storage do not count: they end.
        """
        if job.status.ended:
            return
        parameters = job.parameters_as(FitParameters)
        too_often = error.code != OUTAGE and parameters.failed + 1 >= MAX_GIVEN_UP
        if too_often and (failure := await self._failed(job, error)):
            error = JobError("FitFailed", failure, "engine")
        else:
            pause = int(fit_pause(parameters.tries).total_seconds()) + SAFETY_SECONDS
            await self._plan_after(job, "again", pause)
        await self._jobs.end(job, JobStatus.FAILED, errors=(error,))

    async def _failed(self, job: Job, error: JobError) -> str:
        """Note the failure of a fit that was given up too often, as that of any other fit; return the reason.

        Empty: the labels have changed since, or there is nothing to fit any more.
        """
        parameters = job.parameters_as(FitParameters)
        project = await self._stores.directory.project_of(job)
        try:
            engine = self._engines.get(parameters.engine)
        except EngineError:
            return ""
        if project is None:
            return ""
        heads = await self._stores.pages.heads(project.scope)
        reason = error.message.removeprefix(FIVE_TIMES)
        failure = (
            f"Fitting failed {MAX_GIVEN_UP} times on these labels. {reason} It is tried again when labels change or "
            "someone starts a job."
        )
        if not await self._models.give_up(project, engine, heads, parameters.learned, failure):
            return ""
        await self._report_failure(project, engine, heads, Fitted(failure=failure))
        return failure

    async def _plan_after(self, job: Job, why: str, delay: int) -> None:
        """Have the documents that wait for a fit planned, also if its worker dies; sent before the fit ends, because a
        repeat then does not send it.
        """
        plan_id = derived_job_id(job.id, why)
        message = PlanMessage(project=job.project, incarnation=job.incarnation, id=plan_id)
        await self._jobs.queue(message, delay=delay)

    async def _note(self, job: Job, result: FitResult) -> bool:
        """Record the progress of a fit. False: it has ended.

        If two workers record theirs, one has the lease; neither must stop the other.
        """
        for _ in range(TRIES):
            found = await self._stores.jobs.find(job.incarnation, job.kind, job.id)
            if found is None or found.status.ended:
                return False
            noted = replace(found, status=JobStatus.RUNNING, updated=self._stores.clock(), result=result)
            with suppress(RowChanged):
                await self._stores.jobs.save(noted)
                break
        return True

    async def _report_failure(
        self, project: Project, engine: Engine, heads: Sequence[Head], fitted: Fitted
    ) -> None:
        """A failed job, so that people see why uploads get no suggestions."""
        job_id = derived_job_id(project.incarnation, "fit", engine.name, *(h.labels_digest for h in heads))
        asked = AutolabelParameters(None, JobSource.UPLOAD, engine.name)
        job = Job.new(JobKind.AUTOLABEL, job_id, project, self._stores.clock(), asked)
        error = JobError("FitFailed", fitted.failure, "engine")
        await self._stores.jobs.create(replace(job, status=JobStatus.FAILED, errors=(error,)))


def _reason_of(fit: Job) -> str:
    return " ".join(error.message for error in fit.errors) or "Fitting ended without a model."


def obstacle(fitted: Fitted, offer: Callable[[], str] = str) -> JobError | None:
    """Why there is no model, and what can be done without labels."""
    if fitted.missing is not None:
        return JobError("NotEnoughLabels", fitted.missing + offer())
    if fitted.failure:
        return JobError("FitFailed", fitted.failure, "engine")
    return None if fitted.artifact else FIT_RUNNING
