"""Checked values for the fields of frozen dataclasses, from text, TOML and Python.

Every description here is a tree of frozen dataclasses. A path such as
``device.sigma`` names one field; :func:`put` replaces it, with the value checked against
the field's type. Unknown fields and wrong values give one sentence with what is allowed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import numbers
import tomllib
import types
import typing
from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Union, cast, get_args, get_origin

from reliability.chip import Chip, LayerChip, ideal
from reliability.devices import LAWS, Device, load_device, presets
from reliability.devices.registry import law_name
from reliability.errors import UserError


def load_chip(name: str | Path) -> Chip:
    """A chip by its name or from a TOML file.

    Parameters
    ----------
    name : str or Path
        A law or preset of :func:`~reliability.devices.load_device` (``"ideal"``, ``"pcm"``, ``"hermes_2"``),
        for a chip of such devices that has a default's other fields, or 8-bit weights in digits where the
        device has few levels; or the path of a TOML file whose tables are the fields of
        :class:`~reliability.chip.Chip`: ``device`` or ``device.law`` names a law, a preset or a file.

    Raises
    ------
    UserError
        If there is no such chip, or the file holds an unknown field or a wrong value.
    """
    name = str(name)
    if not name.endswith(".toml"):
        if name == "ideal":
            return ideal()
        if name in LAWS or name in presets():
            return Chip(device=load_device(name), name=name).fitted()
        known = ", ".join((*LAWS, *presets()))
        raise UserError(f"there is no chip {name!r}: known are {known}, or a file FILE.toml")
    path = Path(name)
    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)
    except FileNotFoundError:
        raise UserError(f"chip file {path} does not exist") from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"chip file {path} cannot be read: {error}") from None
    try:
        table = _with_local_laws(table, path.parent)
        return convert(Chip, {"name": path.stem, **table}, "chip")
    except UserError as error:
        raise UserError(f"chip file {path}: {error}") from None


def chip_file(chip: Chip) -> bytes:
    """A chip as the TOML file that :func:`load_chip` reads."""
    import tomli_w

    return tomli_w.dumps(_without_none(as_table(chip))).encode()


def _without_none(table: Any) -> Any:
    """Plain tables without the fields that say nothing."""
    if isinstance(table, dict):
        return {key: _without_none(value) for key, value in table.items() if value is not None}
    return table


def put(target: Any, path: str, value: Any, whole: str | None = None) -> Any:
    """A copy of ``target`` in which the field at ``path`` is ``value``.

    Parameters
    ----------
    target : dataclass instance
    path : str
        Field names joined by dots. Keys of a mapping that hold dots stand in double quotes.
    value : object
        Checked against the field's type; text is converted.
    whole : str, optional
        The path so far, for messages.
    """
    head, rest = _split(path)
    place = f"{whole}.{head}" if whole else head
    if not dataclasses.is_dataclass(target):
        raise UserError(f"{whole} holds a plain value and has no field {head!r}")
    if isinstance(target, Device) and head == "law" and not rest:
        return convert(Device, {"law": value}, whole or "device")
    check_field(target, head, whole)
    current = getattr(target, head)
    hint = typing.get_type_hints(type(target))[head]
    if rest and isinstance(current, MappingType):
        new = _put_entry(current, rest, value, get_args(hint)[1], place)
    elif rest and current is None and Device in get_args(hint):
        if rest != "law":
            raise UserError(f"{place} has no law yet: set {place}.law first")
        new = convert(Device, value, place)
    elif rest:
        new = put(_default_of(hint, place) if current is None else current, rest, value, place)
    else:
        new = convert(hint, value, place)
    return dataclasses.replace(cast(Any, target), **{head: new})


def check_field(target: Any, name: str, whole: str | None = None, also: Sequence[str] = ()) -> None:
    """Raise :class:`UserError` unless a dataclass, at the path ``whole``, has a field of this name.

    ``also`` are names that are no fields of it, but allowed in the same place.
    """
    fields = [*also, *(f.name for f in dataclasses.fields(target) if f.init)]
    if name not in fields:
        place = f"{whole}.{name}" if whole else name
        owner = whole or f"a {type(target).__name__.lower()}"
        raise UserError(f"{place} is not a field; fields of {owner} are {', '.join(fields)}")


def put_all(target: Any, table: MappingType, whole: str) -> Any:
    """A copy of a dataclass with several fields replaced at once, for those that are checked together."""
    hints = typing.get_type_hints(type(target))
    for key in table:
        check_field(target, key, whole)
    values = {key: convert(hints[key], value, f"{whole}.{key}") for key, value in table.items()}
    return dataclasses.replace(target, **values)


def get(target: Any, path: str) -> Any:
    """The value of the field at ``path``."""
    head, rest = _split(path)
    value = target[head] if isinstance(target, MappingType) else getattr(target, head)
    return get(value, rest) if rest else value


def convert(hint: Any, value: Any, path: str) -> Any:
    """``value`` as the type ``hint`` allows, or a :class:`UserError` that names ``path``."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any or hint is object:
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(hint, value, path)
    if origin is Literal:
        if value in arguments and not isinstance(value, bool):
            return value
        raise UserError(f"{path} = {value!r} must be {_allowed(hint)}")
    if isinstance(hint, type) and issubclass(hint, Device):
        return _convert_device(value, path)
    if dataclasses.is_dataclass(hint):
        if isinstance(value, cast(type, hint)):
            return value
        if not isinstance(value, MappingType):
            raise UserError(f"{path} = {value!r} must be a table of fields")
        made: Any = cast(type, hint)()
        for key, entry in value.items():
            made = put(made, f'"{key}"' if "." in key else key, entry, path)
        return made
    if origin is not None and issubclass(origin, MappingType):
        if not isinstance(value, MappingType):
            raise UserError(f"{path} = {value!r} must be a table")
        return {str(k): convert(arguments[1], v, f"{path}.{k}") for k, v in value.items()}
    if hint is bool and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if hint is bool and isinstance(value, bool):
        return value
    if hint in (int, float) and not isinstance(value, bool):
        try:
            number = float(value)
            if hint is float:
                return number
            if number == int(number):
                return int(number)
        except (TypeError, ValueError, OverflowError):
            pass
    if hint is str and isinstance(value, str):
        return value
    if (
        origin is tuple
        and len(arguments) == 2
        and arguments[1] is Ellipsis
        and isinstance(value, list | tuple)
    ):
        return tuple(convert(arguments[0], entry, f"{path}[{i}]") for i, entry in enumerate(value))
    if (hint is list or origin is list) and isinstance(value, list | tuple):
        return list(value)
    raise UserError(f"{path} = {value!r} must be {_allowed(hint)}")


