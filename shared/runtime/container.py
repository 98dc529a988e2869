"""The composition root: everything that lives as long as the process, built once and on first use."""

import gc
import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.connection.factory import ConnectionOptions, connection_service
from shared.connection.service import ConnectionService
from shared.connection.studios.arm import CallerCredentials
from shared.domain.jobs import JobKind
from shared.domain.names import BATCH_QUEUE, FIT_QUEUE, LOOPBACK, EventType, Names, ProjectKind
from shared.engines.azure_language.authoring import LanguageAuthoring
from shared.engines.base import Engine, Exchange, require_settings
from shared.engines.registry import AZURE_LANGUAGE, AZURE_OPENAI, Engines, KeepsAnswers, local_engines
from shared.events.delivery import EventDelivery, Receiver
from shared.events.receivers import Topic, Webhook, WebhookOptions
from shared.runtime.auth import Authenticator
from shared.runtime.settings import Settings, load_settings
from shared.services.autolabel.batches import BatchRunner
from shared.services.autolabel.planning import Planner
from shared.services.autolabel.registering import RegisterService, UploadService
from shared.services.autolabel.service import AutolabelService
from shared.services.jobs.dispatch import Dispatcher
from shared.services.jobs.lifecycle import (
    FIT_SECONDS,
    PROJECT_SECONDS,
    RECONCILE,
    JobService,
    KindOfJob,
    KindsOfJobs,
)
from shared.services.jobs.stores import BudgetService, Stores, build
from shared.services.project_files.exports import ExportService
from shared.services.project_files.import_labels import ImportLabelsService
from shared.services.project_files.imports import ImportService
from shared.services.project_files.push import PushService
from shared.services.projects.categories import CategoryService
from shared.services.projects.maintenance import MaintenanceService, QueueSweep
from shared.services.projects.service import ProjectService
from shared.services.review.bulk import BulkService
from shared.services.review.documents import DocumentService
from shared.services.review.searching import SearchService
from shared.services.review.second import SecondReviewService
from shared.services.review.service import ReviewService
from shared.services.review.team import TeamService
from shared.services.training.evaluating import Evaluator
from shared.services.training.model_cache import ModelCache
from shared.services.training.service import TrainingService
from shared.services.training.trained_models import TrainedModelService
from shared.storage.gateways.clients import Account, StorageClients, StorageNames
from shared.storage.gateways.ports import Table

if TYPE_CHECKING:
    from azure.core.credentials import AzureKeyCredential
    from azure.core.credentials_async import AsyncTokenCredential

    from shared.engines.azure_language.service import LanguageOptions


