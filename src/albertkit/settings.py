"""Recipes: frozen dataclasses of settings, read strictly from TOML and written back in full.

A settings class sits beside the code it sets, and each of its fields is made with `setting`, which
holds the default, one sentence of help and the range. This file knows no field by name.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, TypeVar

from albertkit.errors import RecipeError, quoted
from albertkit.files import write_atomic

Settings = TypeVar("Settings")
Overrides = Iterable[str] | Mapping[str, Any]
SHIPPED = Path(__file__).resolve().parent / "recipes"
_REQUIRED = object()


def setting(
    default: Any = _REQUIRED,
    help: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Any:
    """Make a field of a settings class; `low` and `high` belong to the range, the others do not."""
    metadata = {"help": help, "low": low, "high": high, "above": above, "below": below}
    if default is _REQUIRED:
        return dataclasses.field(metadata=metadata)
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    if isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Key:
    """One key of a recipe, for help pages: its dotted name, type, default and sentence of help."""

    name: str
    type: str
    default: object
    help: str


def load(source: str | Path, kind: type[Settings], *overrides: Overrides) -> Settings:
    """Read a recipe file or a shipped recipe by its name, with changes: see `apply_overrides`."""
    path = find(source)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        what, found = "The recipe is not UTF-8 text.", str(error)
        raise RecipeError(what, found=found, where=path, fix="save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        what, found = "The recipe is not valid TOML.", str(error)
        raise RecipeError(what, found=found, where=path, fix="correct the file") from error
    apply_overrides(table, *overrides)
    where = f"{path}, with the settings given" if any(overrides) else path
    return from_table(table, kind, where=where)


def change(settings: Settings, *overrides: Overrides) -> Settings:
    """The same settings with changes: see `apply_overrides`."""
    if not any(overrides):
        return settings
    table = to_table(settings)
    apply_overrides(table, *overrides)
    return from_table(table, type(settings))


def apply_overrides(table: dict[str, Any], *overrides: Overrides) -> None:
    """Change a table of tables: {"run.seed": 2} or ["run.seed=2"], the later ones last."""
    for group in overrides:
        if isinstance(group, str):
            raise RecipeError(
                "Overrides are a list or a dict.",
                expected='["run.seed=2"] or {"run.seed": 2}',
                found=repr(group),
                fix="put the setting into a list",
            )
        for item in group:
            if isinstance(group, Mapping):
                value = group[item]
                set_value(table, item, str(value) if isinstance(value, Path) else value)
            else:
                apply_override(table, item)


def find(source: str | Path) -> Path:
    """Path of a recipe file, or of the shipped recipe of that name."""
    path = Path(source)
    if path.is_file():
        return path
    shipped = SHIPPED / f"{source}.toml"
    if shipped.is_file():
        return shipped
    inside = path / "recipe.toml"
    raise RecipeError(
        "Unknown recipe.",
        expected=f"a TOML file, or one of: {', '.join(names())}",
        found=source if not path.is_dir() else f"{source}, a folder",
        fix=f"give {quoted(inside)}" if inside.is_file() else "correct it, or give one of these",
    )


def names() -> list[str]:
    """Names of the shipped recipes."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def apply_override(table: dict[str, Any], override: str) -> None:
    """Set one value in a table of tables: `stages.1.tokens=256`; lists count from 0.

    The value is read as TOML; what is not a TOML value is taken as text.
    """
    name, equals, text = override.partition("=")
    if not equals:
        raise RecipeError(
            "A setting must be KEY=VALUE.",
            found=override,
            fix=f'pass set=["{override or "run.seed"}=VALUE"], or a dict of keys and values',
            command_fix=f"write --set {override or 'run.seed'}=VALUE",
        )
    set_value(table, name.strip(), _value_of(text.strip()))


