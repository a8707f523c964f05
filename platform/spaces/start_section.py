"""Reads the section ``start_from``: the points to try first, and the earlier study whose trials are known."""

from platform.spaces.search_section import Methods
from platform.spaces.sections import NAME, NAMES
from platform.spaces.strict_yaml import Document, LocatedError, Where, shown
from platform.spaces.typed_document import known_key, located
from platform.study.config_classes import fields_of
from platform.study.dimensions import Dimension, condition, exact, is_active
from platform.study.study import METHOD
from typing import Any

from trainers.config import FieldType, build, check

Values = dict[str, Any]
Points = tuple[Values, ...]

_FORMS = "defaults, none, a list of points {field: value}, or {study: name of an earlier one}"


def read_start(
    document: Document, methods: Methods, fixed: Values, search: tuple[Dimension, ...]
) -> tuple[Points, str]:
    """The points to try first, and the earlier study or ""; raises LocatedError.

    Checks also that every method's Config accepts its defaults, and each point.
    """
    reader = _PointReader(document, methods, fixed, search)
    where: Where = ("start_from",)
    given = document.data.get("start_from", "defaults")
    if not isinstance(given, dict):
        return reader.points(where, given), ""
    for key in given:
        known_key(document, (*where, key), ("study", "points"))
    name = given.get("study")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise document.refusal((*where, "study"), name, f"the name of a study: {NAMES}")
    if "points" in given:
        return reader.points((*where, "points"), given["points"]), name
    try:
        return reader.points(where, "defaults"), name
    except LocatedError:  # a default is outside its domain: the earlier study has points to start from
        return (), name


class _PointReader:
    """Reads points and completes each by the defaults of its method."""

    def __init__(
        self, document: Document, methods: Methods, fixed: Values, search: tuple[Dimension, ...]
    ) -> None:
        self.document, self.methods, self.fixed, self.search = document, methods, fixed, search
        key = "fixed" if "fixed" in document.data else METHOD
        self.defaults = {method: self._config((key,), method, {}) for method in methods}

    def points(self, where: Where, given: Any) -> Points:
        """The points at ``where``: defaults, none, or a list, without those that repeat an earlier one."""
        if given == "none":
            return ()
        if given == "defaults":
            return (self._point(where, {}),)
        if not isinstance(given, list) or not all(isinstance(point, dict) for point in given):
            raise self.document.refusal(where, given, _FORMS)
        points = tuple(self._point((*where, i), point) for i, point in enumerate(given))
        for i, point in enumerate(points):
            self._config((*where, i), self._method(point), point)
        return tuple(point for i, point in enumerate(points) if point not in points[:i])

    def _method(self, point: Values) -> str:
        return str(point.get(METHOD, next(iter(self.methods))))

    def _config(self, where: Where, method: str, point: Values) -> Any:
        config = self.methods[method]
        values = {k: value for k, value in {**self.fixed, **point}.items() if k in fields_of(config)}
        return located(self.document, where, build, config, values)

    def _point(self, where: Where, given: Values) -> Values:
        """A value within its domain for every active dimension: the given one, else the default's."""
        for name in given:
            known_key(self.document, (*where, name), [dimension.name for dimension in self.search])
        point: Values = {}
        for dimension in self.search:
            if is_active(dimension, point):
                point[dimension.name] = self._value(where, given, dimension, self._method(point))
            elif dimension.name in given:
                reason = f"not searched here; allowed: where {condition(dimension)}"
                raise self.document.error((*where, dimension.name), reason)
        return point

    def _value(self, where: Where, given: Values, dimension: Dimension, method: str) -> Any:
        name, types = dimension.name, fields_of(self.methods[method])
        if name == METHOD:
            default, kind = method, FieldType(str)
        else:
            default, kind = getattr(self.defaults[method], name), types[name]
        value = located(self.document, where, check, name, given.get(name, default), kind)
        if dimension.holds(value):
            return exact(dimension, value)
        if name in given:
            raise self.document.refusal((*where, name), given[name], f"the searched {dimension}")
        hint = f"widen the domain, name {name} in each point of start_from, or set start_from: none"
        raise self.document.error(
            ("search", name), f"the default {shown(default)} is outside {dimension}; {hint}"
        )
