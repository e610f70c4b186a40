"""What a fit gives back: the law, its curves with bands, its tests, its figure and its file."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reliability.checks import check_kind
from reliability.devices.measured import Measured
from reliability.errors import UserError
from reliability.files import write_atomically
from reliability.fitting.choice import Choice, Residuals, believable
from reliability.fitting.drift import Drift
from reliability.fitting.report import Note
from reliability.fitting.robust import FREE
from reliability.fitting.states import Moments, Reference, States
from reliability.fitting.trajectories import Exponents, Trajectories

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a fit was made from, kept for its figure and its tests of fit."""

    data: Trajectories
    variance: np.ndarray
    states: States
    reference: Reference
    exponents: Exponents | None
    drift: Drift
    found: Moments
    residuals: Residuals
    choice: Choice


@dataclass(frozen=True, eq=False)
class DeviceFit:
    """A device law fitted to measurements, and how sure it is.

    Attributes
    ----------
    device : Measured
        The law, ready for a chip.
    curves : DataFrame
        Mean and standard deviation over devices of the conductance at the reference read, with bands that
        hold for both whole curves at once: ``g_target_us``, ``mean_us``, ``mean_low_us``, ``mean_high_us``,
        ``sigma_us``, ``sigma_low_us``, ``sigma_high_us``, ``measured``, whether the row is a measured state,
        and ``law_mean_us``, ``law_sigma_us``, the same of the smooth law.
    level : float
        Confidence of bands and intervals.
    measurement : str
        ``"given"``, ``"repeated readings"``, or ``"included"`` where the spread of the measurement could
        not be told from that of the devices.
    notes : tuple of Note
        What to know before the law is believed: each with ``text``, and ``field``, the number of the law that
        it concerns.
    evidence : Evidence
    """

    device: Measured
    curves: pd.DataFrame
    level: float
    measurement: str
    notes: tuple[Note, ...]
    parameters: pd.DataFrame
    evidence: Evidence

    def table(self) -> pd.DataFrame:
        """Every parameter with its bootstrap interval.

        Returns
        -------
        DataFrame
            ``parameter``, ``g_target_us`` (NaN for one of the whole device), ``value``, ``low``, ``high``:
            each interval by itself at the fit's level, from resampled devices; and ``note``.
        """
        return self.parameters.copy()

    def goodness(self, resamples: int = 199, seed: int = 0) -> pd.DataFrame:
        """Tests of what the law assumes: a small p-value says that the device is another one.

        Parameters
        ----------
        resamples : int
            Draws from the fitted distribution that the first test compares with.
        seed : int

        Returns
        -------
        DataFrame
            ``test``, ``statistic``, ``p_value``, ``departure`` and ``told``. ``residual``: Anderson and
            Darling's test of the chosen distribution, refitted to every draw; the departure is the mean
            distance (Wasserstein) in standard deviations. ``drift``: whether the mean bends against a power
            law of time, chi-squared over states; the departure is the largest one, relative. With very many
            devices every law is rejected, and the departure says whether it matters. A test without the data
            it needs has NaN, and ``told`` says what that is.
        """
        evidence = self.evidence
        enough = evidence.residuals.value.size >= 20 and evidence.residuals.value.std() > 0
        found = (math.nan, math.nan, math.nan)
        if enough:
            found = believable(evidence.residuals, evidence.choice, resamples, seed)
        bending = _bending(evidence)
        residual = f"residuals are {self.device.distribution.replace('_', ' ')}"
        if not enough:
            residual += ", untested: that takes 20 devices that differ, in states clear of zero"
        drift = "conductance is a power of time"
        if math.isnan(bending[0]):
            drift += ", untested: that takes readings of 20 devices of a state clear of zero at 4 times"
        rows = [("residual", *found, residual), ("drift", *bending, drift)]
        return pd.DataFrame(rows, columns=["test", "statistic", "p_value", "departure", "told"])

    def distributions(self) -> pd.DataFrame:
        """The distributions that the residuals were compared with, lowest BIC first."""
        return self.evidence.choice.table.copy()

    def figure(self) -> Figure:
        """The diagnostic figure: data, curves with their bands, exponents, residuals."""
        from reliability.fitting.figure import diagnostic_figure

        return diagnostic_figure(self)

    def plot(self, path: str | Path) -> None:
        """Write the diagnostic figure; the file's ending names the format.

        Raises
        ------
        UserError
            If figures have no such format or the folder does not exist.
        """
        from reliability.plots.style import figure_file, save

        file = figure_file(path)
        save(self.figure(), [file])

    def save(self, path: str | Path, title: str = "") -> None:
        """Write the law to a table file, which studies and chip files take by name.

        Parameters
        ----------
        path : str or Path
            Ends in ``.toml``.
        title : str
            What the device is.

        Raises
        ------
        UserError
            If the file's name ends otherwise or its folder does not exist.
        """
        check_kind("path", path, str, Path)
        path = Path(path)
        if path.suffix != ".toml" or not path.parent.is_dir():
            raise UserError(f"device file {path} must end in .toml and stand in a folder that exists")
        numbers = {f.name: getattr(self.device, f.name) for f in fields(self.device) if f.name != "note"}
        lines = [
            f"law = {json.dumps(self.device.law)}",
            f"title = {json.dumps(title or 'measured device')}",
            f"source = {json.dumps(self.device.note)}",
            "",
            "[numbers]",
            *(f"{name} = {_toml(value)}" for name, value in numbers.items()),
        ]
        doubts: dict[str, list[str]] = {}
        for note in self.notes:
            doubts.setdefault(note.field, []).append(note.text)
        doubts.pop("", None)
        if doubts:
            lines += ["", "[unverified]"]
            lines += [f"{name} = {json.dumps('; '.join(texts))}" for name, texts in doubts.items()]
        write_atomically(path, partial(Path.write_text, data="\n".join(lines) + "\n", encoding="utf-8"))


def _bending(evidence: Evidence) -> tuple[float, float, float]:
    """Chi-squared of the bends of all states clear of zero, its p-value, and the largest departure."""
    from scipy import special

    mean, sd = evidence.found.mean_us[0], np.sqrt(evidence.found.variance[0])
    clear = np.flatnonzero(mean > FREE * sd)
    bends = [evidence.drift.bend(int(k), np.flatnonzero(evidence.states.node == k)) for k in clear]
    known = np.array([bend for bend in bends if math.isfinite(bend[0])])
    if not known.size:
        return math.nan, math.nan, math.nan
    total = float(known[:, 0].sum())
    return total, float(special.chdtrc(len(known), total)), float(known[:, 1].max())


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(repr, value)) + "]"
    return json.dumps(value)