def whole(name: str, value: Any, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``, or a :class:`UserError` that names it."""
    number = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        raise UserError(f"{name} = {value!r} must be a whole number from {low} to {high}")
    return int(value)


def describe_fields(target: Any, prefix: str = "") -> list[tuple[str, Any, str]]:
    """Every field of a dataclass tree as (path, value, what is allowed)."""
    rows: list[tuple[str, Any, str]] = []
    hints = typing.get_type_hints(type(target))
    if isinstance(target, Device):
        rows.append((f"{prefix}law", target.law, f"{', '.join(LAWS)}, a preset or a file"))
    for f in dataclasses.fields(target):
        if not f.init:
            continue
        value = getattr(target, f.name)
        if dataclasses.is_dataclass(value):
            rows += describe_fields(value, f"{prefix}{f.name}.")
        else:
            rows.append((f"{prefix}{f.name}", value, _allowed(hints[f.name])))
    return rows


def _put_entry(entries: MappingType, path: str, value: Any, hint: Any, whole: str) -> dict:
    """The mapping with one entry set; entries that are no dataclasses may hold dots in their names."""
    if not dataclasses.is_dataclass(hint):
        place = f"{whole}.{path}"
        if hint is str and isinstance(value, list):
            joined = ",".join(map(str, value))
            raise UserError(f'{place} = {value!r} must be text, such as {place}="{joined}"')
        return {**entries, path.strip('"'): convert(hint, value, place)}
    name, rest = _split(path)
    place = f"{whole}.{name}"
    new = (
        put(entries.get(name, cast(Any, hint)()), rest, value, place) if rest else convert(hint, value, place)
    )
    return {**entries, name: new}


def _split(path: str) -> tuple[str, str]:
    if path.startswith('"') and '"' in path[1:]:
        head, rest = path[1:].split('"', 1)
        return head, rest.removeprefix(".")
    head, _, rest = path.partition(".")
    return head, rest


def _convert_union(hint: Any, value: Any, path: str) -> Any:
    problem: UserError | None = None
    for option in get_args(hint):
        if option is type(None):
            if value is None or value == "none":
                return None
            continue
        try:
            return convert(option, value, path)
        except UserError as error:
            problem = problem or error
    plain = all(not dataclasses.is_dataclass(option) for option in get_args(hint))
    if plain or problem is None:
        raise UserError(f"{path} = {value!r} must be {_allowed(hint)}")
    raise problem


def _convert_device(value: Any, path: str) -> Device:
    if isinstance(value, Device):
        return value
    if isinstance(value, str):
        return load_device(value)
    if not isinstance(value, MappingType) or not isinstance(value.get("law"), str):
        raise UserError(f"{path} = {value!r} must name a law, such as law = {next(iter(LAWS))!r}")
    numbers = {key: entry for key, entry in value.items() if key != "law"}
    return put_all(load_device(value["law"]), numbers, path)


def _default_of(hint: Any, path: str) -> Any:
    for option in get_args(hint):
        if isinstance(option, type) and dataclasses.is_dataclass(option):
            return cast(Any, option)()
    raise UserError(f"{path} has no value whose fields could be set")


def _allowed(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_allowed(option) for option in arguments if option is not type(None))
    if origin is Literal:
        return " or ".join(repr(option) for option in arguments)
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", list: "a list"}
    if hint in names:
        return names[hint]
    if origin is tuple:
        return f"a list, each {_allowed(arguments[0])}"
    if isinstance(hint, type) and issubclass(hint, Device):
        return f"a device ({', '.join((*LAWS, *presets()))} or a file FILE.toml, FILE.py)"
    if hint is LayerChip or dataclasses.is_dataclass(hint):
        return "a table of fields"
    return "a table"


def _with_local_laws(table: Any, folder: Path) -> Any:
    """The table with the files of devices and of scores taken relative to the chip file."""
    if not isinstance(table, dict):
        return table
    new = {key: _with_local_laws(value, folder) for key, value in table.items()}
    for key in ("law", "device"):
        law = new.get(key)
        if isinstance(law, str) and law.endswith((".py", ".toml")) and not Path(law).is_absolute():
            new[key] = str(folder / law)
    order = new.get("order")
    if isinstance(order, str) and order.endswith(".npz") and not Path(order).is_absolute():
        new["order"] = str(folder / order)
    return new


def as_table(target: Any) -> Any:
    """A dataclass tree as plain tables, as a chip file or a record of settings holds it."""
    if isinstance(target, Device):
        law = law_name(target)
        fields = {f.name: as_table(getattr(target, f.name)) for f in dataclasses.fields(target) if f.init}
        return {"law": law, **fields}
    if dataclasses.is_dataclass(target):
        return {f.name: as_table(getattr(target, f.name)) for f in dataclasses.fields(target) if f.init}
    if isinstance(target, MappingType):
        return {str(key): as_table(value) for key, value in target.items()}
    if isinstance(target, list | tuple):
        return [as_table(value) for value in target]
    if callable(target):
        return f"{target.__name__} {hashlib.sha256(inspect.getsource(target).encode()).hexdigest()}"
    return target
