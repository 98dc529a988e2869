"""The messages that host and worker library exchange, as plain classes.

The library expects the module that protoc makes of FunctionRpc.proto; this module stands in for it and is
handed over whole. It is as strict as protobuf where it matters: an unknown field is a TypeError, and so is a
value of the wrong type in the messages that carry a function's data.
"""
# ruff: noqa: N802 - names and meanings are those of FunctionRpc.proto

import builtins  # for the field named bytes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar


def _check(owner: object, name: str, value: object, expected: type) -> None:
    if type(value) is not expected:
        kind = type(value).__name__
        raise TypeError(f"{type(owner).__name__}.{name} takes {expected.__name__}, not {kind}")


def _check_text_map(owner: object, name: str, values: Mapping[str, str]) -> None:
    for key, value in values.items():
        _check(owner, f"{name} key", key, str)
        _check(owner, f"{name}[{key!r}]", value, str)


@dataclass(slots=True, kw_only=True)
class ModelBindingData:
    """What stands for a blob when the function takes a client and not the content."""

    version: str
    source: str
    content_type: str
    content: bytes


@dataclass(slots=True, kw_only=True)
class TypedData:
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
            _check(self, kind, getattr(self, kind), self._KINDS[kind])

    def WhichOneof(self, group: str) -> str | None:
        """The name of the field that is set, None when the value is empty."""
        for kind in self._KINDS:
            if getattr(self, kind) is not None:
                return kind
        return None


@dataclass(slots=True, kw_only=True)
class RpcHttp:
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
        _check(self, "status_code", self.status_code, str)
        _check_text_map(self, "headers", self.headers)
        _check_text_map(self, "params", self.params)
        _check_text_map(self, "query", self.query)


TypedData._KINDS.update(  # pyright: ignore[reportPrivateUsage] - filled here, as RpcHttp comes after TypedData
    http=RpcHttp,
    json=str,
    string=str,
    bytes=bytes,
    int=int,
    double=float,
    model_binding_data=ModelBindingData,
)


@dataclass(slots=True, kw_only=True)
class Timestamp:
    seconds: int = 0


@dataclass(slots=True, kw_only=True)
class NullableString:
    value: str


@dataclass(slots=True, kw_only=True)
class NullableBool:
    value: bool


@dataclass(slots=True, kw_only=True)
class NullableDouble:
    value: float


@dataclass(slots=True, kw_only=True)
class NullableTimestamp:
    value: Timestamp


class _SameSite:
    Lax, Strict, ExplicitNone = 1, 2, 3


setattr(_SameSite, "None", 0)


@dataclass(slots=True, kw_only=True)
class RpcHttpCookie:
    name: str
    value: str
    domain: NullableString | None = None
    path: NullableString | None = None
    expires: NullableTimestamp | None = None
    secure: NullableBool | None = None
    http_only: NullableBool | None = None
    same_site: int = 0
    max_age: NullableDouble | None = None

    SameSite: ClassVar[type[_SameSite]] = _SameSite


@dataclass(slots=True, kw_only=True)
class ParameterBinding:
    name: str
    data: TypedData | None = None

    def WhichOneof(self, group: str) -> str:
        return "data"


@dataclass(slots=True, kw_only=True)
class RpcException:
    message: str
    stack_trace: str = ""
    source: str = ""


@dataclass(slots=True, kw_only=True)
class StatusResult:
    status: int
    exception: RpcException | None = None

    Failure: ClassVar[int] = 0
    Success: ClassVar[int] = 1
    Cancelled: ClassVar[int] = 2


@dataclass(slots=True, kw_only=True)
class BindingInfo:
    type: str
    direction: int
    data_type: int | None = None

    undefined: ClassVar[int] = 0
    out: ClassVar[int] = 1
    inout: ClassVar[int] = 2


@dataclass(slots=True, kw_only=True)
class RpcRetryOptions:
    max_retry_count: int
    retry_strategy: str
    delay_interval: Any = None
    minimum_interval: Any = None
    maximum_interval: Any = None


@dataclass(slots=True, kw_only=True)
class RpcFunctionMetadata:
    name: str
    function_id: str
    directory: str
    script_file: str
    entry_point: str
    managed_dependency_enabled: bool
    is_proxy: bool
    language: str
    bindings: dict[str, BindingInfo]
    raw_bindings: list[str]
    retry_options: RpcRetryOptions | None
    properties: dict[str, str]


@dataclass(slots=True, kw_only=True)
class WorkerMetadata:
    runtime_name: str
    runtime_version: str
    worker_version: str
    worker_bitness: str
    custom_properties: dict[str, str]


@dataclass(slots=True, kw_only=True)
class WorkerInitResponse:
    capabilities: dict[str, str]
    worker_metadata: WorkerMetadata
    result: StatusResult


@dataclass(slots=True, kw_only=True)
class FunctionMetadataResponse:
    use_default_metadata_indexing: bool
    function_metadata_results: list[RpcFunctionMetadata] | None
    result: StatusResult


@dataclass(slots=True, kw_only=True)
class FunctionLoadResponse:
    function_id: str
    result: StatusResult


@dataclass(slots=True, kw_only=True)
class FunctionEnvironmentReloadResponse:
    result: StatusResult
    capabilities: dict[str, str] = field(default_factory=dict[str, str])
    worker_metadata: WorkerMetadata | None = None


@dataclass(slots=True, kw_only=True)
class InvocationResponse:
    invocation_id: str
    result: StatusResult
    return_value: TypedData | None = None
    output_data: list[ParameterBinding] = field(default_factory=list[ParameterBinding])
