"""Route templates by ASP.NET's rules, as the real host matches them.

The real host does not rank routes: it tries the functions in the order of their names, without case, and
takes the first whose template and method fit. A method that no function takes is answered 404, not 405, and
HEAD is a method like any other.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from devhost.settings import HostError

type Constraint = Callable[[str], bool]


def _accepts(convert: Callable[[str], object]) -> Constraint:
    def accepts(value: str) -> bool:
        try:
            convert(value)
        except ValueError:
            return False
        return True

    return accepts


def _integer(bits: int) -> Constraint:
    low, high, digits = -(2 ** (bits - 1)), 2 ** (bits - 1), re.compile(r"[+-]?[0-9]+")
    return lambda value: digits.fullmatch(value) is not None and low <= int(value) < high


def _double(value: str) -> float:
    """Numbers as .NET reads them: commas may separate digits."""
    if "_" in value:
        raise ValueError(value)
    return float(value.replace(",", ""))


def _is_decimal(value: str) -> bool:
    return re.fullmatch(r"[\s+\-.,0-9]+", value) is not None and _accepts(_double)(value)


_PLAIN: dict[str, Constraint] = {
    "int": _integer(32),
    "long": _integer(64),
    "bool": lambda value: value.lower() in {"true", "false"},
    "guid": _accepts(UUID),
    "decimal": _is_decimal,
    "double": _accepts(_double),
    "float": _accepts(_double),
    "datetime": _accepts(datetime.fromisoformat),
    "alpha": lambda value: re.fullmatch(r"[A-Za-z]*", value) is not None,
    "required": bool,
}


def _sized(name: str, argument: str) -> Constraint:
    bounds = [int(part) for part in argument.split(",")]
    low, high = bounds[0], bounds[-1]
    checks: dict[str, Constraint] = {
        "length": lambda value: low <= len(value) <= high,
        "minlength": lambda value: len(value) >= low,
        "maxlength": lambda value: len(value) <= low,
        "min": lambda value: _PLAIN["long"](value) and int(value) >= low,
        "max": lambda value: _PLAIN["long"](value) and int(value) <= low,
        "range": lambda value: _PLAIN["long"](value) and low <= int(value) <= high,
    }
    return checks[name]


def _constraint(text: str) -> Constraint:
    name, _, argument = text.partition("(")
    argument = argument.removesuffix(")")
    if not argument and name in _PLAIN:
        return _PLAIN[name]
    if name == "regex":
        pattern = re.compile(argument, re.IGNORECASE)
        return lambda value: pattern.search(value) is not None
    try:
        return _sized(name, argument)
    except (KeyError, ValueError):
        raise HostError(f"route constraint {text!r} is not one of ASP.NET's") from None


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    constraints: tuple[Constraint, ...]
    default: str | None
    optional: bool
    catch_all: bool


def _parameter(body: str) -> _Parameter:
    match = re.fullmatch(r"(\*{0,2})([^:=?*]+)((?::.*?)?)(?:=(.*?))?(\?)?", body, re.DOTALL)
    if match is None:
        raise HostError(f"route parameter {{{body}}} is not valid")
    stars, name, constraints, default, optional = match.groups()
    # A colon inside the brackets of regex(...) does not end a constraint.
    parts = re.findall(r":((?:[^:()]+)(?:\(.*?\)(?=:|$))?)", constraints, re.DOTALL)
    return _Parameter(name, tuple(map(_constraint, parts)), default, bool(optional), bool(stars))


def _parts(segment: str) -> Iterator[str | _Parameter]:
    """The literals and parameters of one segment; doubled braces are literals."""
    literal = ""
    for token in re.finditer(r"\{\{|\}\}|\{((?:[^{}]|\{\{|\}\})*)\}|[^{}]+|[{}]", segment):
        if token[0] in {"{", "}"}:
            raise HostError(f"route segment {segment!r} has an open brace")
        if token[1] is None:
            literal += {"{{": "{", "}}": "}"}.get(token[0], token[0])
            continue
        if literal:
            yield literal
        literal = ""
        yield _parameter(token[1].replace("{{", "{").replace("}}", "}"))
    if literal:
        yield literal


_SEGMENT = re.compile(r"(?:\{(?:\{\{|\}\}|[^{}])*\}|[^/])+")  # a slash inside a parameter does not end one


class Route:
    """One function's template and methods (None: every method)."""

    def __init__(self, function: str, template: str, methods: Iterable[str] | None) -> None:
        self.function = function
        self.template = template
        self.methods = None if methods is None else frozenset(method.upper() for method in methods)
        self._parameters: list[_Parameter] = []
        pattern = "".join(self._segment(list(_parts(segment))) for segment in _SEGMENT.findall(template))
        self._pattern = re.compile(pattern + "/?", re.IGNORECASE | re.DOTALL)

    def _segment(self, parts: list[str | _Parameter]) -> str:
        if len(parts) == 1 and isinstance(parts[0], _Parameter):
            parameter = parts[0]
            pattern = self._group(parameter, "[^/].*" if parameter.catch_all else "[^/]+")
            missing = parameter.catch_all or parameter.optional or parameter.default is not None
            return f"(?:/{pattern})?" if missing else f"/{pattern}"
        end = ""
        if len(parts) > 2 and isinstance(parts[-1], _Parameter) and parts[-1].optional and parts[-2] == ".":
            parts, last = parts[:-2], parts[-1]  # {x}.{y?}: without y there is no dot either
            end = rf"(?:\.{self._group(last, '[^/.]+')}|(?<!\.))"
        lazy = "?" if end else ""
        texts = [
            re.escape(part) if isinstance(part, str) else self._group(part, f"[^/]+{lazy}") for part in parts
        ]
        return f"/{''.join(texts)}{end}"

    def _group(self, parameter: _Parameter, pattern: str) -> str:
        self._parameters.append(parameter)
        return f"(?P<p{len(self._parameters) - 1}>{pattern})"

    def match(self, path: str) -> dict[str, str] | None:
        """Route values when the path (decoded, leading slash) fits; an absent value is left out."""
        found = self._pattern.fullmatch(path)
        if found is None:
            return None
        values: dict[str, str] = {}
        for index, parameter in enumerate(self._parameters):
            value = found[f"p{index}"] or parameter.default
            if value is None:
                continue
            if not all(accepts(value) for accepts in parameter.constraints):
                return None
            values[parameter.name] = value
        return values


class Router:
    """All routes, in the order in which the real host tries them."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = sorted(routes, key=lambda route: route.function.upper())

    def find(self, method: str, path: str) -> tuple[str, dict[str, str]] | None:
        """Name of the function that answers, and its route values; None for 404."""
        method = method.upper()
        for route in self.routes:
            if route.methods is None or method in route.methods:
                values = route.match(path)
                if values is not None:
                    return route.function, values
        return None
