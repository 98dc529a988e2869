"""The triggers of azure-functions, with complete types and what all of ours have in common.

Names and schedules are read from the settings when the module is imported: the host leaves out a function whose
binding names a missing setting, and the console does not show it, while the settings of the app have defaults.
"""

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import azure.functions as func
from azurefunctions.extensions.base import (  # pyright: ignore[reportMissingTypeStubs] - it ships none
    Datum,
    InConverter,
    SdkType,
)

CONNECTION = "AzureWebJobsStorage"
#: Seconds that an event, and a run of a timer, may take: far below `functionTimeout` (host.json), at which the host
#: ends the worker process with everything that it is doing. Messages of queues have limits by kind of work.
EVENT_SECONDS = 60
TIMER_SECONDS = 900

type Body = Callable[[Any], Awaitable[None]]


class Triggers:
    """The event-driven functions of one file, on a blueprint. The body's parameter name is the binding's."""

    def __init__(self) -> None:
        self.blueprint: Any = func.Blueprint()

    def queue(self, name: str) -> Callable[[Body], Body]:
        """A message in the queue of this name."""
        return self._register(
            lambda: self.blueprint.queue_trigger(arg_name="message", queue_name=name, connection=CONNECTION)
        )

    def timer(self, schedule: str) -> Callable[[Body], Body]:
        """A moment of a schedule in NCRONTAB."""
        return self._register(
            lambda: self.blueprint.timer_trigger(arg_name="timer", schedule=schedule, use_monitor=True),
            TIMER_SECONDS,
        )

    def blob(self, path: str) -> Callable[[Body], Body]:
        """A blob that was written, as Event Grid reports it."""
        return self._register(
            lambda: self.blueprint.blob_trigger(
                arg_name="blob", path=path, connection=CONNECTION, source=func.BlobSource.EVENT_GRID
            ),
            EVENT_SECONDS,
        )

    def event(self) -> Callable[[Body], Body]:
        """An event of an Event Grid subscription."""
        return self._register(lambda: self.blueprint.event_grid_trigger(arg_name="event"), EVENT_SECONDS)

    def _register(self, trigger: Callable[[], Any], seconds: float | None = None) -> Callable[[Body], Body]:
        def register(body: Body) -> Body:
            @functools.wraps(body)
            async def limited(*arguments: Any, **named: Any) -> None:
                async with asyncio.timeout(seconds):
                    await body(*arguments, **named)

            self.blueprint.function_name(body.__name__)(trigger()(limited if seconds else body))
            return body

        return register


@dataclass(frozen=True, slots=True)
class BlobNames:
    """What the body of a blob trigger gets."""

    container: str
    name: str


class BlobReference(SdkType):
    """The annotation for the parameter of a blob trigger: the host sends names only and does not read the content.

    For `bytes`, `str` or `InputStream` the host reads it, and Microsoft's own types import the whole blob SDK.
    """

    def __init__(self, *, data: Any = None) -> None:
        super().__init__(data=data)  # pyright: ignore[reportUnknownMemberType]
        self._reference = data

    def get_sdk_type(self) -> Any:
        """The BlobNames in the reference."""
        names: dict[str, str] = json.loads(self._reference.content)
        return BlobNames(names["ContainerName"], names["BlobName"])


class BlobReferenceConverter(InConverter, binding="blob", trigger="blobTrigger"):
    @classmethod
    def check_input_type_annotation(cls, pytype: type) -> bool:
        return issubclass(pytype, BlobReference)

    @classmethod
    def decode(cls, data: Datum, *, trigger_metadata: Any, pytype: Any = None) -> Any:
        """Raises ValueError for anything but a reference to a blob."""
        if data.type != "model_binding_data":
            raise ValueError(f"The blob trigger got {data.type!r} instead of a reference to a blob.")
        return BlobReference(data=data.value).get_sdk_type()
