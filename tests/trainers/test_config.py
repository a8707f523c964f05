"""Configurations: allowed values, errors, and equality."""

import hashlib
import json
import math
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import pytest

from trainers import VERSION
from trainers.config import (
    FieldError,
    Range,
    as_earlier,
    build,
    canonical,
    check,
    digest,
    field_types,
    plain_values,
    rebuild,
    suggest,
)
from trainers.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One field of each kind."""

    steps: Annotated[int, Range(1, 100)]
    rate: Annotated[float, Range(0.5, 2)] = 1.0
    any_number: float = 0.0
    flag: bool = True
    name: str = "x"
    form: Literal["a", "b"] = "a"
    order: Literal[1, 2] = 1
    widths: tuple[int, ...] = (8, 16)
    made: int = field(init=False, default=3)

    def __post_init__(self) -> None:
        """A rule across fields."""
        if self.form == "b" and not self.flag:
            raise InputError("form: 'b' is not allowed; allowed: a, when flag is false")


def test_values_and_defaults_are_set() -> None:
    values = {"steps": 5, "rate": 2, "widths": [1, 2, 3], "form": "b", "order": 2, "flag": True}
    config = build(Sample, values)
    assert config == Sample(steps=5, rate=2.0, widths=(1, 2, 3), form="b", order=2)
    assert type(config.rate) is float and type(config.widths) is tuple
    with pytest.raises(FrozenInstanceError):
        config.steps = 6  # type: ignore[misc]


GOOD: list[tuple[str, Any]] = [
    *(("steps", 1), ("steps", 100), ("rate", 0.5), ("rate", 2), ("any_number", -1e30), ("flag", False)),
    *(("name", ""), ("form", "b"), ("order", 2), ("widths", ()), ("widths", [4])),
]


@pytest.mark.parametrize(("key", "value"), GOOD)
def test_bounds_are_allowed_values(key: str, value: Any) -> None:
    expected = tuple(value) if key == "widths" else value
    assert getattr(build(Sample, {"steps": 7, key: value}), key) == expected


BAD = [
    ("steps", (0, 101, 5.0, True, "5", None, [5]), "an integer in [1, 100]"),
    ("rate", (0.49, 2.01, math.nan, math.inf, True, "1", None), "a number in [0.5, 2]"),
    ("any_number", (False, "0", None, [1.0]), "a number"),
    ("flag", (0, 1, "true", None), "true or false"),
    ("name", (1, None, True), "text"),
    ("form", ("c", "A", 1, None, ["a"]), "a, b"),
    ("order", (3, 0, 1.0, 2.0, True, "1", None), "1, 2"),
    ("widths", (8, "88", (1.0,), [True], (1, "2"), None), "a list of integers"),
]


@pytest.mark.parametrize(("key", "value", "allowed"), [(k, v, a) for k, values, a in BAD for v in values])
def test_a_wrong_value_is_a_one_line_error(key: str, value: Any, allowed: str) -> None:
    with pytest.raises(InputError) as caught:
        build(Sample, {"steps": 7, key: value})
    assert str(caught.value) == f"{key}: {value!r} is not allowed; allowed: {allowed}"
    assert isinstance(caught.value, FieldError)
    assert (caught.value.key, caught.value.allowed) == (key, allowed)


def test_unknown_keys_missing_fields_and_rules_across_fields_are_errors_with_suggestions() -> None:
    keys = "one of steps, rate, any_number, flag, name, form, order, widths"
    with pytest.raises(FieldError, match=rf"^step: 5 is not allowed; allowed: did you mean steps\? {keys}$"):
        build(Sample, {"step": 5})
    with pytest.raises(FieldError, match=rf"^zzzz: 1 is not allowed; allowed: {keys}$"):
        build(Sample, {"steps": 5, "zzzz": 1})
    with pytest.raises(FieldError, match=r"^made: "):
        build(Sample, {"steps": 5, "made": 4})
    with pytest.raises(
        FieldError, match=r"^steps: None is not .* an integer in \[1, 100\] \(it has no default\)$"
    ):
        build(Sample, {"rate": 1})
    with pytest.raises(InputError, match=r"^form: 'b' is not allowed"):
        build(Sample, {"steps": 5, "form": "b", "flag": False})
    known = ("lambda_NCE", "lambda_ASP", "steps")
    assert suggest("lambda_NEC", known) == "did you mean lambda_NCE? "
    assert suggest("colour", known) == ""


def test_text_digest_and_field_types_of_settings() -> None:
    a = canonical(build(Sample, {"steps": 5, "rate": 2, "widths": [1, 2]}))
    b = canonical(build(Sample, {"widths": (1, 2), "rate": 2.0, "steps": 5}))
    assert a == b != canonical(build(Sample, {"steps": 6, "rate": 2, "widths": [1, 2]}))
    values = json.loads(a)
    assert list(values) == sorted(values) and values["widths"] == [1, 2] and " " not in a
    del values["made"]
    assert build(Sample, values) == build(Sample, {"steps": 5, "rate": 2, "widths": [1, 2]})
    assert digest("ab", "c") == hashlib.sha256(f"{VERSION}\0ab\0c".encode()).hexdigest()
    assert len({digest("ab", "c"), digest("a", "bc"), digest("abc"), digest("ab", "c", "")}) == 4
    kinds = field_types(Sample)
    assert "made" not in kinds
    assert kinds["steps"].kind is int and kinds["steps"].bounds == Range(1, 100)
    assert kinds["order"].kind is int and kinds["order"].choices == (1, 2)
    assert check("order", 2, kinds["order"]) == 2


@dataclass(frozen=True, kw_only=True)
class Grown:
    """A class to which ``kind`` was added when saved configurations existed."""

    size: int = 1
    kind: Literal["old", "new"] = "new"
    many: int = 16
    EARLIER: ClassVar[dict[str, Any]] = {"kind": "old"}
    EARLIER_DEFAULTS: ClassVar[dict[str, Any]] = {"many": 4}


def test_a_field_that_was_added_later_has_its_earlier_meaning_in_what_was_saved_before() -> None:
    old = rebuild(Grown, {"size": 2, "many": 4})
    assert old == Grown(size=2, kind="old", many=4) == as_earlier(Grown(size=2))
    assert as_earlier(Grown(many=5)).many == 5
    assert canonical(old) == '{"many":4,"size":2}'
    assert plain_values(Grown()) == {"size": 1, "kind": "new", "many": 16}
    for config in (old, Grown()):
        assert rebuild(Grown, plain_values(config)) == config
    with pytest.raises(FieldError, match="kind: 'x' is not allowed; allowed: old, new"):
        rebuild(Grown, {"kind": "x"})
