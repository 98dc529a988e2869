"""The engine `azure-language`: a custom model deployed in an Azure Language resource."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, override

from shared.domain.jobs import JobError
from shared.domain.names import ProjectKind
from shared.domain.project import DeployedModel
from shared.engines.azure_language.exchange import Exchange
from shared.engines.azure_language.exchange import kept as kept_exchange
from shared.engines.azure_language.packing import MAX_CHARACTERS, MAX_REQUEST_DOCUMENTS
from shared.engines.azure_language.service import (
    LanguageOptions,
    OperationState,
    Received,
    read_state,
    service_call,
)
from shared.engines.base import (
    NO_DEADLINE,
    Answer,
    ArtifactError,
    Capabilities,
    Deadline,
    DeferredModel,
    EngineNotConfigured,
    OnAnswer,
    ServiceEngine,
    Task,
    Text,
)

if TYPE_CHECKING:
    from azure.ai.textanalytics.aio import TextAnalysisClient

NAME: Final = "azure-language"
#: The service's limit for a resource; requests for results count, too.
CALLS_PER_MINUTE: Final = 1_000
#: How long `answer` waits, because it has no place to store an exchange.
ANSWER_SECONDS: Final = 120.0


class LanguageModel(DeferredModel):
    """A deployment of a project in the Language resource."""

    calls_per_minute = CALLS_PER_MINUTE

    def __init__(self, service: "AnalyzeText", kind: ProjectKind, target: DeployedModel) -> None:
        self.categories = ()
        self.kind = kind
        self.target = target
        self._service = service

    def exchange(self, state: bytes | None = None) -> Exchange:
        return Exchange(self, state)

    @override
    async def answer(
        self,
        texts: Sequence[str],
        allowance: float | None = None,
        *,
        deadline: Deadline = NO_DEADLINE,
        on_answer: OnAnswer | None = None,
    ) -> list[Answer]:
        """Waits for the service for at most ANSWER_SECONDS; jobs use an exchange instead. Raises EngineUnavailable."""
        wanted = {str(number): Text(text) for number, text in enumerate(texts)}
        exchange, give_up = self.exchange(), asyncio.get_running_loop().time() + ANSWER_SECONDS
        exchange.plan(wanted)
        while exchange.waiting:
            await exchange.send(wanted, _forget, _unlimited)
            if not exchange.unsent:
                await exchange.poll(_forget, _unlimited)
            if exchange.waiting and asyncio.get_running_loop().time() + exchange.wait > give_up:
                exchange.give_up(JobError("Timeout", "Azure Language did not answer in time."))
            await asyncio.sleep(exchange.wait if exchange.waiting else 0)
        return list(exchange.answers(wanted).values())

    async def start(self, documents: Sequence[Mapping[str, str]]) -> str:
        return await self._service.start(self.kind, self.target, documents)

    async def state(self, operation: str) -> tuple[OperationState, int | None]:
        return await self._service.state(operation)


async def _forget(_state: bytes) -> None:
    """For an exchange that is not stored."""


async def _unlimited(calls: int) -> tuple[int, float]:
    return calls, 0.0


class AnalyzeText:
    """The official client, made when it is first used."""

    def __init__(self, options: LanguageOptions) -> None:
        self._options = options
        self._client: TextAnalysisClient | None = None

    def _service(self) -> "TextAnalysisClient":
        if self._client is None:
            from azure.ai.textanalytics.aio import TextAnalysisClient

            options = self._options
            self._client = TextAnalysisClient(options.endpoint, options.credential, **options.client_options)
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def start(
        self, kind: ProjectKind, target: DeployedModel, documents: Sequence[Mapping[str, str]]
    ) -> str:
        parameters: dict[str, Any] = {
            "projectName": target.project,
            "deploymentName": target.deployment,
            "loggingOptOut": True,
        }
        if kind is ProjectKind.ENTITIES:
            parameters["stringIndexType"] = "Utf16CodeUnit"
        body: Any = {
            "displayName": "labelbridge",
            "analysisInput": {"documents": list(documents)},
            "tasks": [{"kind": kind.value, "taskName": "labelbridge", "parameters": parameters}],
        }
        received = Received()
        async with service_call():
            await self._service().begin_analyze_text_job(
                body, polling=False, raw_response_hook=received, **self._options.call_options
            )
        return received.job_id

    async def state(self, operation: str) -> tuple[OperationState, int | None]:
        received = Received()
        async with service_call():
            state, found = await self._page(operation, 0, received), 0
            # A page without new documents is the last one, whatever it says.
            while state.more and found < state.count < MAX_REQUEST_DOCUMENTS:
                found = state.count
                state = state.with_page(await self._page(operation, found, received))
        return state, received.retry_after

    async def _page(self, operation: str, skip: int, received: Received) -> OperationState:
        found: Any = await self._service().get_job_status(
            operation, top=MAX_REQUEST_DOCUMENTS, skip=skip, cls=_as_sent, raw_response_hook=received,
            **self._options.call_options,
        )  # fmt: skip
        received.add(len(found.content))
        return read_state(found.json())


def _as_sent(response: Any, _read: object, _headers: object) -> Any:
    """The response itself: the client's models drop fields that they do not know."""
    return response.http_response


