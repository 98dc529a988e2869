"""The `settings` of a project, as Azure has them plus `autolabel`, read and written."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from shared.domain.names import category_fault, model_label_fault
from shared.domain.project import AutolabelSettings, ProjectSettings
from shared.wire.faults import Faults, shown

MAX_LOOKAHEAD = 100_000
MAX_NAME = 50
_AUTOLABEL = frozenset({"onUpload", "engine", "modelLabel", "categories"})
MAX_SHOWN = 10


class _Fields:
    """The fields of a JSON object by type. An absent, null or faulty one is None; faults are collected."""

    def __init__(self, value: Mapping[str, Any], path: str, faults: Faults) -> None:
        self._value, self.path, self._faults = value, path, faults

    def boolean(self, field: str) -> bool | None:
        return self._take(field, "true or false", lambda value: isinstance(value, bool))

    def number(self, field: str, low: float, high: float) -> float | None:
        found: int | float | None = self._take(
            field,
            f"a number from {low:g} to {high:g}",
            lambda v: type(v) in (int, float) and low <= v <= high,
        )
        return None if found is None else float(found)

    def integer(self, field: str, low: int, high: int) -> int | None:
        return self._take(
            field,
            f"an integer from {low:,} to {high:,}",
            lambda value: type(value) is int and low <= value <= high,
        )

    def name(self, field: str, fault: Callable[[str], str | None]) -> str | None:
        text: str | None = self._take(field, "a string", lambda value: isinstance(value, str))
        wrong = fault(text) if text is not None else None
        if wrong:
            self._faults.add(f"{self.path}.{field}", wrong)
        return None if wrong else text

    def names(self, field: str, fault: Callable[[str], str | None]) -> tuple[str, ...] | None:
        items: list[Any] | None = self._take(field, "a list of names", lambda value: isinstance(value, list))
        if items is None:
            return None
        for index, item in enumerate(items):
            wrong = fault(item) if isinstance(item, str) else f"A name must be a string, not {shown(item)}."
            if wrong:
                self._faults.add(f"{self.path}.{field}[{index}]", wrong)
        return tuple(item for item in items if isinstance(item, str))

    def object(self, field: str) -> "_Fields | None":
        value: dict[str, Any] | None = self._take(field, "an object", lambda value: isinstance(value, dict))
        return None if value is None else _Fields(value, f"{self.path}.{field}", self._faults)

    def _take(self, field: str, rule: str, holds: Callable[[Any], bool]) -> Any:
        value = self._value.get(field)
        if value is None or holds(value):
            return value
        self._faults.add(f"{self.path}.{field}", f"'{field}' must be {rule}, not {shown(value)}.")
        return None


def read_settings(value: object, path: str, faults: Faults) -> ProjectSettings:
    """The settings in a JSON value; absent fields have their defaults, what is wrong goes to `faults`.

    `amlProjectPath` and `isLabelingLocked` tell of the connection and are read-only: ignored here.
    """
    if value is None:
        return ProjectSettings()
    if not isinstance(value, dict):
        faults.add(path, f"'settings' must be an object, not {shown(value)}.")
        return ProjectSettings()
    fields = _Fields(cast("dict[str, Any]", value), path, faults)
    return ProjectSettings(
        confidence_threshold=fields.number("confidenceThreshold", 0, 1) or 0.0,
        autolabel=_read_autolabel(fields.object("autolabel")),
        run_gpt_predictions=fields.boolean("runGptPredictions"),
        gpt_predictive_lookahead=fields.integer("gptPredictiveLookahead", 0, MAX_LOOKAHEAD),
    )


def _read_autolabel(fields: _Fields | None) -> AutolabelSettings:
    if fields is None:
        return AutolabelSettings()
    on_upload = fields.boolean("onUpload")
    return AutolabelSettings(
        on_upload=True if on_upload is None else on_upload,
        engine=fields.name("engine", _engine_fault),
        model_label=fields.name("modelLabel", model_label_fault),
        categories=fields.names("categories", category_fault),
    )


def unknown_fields(settings: object) -> str | None:
    """What to tell of fields of `autolabel` that nobody reads: a PATCH refuses them, a file may be from elsewhere."""
    value = cast("dict[str, Any]", settings).get("autolabel") if isinstance(settings, dict) else None
    if not isinstance(value, dict):
        return None
    unknown = sorted(cast("dict[str, Any]", value).keys() - _AUTOLABEL)
    if not unknown:
        return None
    more = " and more" if len(unknown) > MAX_SHOWN else ""
    names = ", ".join(shown(name) for name in unknown[:MAX_SHOWN])
    return f"Fields that 'autolabel' does not have are ignored: {names}{more}."


def _engine_fault(name: str) -> str | None:
    """Whether an engine exists and is configured the job will say; here it must only look like a name."""
    plain = name.isascii() and name.replace("-", "").isalnum()
    return None if plain and len(name) <= MAX_NAME else "The name of an engine has letters, digits and '-'."


def write_settings(settings: ProjectSettings) -> dict[str, Any]:
    """The JSON object; what nobody set is left out, but for `confidenceThreshold` and `onUpload`."""
    autolabel = settings.autolabel
    return _without_none(
        confidenceThreshold=settings.confidence_threshold,
        runGptPredictions=settings.run_gpt_predictions,
        gptPredictiveLookahead=settings.gpt_predictive_lookahead,
        autolabel=_without_none(
            onUpload=autolabel.on_upload,
            engine=autolabel.engine,
            modelLabel=autolabel.model_label,
            categories=None if autolabel.categories is None else list(autolabel.categories),
        ),
    )


def _without_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
