"""Engines suggest labels. Importing this package imports no numpy, scipy or SDK; that happens when a model is
needed.
"""

from shared.engines.base import (
    Answer,
    ArtifactError,
    Capabilities,
    Engine,
    EngineError,
    EngineNotConfigured,
    EngineUnavailable,
    FitReport,
    Model,
    NotEnoughExamples,
    ServiceEngine,
    ServiceModel,
    Task,
    UnknownEngine,
    fit_report,
)
from shared.engines.registry import Engines, Factory, local_engines

__all__ = [
    "Answer",
    "ArtifactError",
    "Capabilities",
    "Engine",
    "EngineError",
    "EngineNotConfigured",
    "EngineUnavailable",
    "Engines",
    "Factory",
    "FitReport",
    "Model",
    "NotEnoughExamples",
    "ServiceEngine",
    "ServiceModel",
    "Task",
    "UnknownEngine",
    "fit_report",
    "local_engines",
]
