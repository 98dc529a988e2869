"""Route templates by ASP.NET's rules, as the real host matches them.

The real host does not rank routes: it tries the functions in the order of their names, without case, and
takes the first whose template and method fit. A method that no function takes makes 404, not 405, and HEAD is
a method like any other.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from devhost.settings import HostError

type Constraint = Callable[[str], bool]


def _accepts(convert: Callable[[str], object]) -> Constraint:
    def check(value: str) -> bool:
        try:
            convert(value)
        except ValueError:
            return False
        return True

    return check


def _boolean(value: str) -> None:
    if value.lower() not in {"true", "false"}:
        raise ValueError(value)


def _integer(bits: int) -> Callable[[str], None]:
    def convert(value: str) -> None:
        if not re.fullmatch(r"[+-]?[0-9]+", value) or not -(2 ** (bits - 1)) <= int(value) < 2 ** (bits - 1):
            raise ValueError(value)

    return convert


_PLAIN: dict[str, Constraint] = {
    "int": _accepts(_integer(32)),
    "long": _accepts(_integer(64)),
    "bool": _accepts(_boolean),
    "guid": _accepts(UUID),
    "decimal": _accepts(float),
    "double": _accepts(float),
    "float": _accepts(float),
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
    """The literals and parameters of one segment; doubled braces stand for themselves."""
    position, literal = 0, ""
    while position < len(segment):
        if segment[position] in "{}" and segment[position : position + 2] in {"{{", "}}"}:
            literal, position = literal + segment[position], position + 2
        elif segment[position] == "{":
            match = re.compile(r"((?:[^{}]|\{\{|\}\})*)\}").match(segment, position + 1)
            if match is None:
                raise HostError(f"route segment {segment!r} has an open brace")
            if literal:
                yield literal
            yield _parameter(match[1].replace("{{", "{").replace("}}", "}"))
            literal, position = "", match.end()
        else:
            literal, position = literal + segment[position], position + 1
    if literal:
        yield literal


def _segments(template: str) -> list[str]:
    """Split at slashes that are not inside a parameter."""
    return re.findall(r"(?:\{(?:\{\{|\}\}|[^{}])*\}|[^/])+", template)


class Route:
    """One function's template and methods (None: every method)."""

    def __init__(self, function: str, template: str, methods: Iterable[str] | None) -> None:
        self.function = function
        self.template = template
        self.methods = None if methods is None else frozenset(method.upper() for method in methods)
        self._parameters: list[_Parameter] = []
        pattern = "".join(self._segment(list(_parts(segment))) for segment in _segments(template))
        self._pattern = re.compile(pattern + "/?", re.IGNORECASE | re.DOTALL)

    def _segment(self, parts: list[str | _Parameter]) -> str:
        pattern, missing = "", False
        for part in parts:
            if isinstance(part, str):
                pattern += re.escape(part)
                continue
            group = f"p{len(self._parameters)}"
            self._parameters.append(part)
            missing = len(parts) == 1 and (part.catch_all or part.optional or part.default is not None)
            pattern += f"(?P<{group}>.*)" if part.catch_all else f"(?P<{group}>[^/]+)"
        return f"(?:/{pattern})?" if missing else f"/{pattern}"

    @property
    def literal_start(self) -> str:
        """The part of the template before its first parameter, lower case, with a leading slash."""
        return "/" + self.template.partition("{")[0].lower()

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
            if not all(check(value) for check in parameter.constraints):
                return None
            values[parameter.name] = value
        return values


class Router:
    """All routes, in the order in which the real host tries them."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = sorted(routes, key=lambda route: route.function.upper())

    def find(self, method: str, path: str) -> tuple[str, dict[str, str]] | None:
        """Name of the function that answers, and its route values; None for 404."""
        for route in self.routes:
            if route.methods is None or method in route.methods:
                values = route.match(path)
                if values is not None:
                    return route.function, values
        return None

    def shadowed(self) -> list[tuple[Route, Route]]:
        """Pairs (hidden, hiding): the hidden route's own template is caught by one tried before it."""
        pairs: list[tuple[Route, Route]] = []
        for position, hidden in enumerate(self.routes):
            sample = "/" + re.sub(r"\{.*?\}", "0", hidden.template)
            for hiding in self.routes[:position]:
                common = hiding.methods is None or hidden.methods is None or hiding.methods & hidden.methods
                if common and hiding.match(sample) is not None:
                    pairs.append((hidden, hiding))
        return pairs


def decode_path(raw: bytes) -> str | None:
    """Path of a request target as Kestrel decodes it; None when it answers 400.

    Escapes that are not UTF-8, and `%2F`, stay as they are; dot segments are resolved after decoding.
    """
    if b"%" in raw:
        if re.search(rb"%00", raw):
            return None
        raw = re.sub(rb"(?:%(?!2[Ff])[0-9A-Fa-f]{2})+", _decode_escapes, raw)
    try:
        path = raw.decode()
    except UnicodeDecodeError:
        return None
    return _without_dots(path) if "/." in path else path


def _decode_escapes(match: re.Match[bytes]) -> bytes:
    decoded = bytes.fromhex(match[0].replace(b"%", b"").decode()).decode(errors="surrogateescape")
    return "".join(f"%{ord(c) - 0xDC00:02X}" if "\udc80" <= c <= "\udcff" else c for c in decoded).encode()


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")[1:]
    for position, segment in enumerate(segments):
        if segment == "..":
            kept[-1:] = []
        elif segment != ".":
            kept.append(segment)
        if segment in {".", ".."} and position == len(segments) - 1:
            kept.append("")
    return "/" + "/".join(kept)