class AzureLanguageEngine(ServiceEngine):
    """LANGUAGE_PROJECT and LANGUAGE_DEPLOYMENT in `options` name the model of projects that were not pushed."""

    name = NAME
    deferred = True
    capabilities = Capabilities(
        frozenset(ProjectKind),
        trainable=False,
        max_documents=MAX_REQUEST_DOCUMENTS,
        max_characters=MAX_CHARACTERS,
        cost_unit="textRecord",
    )

    def __init__(self, options: LanguageOptions) -> None:
        self._options = options
        self._service = AnalyzeText(options)

    @override
    async def prepare(self, task: Task) -> bytes:
        """Raises EngineNotConfigured if there is no model."""
        missing = self.missing_model(task.deployed)
        if missing is not None:
            raise EngineNotConfigured(missing)
        target = self._target(task.deployed)
        return json.dumps([1, task.kind.value, target.project, target.deployment]).encode()

    @override
    async def load(self, artifact: bytes) -> LanguageModel:
        try:
            _, kind, project, deployment = json.loads(artifact)
            return LanguageModel(self._service, ProjectKind(kind), DeployedModel(project, deployment))
        except (ValueError, TypeError) as error:
            raise ArtifactError("The bytes are not a model of the engine 'azure-language'.") from error

    @staticmethod
    @override
    def kept(kind: ProjectKind, state: bytes) -> Exchange:
        return kept_exchange(kind, state)

    def _target(self, deployed: DeployedModel | None) -> DeployedModel:
        return deployed or DeployedModel(self._options.project, self._options.deployment)

    @override
    def model_of(self, deployed: DeployedModel | None) -> str | None:
        """Project and deployment in the Language resource, as `support/production`."""
        if self.missing_model(deployed) is not None:
            return None
        target = self._target(deployed)
        return f"{target.project}/{target.deployment}"

    @override
    def named_at(self, deployed: DeployedModel | None, edits: int) -> int:
        return edits if deployed is None or deployed.edits is None else deployed.edits

    @override
    def missing_model(self, deployed: DeployedModel | None) -> str | None:
        if deployed is not None:
            return None
        options = self._options
        given = {"LANGUAGE_PROJECT": options.project, "LANGUAGE_DEPLOYMENT": options.deployment}
        missing = [name for name, value in given.items() if not value]
        if not missing:
            return None
        return (
            f"The engine '{NAME}' has no model for this project: set {' and '.join(missing)}, or push the project "
            "to Azure Language."
        )

    async def close(self) -> None:
        """Release the connections."""
        await self._service.close()
        await self._options.close()
