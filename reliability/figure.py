"""What a study's figure shows, without drawing it (:mod:`reliability.plots` does)."""

from __future__ import annotations

from dataclasses import dataclass


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
    """

    x: str
    hue: str | None = None
    log_x: bool = False
    label: str = ""