class Container:
    """The services over one set of stores. Made by `container()` for the app, by hand in tests."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        factories: dict[str, Callable[[], Engine]],
        connections: Table | None = None,
    ) -> None:
        self.settings = settings
        self.account_name = settings.account_name
        self.stores = stores
        self._connections = connections or stores.table  # a partition of its own, wherever it lies
        self.warned_of_scheme = False
        self.engines = Engines(factories)
        self.authenticator = Authenticator(settings)
        self.budgets = BudgetService(stores, settings.engine_budgets)
        self.jobs = JobService(stores, self.budgets, self._kinds_of_jobs())
        self.model_cache = ModelCache(stores)
        window = settings.collect_window_seconds
        self.planner = Planner(
            stores,
            self.engines,
            self.model_cache,
            self.jobs,
            budgets=self.budgets,
            default_engine=settings.default_engine,
            window=window,
        )
        self.batches = BatchRunner(
            stores, self.engines, self.model_cache, self.jobs, self.planner.renew_model
        )
        self.evaluator = Evaluator(stores)
        self.registering = RegisterService(stores, self.planner, self.jobs)

    @cached_property
    def projects(self) -> ProjectService:
        return ProjectService(self.stores, self.engines, self.jobs, self.registering)

    @cached_property
    def documents(self) -> DocumentService:
        return DocumentService(self.stores)

    @cached_property
    def searches(self) -> SearchService:
        return SearchService(self.stores)

    @cached_property
    def review(self) -> ReviewService:
        return ReviewService(self.stores)

    @cached_property
    def autolabel(self) -> AutolabelService:
        return AutolabelService(
            self.stores,
            self.engines,
            self.planner,
            self.batches,
            self.jobs,
            models=self.model_cache,
            budgets=self.budgets,
            default_engine=self.settings.default_engine,
        )

    @cached_property
    def uploads(self) -> UploadService:
        return UploadService(self.stores, self.planner, self.settings.collect_window_seconds)

    @cached_property
    def bulk(self) -> BulkService:
        return BulkService(self.stores, self.jobs)

    @cached_property
    def second(self) -> SecondReviewService:
        return SecondReviewService(self.stores)

    @cached_property
    def team(self) -> TeamService:
        return TeamService(self.stores)

    @cached_property
    def categories(self) -> CategoryService:
        return CategoryService(self.stores)

    @cached_property
    def imports(self) -> ImportService:
        return ImportService(self.stores, self.jobs, self.registering, self.engines.names)

    @cached_property
    def exports(self) -> ExportService:
        return ExportService(self.stores, self.jobs)

    @cached_property
    def training(self) -> TrainingService:
        return TrainingService(
            self.stores,
            self.engines,
            self.jobs,
            self.evaluator,
            default_engine=self.settings.default_engine,
            import_labels=self.connection.import_latest,
        )

    @cached_property
    def connection(self) -> ConnectionService:
        settings = self.settings
        options = ConnectionOptions(
            settings.storage_account_id,
            settings.aml_api_version,
            settings.aml_offset_unit,
            settings.arm_endpoint,
        )
        identity = _identity(settings) if settings.storage_account_id else None
        return connection_service(self.stores, self._connections, self.jobs, options, identity)

    @cached_property
    def import_labels(self) -> ImportLabelsService:
        return ImportLabelsService(self.stores, self.imports)

    @cached_property
    def push(self) -> PushService:
        return PushService(self.stores, self.jobs, LanguageAuthoring(_language(self.settings)))

    @cached_property
    def caller_credentials(self) -> CallerCredentials | None:
        """Makes the credentials of callers towards Azure from their bearer tokens; None without an account to check."""
        settings = self.settings
        if not settings.storage_account_id:
            return None
        client = settings.entra_client_id or settings.entra_audience
        return CallerCredentials(_identity(settings), settings.entra_tenant_id, client)

    @cached_property
    def trained_models(self) -> TrainedModelService:
        return TrainedModelService(self.stores, self.engines, self.jobs, self.evaluator)

    @cached_property
    def dispatcher(self) -> Dispatcher:
        return Dispatcher(self.stores, self.jobs, self.planner.plan)

    def _kinds_of_jobs(self) -> KindsOfJobs:
        """The table of the kinds of jobs; a service is created with its first work."""
        project = KindOfJob(seconds=PROJECT_SECONDS)
        fit = KindOfJob(queue=FIT_QUEUE, seconds=FIT_SECONDS)
        documents = KindOfJob(
            batch_queue=BATCH_QUEUE,
            run_batch=lambda: self.batches.run,
            give_up_batch=lambda: self.batches.give_up,
        )
        bulk = KindOfJob(run_batch=lambda: self.bulk.run_batch, give_up_batch=lambda: self.bulk.give_up)
        return KindsOfJobs(
            {
                JobKind.AUTOLABEL: replace(documents, run=lambda: self.autolabel.plan),
                JobKind.REGISTER: documents,
                JobKind.REVIEW: bulk,
                JobKind.UNDO: bulk,
                JobKind.SCAN: replace(project, run=lambda: self.registering.run),
                RECONCILE: replace(project, run=lambda: self.registering.reconcile),
                JobKind.IMPORT: replace(
                    project, run=lambda: self.imports.run, fail=lambda: self.imports.fail
                ),
                JobKind.EXPORT: replace(project, run=lambda: self.exports.run),
                JobKind.FIT: replace(fit, run=lambda: self.planner.fit, fail=lambda: self.planner.fits.fail),
                JobKind.TRAIN: replace(fit, run=lambda: self.training.run, fail=lambda: self.training.fail),
                JobKind.EVALUATE: replace(fit, run=lambda: self.trained_models.run),
                JobKind.PUSH: replace(project, run=lambda: self.push.run),
                JobKind.CONNECTION: KindOfJob(
                    run=lambda: self.connection.run, fail=lambda: self.connection.fail
                ),
            }
        )

    @cached_property
    def events(self) -> EventDelivery:
        outbox = self.stores.outboxes.of_connections(self._connections)
        return EventDelivery(self.stores, outbox, event_receivers(self.settings, self.stores.clock))

    @cached_property
    def queue_sweep(self) -> QueueSweep:
        return QueueSweep(self.stores, self.jobs, self.dispatcher, self.uploads.seen)

    @cached_property
    def maintenance(self) -> MaintenanceService:
        return MaintenanceService(self.stores, self.jobs, self.projects, self.categories)


def event_receivers(settings: Settings, clock: Callable[[], datetime]) -> list[Receiver]:
    """The receivers of events: the topic and the webhooks."""
    receivers: list[Receiver] = []
    if settings.events_topic_endpoint:
        receivers.append(Topic(settings.events_topic_endpoint, lambda: _topic_credential(settings)))
    for webhook in settings.webhooks:
        secret = settings.webhook_secrets[webhook.secret]
        options = WebhookOptions(
            webhook.name,
            webhook.url,
            (secret,) if isinstance(secret, str) else tuple(secret),
            frozenset(webhook.events),
            frozenset(webhook.projects),
            loopback=settings.is_local and urlsplit(webhook.url).hostname in LOOPBACK,
        )
        receivers.append(Webhook(options, clock))
    return receivers


def wanted_events(settings: Settings) -> frozenset[EventType]:
    """The event types that any receiver wants; others are not written."""
    if settings.events_topic_endpoint:
        return frozenset(EventType)
    return frozenset[EventType]().union(*(webhook.events or EventType for webhook in settings.webhooks))


def _topic_credential(settings: Settings) -> "AzureKeyCredential | AsyncTokenCredential":
    from azure.core.credentials import AzureKeyCredential

    return AzureKeyCredential(settings.events_topic_key) if settings.events_topic_key else _identity(settings)


def _account(settings: Settings) -> Account:
    if settings.azurewebjobsstorage:
        return Account.from_connection_string(settings.azurewebjobsstorage)
    name = settings.azurewebjobsstorage__accountname
    table, blob, queue = (f"https://{name}.{kind}.core.windows.net" for kind in ("table", "blob", "queue"))
    return Account(table, blob, queue, _identity(settings), name)


def _identity(settings: Settings) -> "AsyncTokenCredential":
    """The app's identity towards Azure."""
    from azure.identity.aio import DefaultAzureCredential

    return DefaultAzureCredential(managed_identity_client_id=settings.azurewebjobsstorage__clientid or None)