def set_value(table: dict[str, Any], name: str, value: Any) -> None:
    """Set one value in a table of tables by its dotted name."""
    keys = name.split(".")
    if not all(keys):
        raise RecipeError(
            "A setting must be named by its keys, with a dot between them.",
            found=name,
            fix="write it as in run.seed=1",
        )
    place: Any = table
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(place, list):
            if not key.isdecimal() or int(key) >= len(place):
                before = ".".join(keys[:depth])
                raise RecipeError(
                    f"'{name}' is not in the recipe.",
                    expected=f"{before}.0 to {before}.{len(place) - 1}",
                    found=key,
                    fix=f"write {'.'.join([*keys[:depth], '0', *keys[depth + 1 :]])}=...",
                )
            index: Any = int(key)
        elif isinstance(place, dict):
            index = key
        else:
            raise RecipeError(
                f"'{name}' is not in the recipe: '{'.'.join(keys[:depth])}' is a value.",
                found=name,
                fix=f"write {'.'.join(keys[:depth])}=VALUE",
            )
        if last:
            place[index] = value
        else:
            place = place[index] if isinstance(place, list) else place.setdefault(index, {})


def from_table(
    table: Mapping[str, Any],
    kind: type[Settings],
    *,
    name: str = "",
    where: str | Path | None = None,
) -> Settings:
    """Build a settings class from nested tables; unknown keys, types and ranges are errors.

    `name`: the section that the table is, for messages.
    """
    return typing.cast(Settings, _build(table, kind, name, where))


def to_table(settings: Any) -> dict[str, Any]:
    """Nested tables of every setting, defaults included; a setting that is None is left out."""
    table = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if value is not None:
            table[field.name] = _plain(value)
    return table


def to_toml(settings: Any) -> str:
    """Text of the full recipe."""
    return "\n".join(_lines(to_table(settings), "")).strip() + "\n"


def save(settings: Any, path: Path) -> None:
    """Write the full recipe, defaults included."""
    write_atomic(path, to_toml(settings))


