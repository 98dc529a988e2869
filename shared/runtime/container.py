"""The composition root: everything that lives as long as the process, built once and on first use."""

import importlib
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

from azure.core.credentials_async import AsyncTokenCredential

from shared.engines.base import Engine
from shared.engines.registry import Engines, local_engines
from shared.runtime.auth import Authenticator, Caller
from shared.runtime.connections import ConnectionOptions, connection_service
from shared.runtime.settings import Settings
from shared.services.autolabel import AutolabelService
from shared.services.batches import BatchRunner
from shared.services.budgets import BudgetService
from shared.services.bulk import BulkService
from shared.services.categories import CategoryService
from shared.services.connection import ConnectionService
from shared.services.documents import DocumentService
from shared.services.evaluating import Evaluator
from shared.services.exports import ExportService
from shared.services.import_labels import ImportLabelsService
from shared.services.imports import ImportService
from shared.services.jobs import JobService
from shared.services.maintenance import MaintenanceService
from shared.services.models import ModelProvider
from shared.services.planning import Planner
from shared.services.projects import ProjectService
from shared.services.registering import RegisterService
from shared.services.review import ReviewService
from shared.services.runner import JobRunner
from shared.services.stores import Names, Stores, build
from shared.services.trained import ModelService
from shared.services.training import TrainingService
from shared.services.uploads import UploadService
from shared.storage.gateways.clients import Account, StorageClients, StorageNames
from shared.storage.gateways.ports import Table
from shared.studios.caller import CallerCredentials


class Container:
    """The services over one set of stores. Made by `container()` for the app, by hand in tests over the twin."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        factories: dict[str, Callable[[], Engine]],
        connections: Table | None = None,
    ) -> None:
        self.settings = settings
        self.stores = stores
        self._connections = connections or stores.table  # a partition of its own, wherever it lies
        self.engines = Engines(factories)
        self.authenticator = Authenticator(settings)
        self.budgets = BudgetService(stores, settings.engine_budgets)
        self.jobs = JobService(stores, self.budgets)
        self.models = ModelProvider(stores)
        window = settings.collect_window_seconds
        self.planner = Planner(
            stores,
            self.engines,
            self.models,
            self.jobs,
            budgets=self.budgets,
            default_engine=settings.default_engine,
            window=window,
        )
        self.batches = BatchRunner(stores, self.engines, self.models, self.jobs)
        self.evaluator = Evaluator(stores)
        self.registering = RegisterService(stores, self.planner, self.jobs)

    @cached_property
    def projects(self) -> ProjectService:
        return ProjectService(self.stores, self.engines, self.jobs, self.registering)

    @cached_property
    def documents(self) -> DocumentService:
        return DocumentService(self.stores)

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
            default_engine=self.settings.default_engine,
        )

    @cached_property
    def uploads(self) -> UploadService:
        return UploadService(self.stores, self.planner, self.settings.collect_window_seconds)

    @cached_property
    def bulk(self) -> BulkService:
        return BulkService(self.stores, self.jobs)

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

    async def caller_credential(self, caller: Caller) -> AsyncTokenCredential | None:
        """The caller's own identity towards Azure, where there is a bearer token to exchange for it."""
        settings = self.settings
        if caller.token is None or not settings.storage_account_id:
            return None
        client = settings.entra_client_id or settings.entra_audience
        makes = CallerCredentials(_identity(settings), settings.entra_tenant_id, client)
        return await makes.of(caller.token)

    @cached_property
    def trained(self) -> ModelService:
        return ModelService(self.stores, self.engines, self.jobs, self.evaluator)

    @cached_property
    def runner(self) -> JobRunner:
        runs = {
            "autolabel": self.autolabel.plan,
            "scan": self.registering.run,
            "reconcile": self.registering.reconcile,
            "import": self.imports.run,
            "export": self.exports.run,
            "train": self.training.run,
            "evaluate": self.trained.run,
            "connection": self.connection.run,
        }
        batches = {"autolabel": self.batches.run, "register": self.batches.run}
        bulk = {"review": self.bulk.run_batch, "undo": self.bulk.run_batch}
        failures = {"train": self.training.fail, "import": self.imports.fail}
        return JobRunner(self.stores, self.jobs, runs, batches | bulk, failures)

    @cached_property
    def maintenance(self) -> MaintenanceService:
        return MaintenanceService(self.stores, self.planner, self.jobs, self.projects, self.categories)


def _account(settings: Settings) -> Account:
    if settings.azurewebjobsstorage:
        return Account.from_connection_string(settings.azurewebjobsstorage)
    name = settings.azurewebjobsstorage__accountname
    table, blob, queue = (f"https://{name}.{kind}.core.windows.net" for kind in ("table", "blob", "queue"))
    return Account(table, blob, queue, _identity(settings), name)


def _identity(settings: Settings) -> AsyncTokenCredential:
    """Who the app is towards Azure."""
    from azure.identity.aio import DefaultAzureCredential

    return DefaultAzureCredential(managed_identity_client_id=settings.azurewebjobsstorage__clientid or None)


def _factory(path: str) -> Callable[[], Engine]:
    """An engine of the user's own, imported when it is first asked for."""

    def make() -> Engine:
        module, _, name = path.partition(":")
        engine: Any = getattr(importlib.import_module(module), name)()
        return engine

    return make


@cache
def container() -> Container:
    """The container of this process."""
    settings = Settings()
    clients = StorageClients(_account(settings), names=StorageNames(settings.table_prefix))
    stores = build(Names(settings.table_prefix), clients.table("projects"), clients.blobs, clients.queues)
    extra = {name: _factory(path) for name, path in settings.extra_engines.items()}
    return Container(settings, stores, {**local_engines(), **extra}, clients.table("connections"))
