"""The messages that host and worker library exchange, as plain classes.

The library expects the module that protoc generates from FunctionRpc.proto and is given this one instead. It
is as strict as protobuf where it matters: an unknown field is a TypeError, and so is a value of the wrong type
in the messages that carry a function's data.
"""
# ruff: noqa: N802 - names and meanings are those of FunctionRpc.proto

import builtins  # for the field named bytes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar, dataclass_transform


def _require_type(owner: object, name: str, value: object, expected: type) -> None:
    if type(value) is not expected:
        kind = type(value).__name__
        raise TypeError(f"{type(owner).__name__}.{name} takes {expected.__name__}, not {kind}")


def _require_text_map(owner: object, name: str, values: Mapping[str, str]) -> None:
    for key, value in values.items():
        _require_type(owner, f"{name} key", key, str)
        _require_type(owner, f"{name}[{key!r}]", value, str)


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
class _Message:
    """Makes each message a dataclass with keyword arguments."""

    def __init_subclass__(cls) -> None:
        dataclass(kw_only=True)(cls)


class ModelBindingData(_Message):
    """A reference to a blob, for a function that takes a client and not the content."""

    version: str
    source: str
    content_type: str
    content: bytes


class TypedData(_Message):
    """One value; at most one of the fields is set."""

    string: str | None = None
    json: str | None = None
    bytes: "builtins.bytes | None" = None
    http: "RpcHttp | None" = None
    int: "builtins.int | None" = None
    double: float | None = None
    model_binding_data: ModelBindingData | None = None

    _KINDS: ClassVar[dict[str, type]] = {}

    def __post_init__(self) -> None:
        kind = self.WhichOneof("data")
        if kind is not None:
            _require_type(self, kind, getattr(self, kind), self._KINDS[kind])

    def WhichOneof(self, group: str) -> str | None:
        """The name of the field that is set, None when the value is empty."""
        return next((kind for kind in self._KINDS if getattr(self, kind) is not None), None)

    def encoded(self) -> "builtins.bytes":
        """A text or bytes value as bytes."""
        text = self.string if self.string is not None else self.json
        return text.encode() if text is not None else self.bytes or b""


class RpcHttp(_Message):
    """A request on the way in, a response on the way out."""

    method: str = ""
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: TypedData | None = None
    params: dict[str, str] = field(default_factory=dict[str, str])
    query: dict[str, str] = field(default_factory=dict[str, str])
    status_code: str = ""
    enable_content_negotiation: bool = False
    cookies: "Sequence[RpcHttpCookie] | None" = None

    def __post_init__(self) -> None:
        _require_type(self, "status_code", self.status_code, str)
        for name in ("headers", "params", "query"):
            _require_text_map(self, name, getattr(self, name))


TypedData._KINDS.update(  # pyright: ignore[reportPrivateUsage] - filled here, as RpcHttp comes after TypedData
    {"http": RpcHttp, "json": str, "string": str, "bytes": bytes, "int": int, "double": float},
    model_binding_data=ModelBindingData,
)


class Timestamp(_Message):
    seconds: int = 0


class _Nullable(_Message):
    value: Any


NullableString = NullableBool = NullableDouble = NullableTimestamp = _Nullable


class _SameSite:
    Lax, Strict, ExplicitNone = 1, 2, 3


setattr(_SameSite, "None", 0)


class RpcHttpCookie(_Message):
    name: str
    value: str
    domain: _Nullable | None = None
    path: _Nullable | None = None
    expires: _Nullable | None = None
    secure: _Nullable | None = None
    http_only: _Nullable | None = None
    same_site: int = 0
    max_age: _Nullable | None = None

    SameSite: ClassVar[type[_SameSite]] = _SameSite


class ParameterBinding(_Message):
    name: str
    data: TypedData | None = None

    def WhichOneof(self, group: str) -> str:
        return "data"


class RpcException(_Message):
    message: str
    stack_trace: str = ""


class StatusResult(_Message):
    status: int
    exception: RpcException | None = None

    Failure: ClassVar[int] = 0
    Success: ClassVar[int] = 1
    Cancelled: ClassVar[int] = 2


class BindingInfo(_Message):
    type: str
    direction: int
    data_type: int | None = None

    undefined: ClassVar[int] = 0
    out: ClassVar[int] = 1
    inout: ClassVar[int] = 2


# Made by the library, and read without checks.
WorkerMetadata = RpcRetryOptions = RpcFunctionMetadata = SimpleNamespace
WorkerInitResponse = FunctionMetadataResponse = FunctionLoadResponse = SimpleNamespace
FunctionEnvironmentReloadResponse = SimpleNamespace


class InvocationResponse(_Message):
    invocation_id: str
    result: StatusResult
    return_value: TypedData | None = None
    output_data: list[ParameterBinding] = field(default_factory=list[ParameterBinding])