def keys(kind: type, prefix: str = "") -> Iterator[Key]:
    """Every key of a settings class in order; `[]` stands for the index of a list of tables."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        name, hint = prefix + field.name, hints[field.name]
        inner = _argument(hint) if typing.get_origin(hint) is list else hint
        if dataclasses.is_dataclass(inner):
            yield from keys(typing.cast(type, inner), f"{name}{'' if inner is hint else '[]'}.")
            continue
        default = field.default
        if field.default_factory is not MISSING:
            default = field.default_factory()
        shown = None if default is MISSING else default
        yield Key(name, _type_name(hint), shown, field.metadata.get("help", ""))


def check_ranges(settings: Any) -> None:
    """Check the numbers of a settings object that was made in Python.

    Raises:
        RecipeError: one is out of the range that `setting` gave it.
    """
    for field in dataclasses.fields(settings):
        _check_range(getattr(settings, field.name), field.metadata, field.name, None)


def _build(table: Any, kind: Any, name: str, where: str | Path | None) -> Any:
    if not isinstance(table, Mapping):
        raise _wrong_type(name, "a table", table, where)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in table.items():
        full = f"{name}.{key}" if name else key
        if key not in fields:
            inner = [x.name.replace("[]", ".0") for x in keys(kind) if x.name.endswith(f".{key}")]
            near = inner or difflib.get_close_matches(key, fields, n=1, cutoff=0.5)
            raise RecipeError(
                f"The recipe has an unknown key '{full}'.",
                expected=f"one of: {', '.join(fields)}",
                where=where,
                fix=f"did you mean '{full[: -len(key)]}{near[0]}'?" if near else "remove the key",
            )
        values[key] = _convert(value, hints[key], full, where)
        _check_range(values[key], fields[key].metadata, full, where)
    for key, field in fields.items():
        if key not in values and field.default is MISSING and field.default_factory is MISSING:
            full = f"{name}.{key}" if name else key
            raise RecipeError(
                f"The recipe lacks '{full}'.",
                expected=f"{_type_name(hints[key])}: {field.metadata.get('help', '')}".rstrip(": "),
                where=where,
                fix=f"add the key to the recipe, or pass set={{'{full}': ...}}",
                command_fix=f"add the key to the recipe, or give --set {full}=VALUE",
            )
    return kind(**values)


def _convert(value: Any, hint: Any, name: str, where: str | Path | None) -> Any:
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return _build(value, hint, name, where)
    if origin is typing.Literal:
        if value not in typing.get_args(hint):
            near = difflib.get_close_matches(str(value), map(str, typing.get_args(hint)), n=1)
            raise RecipeError(
                f"'{name}' must be one of {_type_name(hint)}.",
                found=repr(value),
                where=where,
                fix=f"did you mean '{near[0]}'?" if near else f"correct '{name}' in the recipe",
            )
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert(value, _argument(hint), name, where)
    if origin is list:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise _wrong_type(name, "a list", value, where)
        return [_convert(v, _argument(hint), f"{name}.{i}", where) for i, v in enumerate(value)]
    if origin is dict:
        if not isinstance(value, Mapping):
            raise _wrong_type(name, "a table", value, where)
        return dict(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if type(value) is not hint:
        raise _wrong_type(name, _type_name(hint), value, where)
    return value


def _check_range(
    value: Any, metadata: Mapping[str, Any], name: str, where: str | Path | None
) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    limits = {k: metadata.get(k) for k in ("low", "above", "high", "below")}
    fits = {
        "low": lambda limit: value >= limit,
        "high": lambda limit: value <= limit,
        "above": lambda limit: value > limit,
        "below": lambda limit: value < limit,
    }
    words = {"low": "at least", "high": "at most", "above": "more than", "below": "less than"}
    if math.isfinite(value) and all(v is None or fits[k](v) for k, v in limits.items()):
        return
    expected = " and ".join(f"{words[k]} {v:g}" for k, v in limits.items() if v is not None)
    expected = expected or "a finite number"
    raise RecipeError(
        f"'{name}' must be {expected}.", found=value, where=where, fix=f"correct '{name}'"
    )


def _argument(hint: Any) -> Any:
    """The type inside `list[X]`, or X of `X | None`."""
    return next(a for a in typing.get_args(hint) if a is not type(None))


def _type_name(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return " | ".join(repr(a) for a in typing.get_args(hint))
    if origin is list:
        return f"list of {_type_name(_argument(hint))}"
    if origin in (typing.Union, types.UnionType):
        return _type_name(_argument(hint))
    words = {bool: "true | false", int: "integer", float: "number", str: "text", Path: "path"}
    return words.get(hint, "table")


def _wrong_type(name: str, expected: str, value: Any, where: str | Path | None) -> RecipeError:
    return RecipeError(
        f"'{name}' must be {_ARTICLES.get(expected, expected)}.",
        found=repr(value),
        where=where,
        fix=f"correct '{name}'",
    )


_ARTICLES = {
    "integer": "an integer",
    "number": "a number",
    "text": "a text",
    "path": "a path",
    "true | false": "true or false",
}


def _value_of(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_table(value)
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def _lines(table: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """TOML of nested tables: values first, then tables, then lists of tables."""
    tables = {k: v for k, v in table.items() if isinstance(v, Mapping)}
    lists = {k: v for k, v in table.items() if isinstance(v, list) and v and _are_tables(v)}
    for key, value in table.items():
        if key not in tables and key not in lists:
            yield f"{key} = {_toml(value)}"
    for key, inner in tables.items():
        yield from ["", f"[{prefix}{key}]", *_lines(inner, f"{prefix}{key}.")]
    for key, items in lists.items():
        for item in items:
            yield from ["", f"[[{prefix}{key}]]", *_lines(item, f"{prefix}{key}.")]


def _are_tables(values: list[Any]) -> bool:
    return all(isinstance(value, Mapping) for value in values)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escapes = {'"': '\\"', "\\": "\\\\", "\x7f": "\\u007f"}
        escapes |= {chr(code): f"\\u{code:04x}" for code in range(32)}
        return '"' + "".join(escapes.get(c, c) for c in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return repr(value)
