"""Engines by name. An engine is created on first use, and may then raise for a missing setting."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol, runtime_checkable

from shared.domain.names import ProjectKind
from shared.engines.base import Engine, Exchange, UnknownEngine, calling
from shared.engines.embedded.engine import NAME, EmbeddedEngine

AZURE_LANGUAGE: Final = "azure-language"
AZURE_OPENAI: Final = "azure-openai"
#: External engines, which need settings. First the one that needs no model of the project.
SERVICES: Final = (AZURE_OPENAI, AZURE_LANGUAGE)

type Factory = Callable[[], Engine]
"""Makes an engine; raises EngineNotConfigured, naming the setting that is missing. May be one that KeepsAnswers."""

log = logging.getLogger("labelbridge.engines")


@runtime_checkable
class KeepsAnswers(Protocol):
    """An engine or a factory that reads the exchanges of its models: see `ServiceEngine.kept`."""

    def kept(self, kind: ProjectKind, state: bytes) -> Exchange | None: ...


class Engines:
    """The engines of this app."""

    def __init__(self, factories: Mapping[str, Factory]) -> None:
        self._factories = dict(factories)
        self._made: dict[str, Engine] = {}

    @property
    def names(self) -> Iterable[str]:
        """Their names, sorted."""
        return sorted(self._factories)

    def get(self, name: str) -> Engine:
        """The engine with this name. Raises UnknownEngine, EngineNotConfigured, EngineError if it cannot be made."""
        if name not in self._factories:
            raise UnknownEngine(
                f"The engine '{name}' does not exist. Available engines: {', '.join(self.names)}."
            )
        if name not in self._made:
            with calling(name):
                self._made[name] = self._factories[name]()
        return self._made[name]

    def exchange(self, name: str, kind: ProjectKind, state: bytes) -> Exchange | None:
        """The engine's exchange with this state, to read its answers even if the engine can no longer be made or its
        model cannot be loaded. None: the engine has no exchanges, or is unknown.
        """
        try:
            source: object = self.get(name)
        except Exception:  # noqa: BLE001 - whatever the reason, its answers are paid for
            source = self._factories.get(name)
        try:
            return source.kept(kind, state) if isinstance(source, KeepsAnswers) else None
        except Exception as error:  # noqa: BLE001 - the batch ends without them
            log.warning("The answers of the engine '%s' cannot be read (%s).", name, type(error).__name__)
            return None


def local_engines() -> dict[str, Factory]:
    """The engines that need no settings."""
    return {NAME: EmbeddedEngine}
