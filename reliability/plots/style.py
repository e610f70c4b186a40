"""What all figures have in common: size, colours, and how they are written."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from reliability.checks import check_kind
from reliability.errors import UserError
from reliability.files import write_atomically

COLUMN_CM = 8.5
"""Width of one column of a two-column paper."""

# Okabe and Ito's colours, told apart with every common colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
BAND: dict[str, Any] = {"alpha": 0.2, "linewidth": 0}
CLEAN: dict[str, Any] = {"color": "0.3", "linewidth": 0.8, "linestyle": (0, (4, 2))}
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.2,
    "pdf.fonttype": 42,
}
# How the method of an interval ends that rests on no spread.
_BOUND = r"(?:: exact binomial bound|: the bounds themselves)$"


def save(figure: Figure, paths: Sequence[Path]) -> None:
    """Write a figure to each path; the file's ending names the format."""
    for path in paths:
        # Without a date equal figures are equal files.
        options: dict[str, Any] = {"format": path.suffix[1:], "dpi": 300}
        if path.suffix == ".pdf":
            options["metadata"] = {"CreationDate": None}
        write_atomically(path, partial(figure.savefig, **options))


def figure_file(path: str | Path) -> Path:
    """The path of a figure that a user names.

    Raises
    ------
    UserError
        If figures have no such format or the folder does not exist.
    """
    check_kind("path", path, str, Path)
    path, formats = Path(path), sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix[1:].lower() not in formats:
        raise UserError(f"figure file {path} must end in one of .{', .'.join(formats)}")
    if not path.parent.is_dir():
        raise UserError(f"folder {path.parent} for figure file {path.name} does not exist")
    return path


def look_of(i: int) -> dict[str, Any]:
    """Colour and marker of curve ``i``."""
    return {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}


def say(axes: Axes, text: str) -> None:
    """What line and band of a panel are."""
    axes.set_title(text, loc="left", fontsize=7, pad=3)


def points_to_show(rows: pd.DataFrame) -> tuple[float, float] | None:
    """Limits of an axis of estimates, in points; None where all intervals may set them.

    Where outcomes were all alike, or of one chip, the interval is a bound that would leave all else a point:
    it may run off the panel.

    Parameters
    ----------
    rows : DataFrame
        With ``value``, ``low``, ``high`` and ``method``.
    """
    alike = rows["method"].str.contains(_BOUND)
    told = rows[~alike]
    shown = 100 * np.concatenate([[0.0], rows["value"], told["low"], told["high"]])
    low, high = float(shown.min()), float(shown.max())
    if not alike.any() or low == high:
        return None
    margin = 0.06 * (high - low)
    return low - margin, high + margin


def reference_accuracy(trials: pd.DataFrame) -> float | None:
    """Accuracy of the digital network on the same inputs, where the table holds it."""
    packed = trials.attrs.get("reference_bits")
    if not isinstance(packed, str):
        return None
    right = np.frombuffer(base64.b64decode(packed), np.uint8)
    return int(np.bitwise_count(right).sum()) / int(trials["inputs"].iloc[0])