@dataclass(frozen=True, slots=True)
class ExtraEngine:
    """Makes a custom engine, imported on first use. `path`: as in EXTRA_ENGINES."""

    path: str

    def __call__(self) -> Engine:
        engine: Any = self._factory()()
        return engine

    def kept(self, kind: ProjectKind, state: bytes) -> Exchange | None:
        """As `ServiceEngine.kept`, where the factory is the class of such an engine."""
        factory = self._factory()
        return factory.kept(kind, state) if isinstance(factory, KeepsAnswers) else None

    def _factory(self) -> Any:
        module, _, name = self.path.partition(":")
        return getattr(importlib.import_module(module), name)


def _language(settings: Settings) -> "LanguageOptions":
    from shared.engines.azure_language.service import LanguageOptions

    return LanguageOptions(
        settings.language_endpoint,
        settings.language_key,
        settings.language_project,
        settings.language_deployment,
        lambda: _identity(settings),
    )


def service_engines(settings: Settings) -> dict[str, Callable[[], Engine]]:
    """The external engines; one without its settings raises when it is used."""

    def azure_openai() -> Engine:
        from shared.engines.azure_openai.engine import AzureOpenAIEngine, OpenAIOptions

        return AzureOpenAIEngine(
            OpenAIOptions(
                settings.openai_base_url,
                settings.openai_api_key,
                settings.openai_model,
                settings.azure_openai_endpoint,
                settings.azure_openai_deployment,
                settings.azure_openai_api_version,
                settings.azure_openai_api_key,
                settings.prices,
                settings.openai_job_cost_limit or None,
                settings.openai_requests_per_minute,
                settings.openai_tokens_per_minute,
                settings.openai_timeout_seconds,
                settings.openai_max_answer_tokens,
            ),
            lambda: _identity(settings),
        )

    return {AZURE_OPENAI: azure_openai, AZURE_LANGUAGE: _AzureLanguage(settings)}


@dataclass(frozen=True, slots=True)
class _AzureLanguage:
    """Makes the engine; without its settings, stored answers can still be read."""

    settings: Settings

    def __call__(self) -> Engine:
        from shared.engines.azure_language.engine import AzureLanguageEngine

        require_settings(
            AZURE_LANGUAGE,
            {"LANGUAGE_ENDPOINT": self.settings.language_endpoint},
            ", and LANGUAGE_PROJECT and LANGUAGE_DEPLOYMENT for projects that are not pushed there",
        )
        return AzureLanguageEngine(_language(self.settings))

    @staticmethod
    def kept(kind: ProjectKind, state: bytes) -> Exchange:
        from shared.engines.azure_language.engine import AzureLanguageEngine

        return AzureLanguageEngine.kept(kind, state)


@cache
def container() -> Container:
    """The container of this process."""
    # A job creates a hundred thousand objects without cycles; by default, Python would search them every 2,000.
    gc.freeze()
    gc.set_threshold(20_000, 20, 10)
    settings = load_settings()
    clients = StorageClients(
        _account(settings),
        names=StorageNames(settings.table_prefix),
        rest=settings.storage_client == "rest",
    )
    stores = build(
        Names(settings.table_prefix),
        clients.table("projects"),
        clients.blobs,
        clients.queues,
        wanted=wanted_events(settings),
    )
    extra = {name: ExtraEngine(path) for name, path in settings.extra_engines.items()}
    engines = {**local_engines(), **service_engines(settings), **extra}
    return Container(settings, stores, engines, clients.table("connections"))
