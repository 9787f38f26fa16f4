"""Reads settings: a table from a file becomes a frozen dataclass, or one line that names the wrong key."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from mvg.errors import RecipeError

Settings = TypeVar("Settings")
_STRICT = ConfigDict(extra="forbid", strict=True)


def read_settings(
    kind: type[Settings], table: Mapping[str, Any], prefix: str = "", renamed: Mapping[str, str] | None = None
) -> Settings:
    """A frozen dataclass from plain values, which may hold other dataclasses as tables.

    prefix: of the keys in errors, "methods[0]."; renamed: old keys and their new names, with dots between tables.
    Raises RecipeError for the first unknown key or value of the wrong type.
    """
    reader: Any = kind  # mypy takes no type variable for hashable
    try:
        (settings,) = _adapter(reader).validate_json(json.dumps([table], default=str))
    except ValidationError as error:
        raise _problem(kind, error, prefix, renamed or {}) from error
    return settings  # type: ignore[no-any-return]


@cache
def _adapter(kind: Any) -> Any:
    # Inside a tuple, because only there the strict rules hold for a dataclass that is not pydantic's own.
    return TypeAdapter(tuple[kind], config=_STRICT)


def _problem(kind: type[Any], error: ValidationError, prefix: str, renamed: Mapping[str, str]) -> RecipeError:
    details = error.errors(include_url=False)[0]
    path = details["loc"][1:]
    key = _dotted(path)
    if details["type"] != "unexpected_keyword_argument":
        expected = details["msg"].removeprefix("Input should be ").replace("an object", "a table")
        return RecipeError(f"{prefix}{key} = {details['input']!r}", expected, "correct it")
    if key in renamed:
        return RecipeError(f"unknown key '{prefix}{key}'", f"its new name '{prefix}{renamed[key]}'", "rename it")
    known = ", ".join(sorted(field.name for field in fields(_table_at(kind, path[:-1]))))
    return RecipeError(f"unknown key '{prefix}{key}'", f"one of {known}", "correct or remove it")


def _dotted(path: Sequence[str | int]) -> str:
    """("data", "sets", 0) -> "data.sets[0]"."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _table_at(kind: Any, path: Sequence[str | int]) -> Any:
    """The dataclass of a table within a table."""
    for part in path:
        kind = get_type_hints(kind)[str(part)]
    return kind
