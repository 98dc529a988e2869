"""Engines suggest labels. Importing this package imports no numpy, scipy or SDK; that happens when a model is
needed.
"""

from shared.engines.base import (
    ArtefactError,
    Capabilities,
    Engine,
    EngineError,
    EngineNotConfigured,
    EngineUnavailable,
    Model,
    NotEnoughExamples,
    UnknownEngine,
)
from shared.engines.registry import Engines, Factory, local_engines

__all__ = [
    "ArtefactError",
    "Capabilities",
    "Engine",
    "EngineError",
    "EngineNotConfigured",
    "EngineUnavailable",
    "Engines",
    "Factory",
    "Model",
    "NotEnoughExamples",
    "UnknownEngine",
    "local_engines",
]
