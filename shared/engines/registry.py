"""Engines by name. An engine is made when it is first asked for, and may then say which setting it misses."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from shared.domain.names import ProjectKind
from shared.engines.base import Engine, Exchange, UnknownEngine
from shared.engines.embedded.engine import NAME, EmbeddedEngine

AZURE_LANGUAGE: Final = "azure-language"
AZURE_OPENAI: Final = "azure-openai"
#: Engines that run elsewhere, and so need settings. First the one that needs no model of the project.
SERVICES: Final = (AZURE_OPENAI, AZURE_LANGUAGE)

type Factory = Callable[[], Engine]
"""Makes an engine; raises EngineNotConfigured, naming the setting that is missing."""


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
        """The engine of this name. Raises UnknownEngine, EngineNotConfigured."""
        if name not in self._factories:
            raise UnknownEngine(f"There is no engine '{name}'. Known engines: {', '.join(self.names)}.")
        if name not in self._made:
            self._made[name] = self._factories[name]()
        return self._made[name]

    def exchange(self, name: str, kind: ProjectKind, state: bytes) -> Exchange | None:
        """The exchange of an engine with this state, to read the answers that it has: also where the engine's settings
        are gone or its model cannot be loaded. None: the engine has no such.
        """
        if name != AZURE_LANGUAGE:
            return None
        from shared.engines.azure_language.exchange import kept

        return kept(kind, state)


def local_engines() -> dict[str, Factory]:
    """The engines that need no settings."""
    return {NAME: EmbeddedEngine}
