"""Checks of the fields of descriptions, each with one sentence for what is wrong."""

from __future__ import annotations

from reliability.errors import UserError

_MAKERS = {"Chip": "load_chip", "Network": "load_network", "Preprocessing": "parse_preprocessing"}


def check(holds: bool, path: str, value: object, allowed: str) -> None:
    """Raise :class:`UserError` for the field at ``path`` unless ``holds``; ``allowed`` says what may be."""
    if not holds:
        raise UserError(f"{path} = {value!r} must be {allowed}")


def check_kind(name: str, value: object, *kinds: type) -> None:
    """Raise :class:`UserError` unless a value is of one of these types."""
    if not isinstance(value, kinds):
        *others, last = map(_with_maker, kinds)
        allowed = f"{', '.join(others)} or {last}" if others else last
        raise UserError(f"{name} holds {kind_of(value)}; it must be {allowed}")


def check_names(name: str, value: object) -> None:
    """Raise :class:`UserError` for one text in place of a list of names: its letters would be the names."""
    if isinstance(value, str):
        raise UserError(f"{name} = {value!r} must be a list of names, such as [{value!r}]")


def kind_of(value: object) -> str:
    """What kind of thing a value is, in words: ``"a str"``, ``"a tuple of 3"``."""
    if value is None:
        return "None"
    size = f" of {len(value)}" if isinstance(value, tuple | list) else ""
    return _with_article(type(value)) + size


def _with_article(kind: type) -> str:
    vowel = kind.__name__.startswith(("a", "e", "i", "o", "u", "A", "E", "I", "O", "U", "nd"))
    return f"{'an' if vowel else 'a'} {kind.__name__}"


def _with_maker(kind: type) -> str:
    maker = _MAKERS.get(kind.__name__)
    return _with_article(kind) + (f" ({maker} makes one of its name)" if maker else "")


def is_whole(value: object, low: int, high: int) -> bool:
    """Whether a value is a whole number from ``low`` to ``high``."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_number(value: object, low: float, high: float) -> bool:
    """Whether a value is a number from ``low`` to ``high``."""
    return isinstance(value, float | int) and not isinstance(value, bool) and low <= value <= high
