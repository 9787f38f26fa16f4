"""Reads settings: a table from a file becomes a frozen dataclass, or one line that names the wrong key."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeVar, get_type_hints

from mvg.errors import RecipeError

Settings = TypeVar("Settings")


def read_settings(
    kind: type[Settings], table: Mapping[str, Any], prefix: str = "", renamed: Mapping[str, str] | None = None
) -> Settings:
    """A frozen dataclass from plain values, which may hold other dataclasses as tables.

    prefix: of the keys in errors, "methods[0]."; renamed: old keys and their new names, with dots between tables.
    Raises RecipeError for the first unknown key or value of the wrong type. Without pydantic, on a machine that has
    PyTorch alone, the types of values are not checked.
    """
    if find_spec("pydantic") is None:
        return _unchecked(kind, table, prefix)
    from pydantic import ValidationError

    reader: Any = kind  # mypy takes no type variable for hashable
    try:
        (settings,) = _adapter(reader).validate_json(json.dumps([table], default=str))
    except ValidationError as error:
        raise _problem(kind, error, prefix, renamed or {}) from error
    return settings  # type: ignore[no-any-return]


def _unchecked(kind: type[Settings], table: Mapping[str, Any], prefix: str) -> Settings:
    """As `read_settings`, for values whose types were checked on another machine."""
    hints = get_type_hints(kind)
    for key in table:
        if key not in {field.name for field in fields(kind)}:  # type: ignore[arg-type]
            raise _unknown_key(kind, f"{prefix}{key}")

    def value_of(key: str, value: Any) -> Any:
        if is_dataclass(hints[key]):
            return _unchecked(hints[key], value, f"{prefix}{key}.")
        if hints[key] is float and isinstance(value, int):
            return float(value)
        return tuple(value) if isinstance(value, list) else value

    return kind(**{key: value_of(key, value) for key, value in table.items()})


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    # Inside a tuple, because only there the strict rules hold for a dataclass that is not pydantic's own.
    return TypeAdapter(tuple[kind], config=ConfigDict(extra="forbid", strict=True))


def _problem(kind: type[Any], error: Any, prefix: str, renamed: Mapping[str, str]) -> RecipeError:
    details = error.errors(include_url=False)[0]
    path = details["loc"][1:]
    key = _dotted(path)
    if details["type"] != "unexpected_keyword_argument":
        expected = details["msg"].removeprefix("Input should be ").replace("an object", "a table")
        return RecipeError(f"{prefix}{key} = {details['input']!r}", expected, "correct it")
    if key in renamed:
        return RecipeError(f"unknown key '{prefix}{key}'", f"its new name '{prefix}{renamed[key]}'", "rename it")
    return _unknown_key(_table_at(kind, path[:-1]), f"{prefix}{key}")


def _unknown_key(kind: Any, key: str) -> RecipeError:
    known = ", ".join(sorted(field.name for field in fields(kind)))
    return RecipeError(f"unknown key '{key}'", f"one of {known}", "correct or remove it")


def _dotted(path: Sequence[str | int]) -> str:
    """("data", "sets", 0) -> "data.sets[0]"."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _table_at(kind: Any, path: Sequence[str | int]) -> Any:
    """The dataclass of a table within a table."""
    for part in path:
        kind = get_type_hints(kind)[str(part)]
    return kind
