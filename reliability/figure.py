"""What a study's figure shows, without drawing it (:mod:`reliability.plots` does)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Curve:
    """A figure of accuracy against one varied field.

    Parameters
    ----------
    x : str
        The varied field on the horizontal axis.
    hue : str, optional
        The varied field that gives each curve its colour.
    log_x : bool
        Whether the axis is logarithmic.
    label : str
        Text of the horizontal axis.
    names : mapping of str to str
        What values of ``hue`` are called, where not by field and value.
    """

    x: str
    hue: str | None = None
    log_x: bool = False
    label: str = ""
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Points:
    """A figure of accuracy with a line for each value of a varied field that is no number.

    Parameters
    ----------
    y : str
        The varied field whose values stand below each other.
    hue : str, optional
        The varied field that gives each mark its colour.
    names : mapping of str to str
        What values are called, where not by themselves.
    """

    y: str
    hue: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Costs:
    """A figure of what each effect of a chip costs, of a study that varies ``"effects"`` over ``"each"``.

    Parameters
    ----------
    names : mapping of str to str
        What effects are called, where not by themselves.
    """

    names: Mapping[str, str] = field(default_factory=dict)


Figure = Curve | Points | Costs
