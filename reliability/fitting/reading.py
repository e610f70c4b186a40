"""The table of measurements: read, checked row by row, and told about by line."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reliability.checks import check_kind
from reliability.errors import UserError

_NUMBERS = ("g_target_us", "time_s", "g_us")
_SPREAD = "g_sd_us"
_DEVICE = "device"
_FIRST_LINE = 2
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Measurements:
    """Measured rows, all of them usable.

    Attributes
    ----------
    g_target_us, time_s, g_us : ndarray of float64, shape (rows,)
    device : ndarray of int64, optional
        Number of the device that was measured.
    sd_us : ndarray of float64, optional
        Standard deviation of the measurement itself, by row.
    left_out : int
        Rows that could not be used.
    source : str
        Where the table came from.
    """

    g_target_us: np.ndarray
    time_s: np.ndarray
    g_us: np.ndarray
    device: np.ndarray | None
    sd_us: np.ndarray | None
    left_out: int
    source: str


def read_measurements(table: str | Path | pd.DataFrame) -> Measurements:
    """Read measurements from a CSV file or a DataFrame.

    Rows that cannot be used are left out, with one warning for each kind of fault that names the first
    lines. Lines of a file count from its header, line 1; rows of a DataFrame count as if it were a file.

    Parameters
    ----------
    table : str, Path or DataFrame
        Columns ``g_target_us``, ``time_s``, ``g_us``, and if known ``device`` and ``g_sd_us``.

    Raises
    ------
    UserError
        If it is neither, the file cannot be read, a column is missing, or no row can be used.
    """
    check_kind("measurements", table, str, Path, pd.DataFrame)
    source = "the table of measurements" if isinstance(table, pd.DataFrame) else str(table)
    frame = table.reset_index(drop=True) if isinstance(table, pd.DataFrame) else _read(Path(table))
    missing = [name for name in _NUMBERS if name not in frame]
    if missing:
        raise UserError(
            f"{source} has no column {', '.join(missing)}: it must hold {', '.join(_NUMBERS)}, and may hold "
            f"{_DEVICE} and {_SPREAD}; its columns are {', '.join(map(str, frame.columns))}"
        )
    known = [*_NUMBERS, *(name for name in (_SPREAD, _DEVICE) if name in frame)]
    ignored = [str(name) for name in frame.columns if name not in known]
    if ignored:
        warnings.warn(f"{source}: columns that are not used: {', '.join(ignored)}", stacklevel=3)
    usable = np.ones(len(frame), bool)
    values: dict[str, np.ndarray] = {}
    for name in known:
        text = frame[name]
        if name == _DEVICE:
            absent = text.isna().to_numpy()
            _leave_out(usable, absent, text, source, "missing")
            values[name] = pd.factorize(text)[0]
            continue
        absent = text.isna().to_numpy()
        if not pd.api.types.is_numeric_dtype(text):
            absent = absent | (text.astype(str).str.strip() == "").to_numpy()
        number = pd.to_numeric(text, errors="coerce").to_numpy(np.float64)
        _leave_out(usable, absent, text, source, "missing")
        _leave_out(usable, np.isnan(number) & ~absent, text, source, "not a number")
        _leave_out(usable, np.isinf(number), text, source, "not finite")
        if name != "g_us":
            _leave_out(usable, number < 0, text, source, "below zero")
        values[name] = number
    if not usable.any():
        raise UserError(f"{source} holds no row that can be used ({len(frame)} rows)")
    values = {name: array[usable] for name, array in values.items()}
    return Measurements(
        g_target_us=values["g_target_us"],
        time_s=values["time_s"],
        g_us=values["g_us"],
        device=values.get(_DEVICE),
        sd_us=values.get(_SPREAD),
        left_out=int((~usable).sum()),
        source=source,
    )


def _read(path: Path) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            # Pandas only warns of a first row that is longer than the header.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # Text, so that a fault is shown as it stands; blank lines are kept, because lines are counted.
            options: dict[str, Any] = {"dtype": str, "skip_blank_lines": False, "index_col": False}
            frame = pd.read_csv(path, skipinitialspace=True, **options)
    except FileNotFoundError:
        raise UserError(f"file of measurements {path} does not exist") from None
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        raise UserError(f"file of measurements {path} cannot be read as CSV: {error}") from None
    frame.columns = [str(name).strip() for name in frame.columns]
    return frame[~frame.isna().all(axis=1)]


def _leave_out(usable: np.ndarray, fault: np.ndarray, text: pd.Series, source: str, told: str) -> None:
    """Take rows with a fault out, and say once which lines they are."""
    fault = fault & usable
    count = int(fault.sum())
    if not count:
        return
    usable &= ~fault
    shown = np.flatnonzero(fault)[:_SHOWN]
    lines = ", ".join(f"line {text.index[i] + _FIRST_LINE} ({text.iloc[i]!r})" for i in shown)
    more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
    rows = "1 row was" if count == 1 else f"{count} rows were"
    warnings.warn(f"{source}: {rows} left out because {text.name} is {told}: {lines}{more}", stacklevel=4)
