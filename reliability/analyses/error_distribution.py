"""Which distribution the errors of chips have: one error a chip, nine families, both tails."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from reliability.analysis import Analysis, Answer, Setting
from reliability.errors import UserError
from reliability.output_errors import ACCURACY, LOGITS, OutputErrors, output_errors
from reliability.report import COLUMNS
from reliability.settings import whole
from reliability.statistics import DistributionFit, fit_error_distribution
from reliability.statistics.distributions import FEWEST_RESAMPLES

_FAR = (0.99, 0.999, 0.9999)
_COLUMNS = (
    "A^2, D: tests of Anderson and Darling and of Kolmogorov and Smirnov, by parametric bootstrap. W1, Q-Q: "
    "mean and largest distance (1 % to 99 %) of quantiles of errors and fit, over the standard deviation."
)


@dataclass(frozen=True)
class ErrorDistribution(Analysis):
    """The distribution of one kind of error over chips.

    Parameters
    ----------
    of : str
        ``"logits"``, ``"weights"``, ``"accuracy"`` or a node of the network:
        :func:`reliability.output_errors.output_errors`.
    alone : bool
        Every other layer is digital: the errors of this layer's own multiplications.
    resamples : int
        Bootstrap resamples of each family.
    """

    of: str = LOGITS
    alone: bool = False
    resamples: int = 399

    def __post_init__(self) -> None:
        whole("analysis.resamples", self.resamples, FEWEST_RESAMPLES, 100_000)

    def plan(self, setting: Setting) -> str:
        """What will be done and what it costs, in a few words, without doing it."""
        what = f"{self.of}, this layer alone" if self.alone else self.of
        return (
            f"one error of {what} from each of {setting.chips} chips, nine families with {self.resamples} "
            f"resamples each, both tails"
        )

    def answer(self, setting: Setting) -> Answer:
        """Simulate, fit, and tell the ranking, the best family and the tails.

        Raises
        ------
        UserError
            If the network has no such errors, they are too few or all equal, or a field is not allowed.
        """
        errors = output_errors(
            setting.network,
            setting.dataset,
            setting.chip,
            of=self.of,
            alone=self.alone,
            chips=setting.chips,
            time_s=setting.time_s,
            seed=setting.seed,
            threads=setting.threads,
            arithmetic=setting.arithmetic,
            calibration=setting.calibration,
            progress=setting.progress,
        )
        fit = fit_error_distribution(
            errors.values, name=errors.name, step=errors.step, resamples=self.resamples, seed=setting.seed
        )
        fits = fit.table().assign(varies=f"{errors.varies}, if the family is the right one")
        tables = {
            "errors": pd.DataFrame({"chip": range(errors.values.size), "error": errors.values}),
            "fits": fits,
            "densities": fit.densities(),
            "quantiles": fit.quantiles(),
        }
        tails, untold = _tails(fit, errors, are_shares=self.of == ACCURACY and not self.alone)
        if tails is not None:
            tables["tails"] = tails
        return Answer(tables, _text(fit, tails, errors, untold), fit.figure)


def _tails(
    fit: DistributionFit, errors: OutputErrors, *, are_shares: bool
) -> tuple[pd.DataFrame | None, list[str]]:
    """The tails that can be told, within what the errors can be, and why others cannot."""
    told, untold = [], []
    for side in ("lower", "upper"):
        try:
            told.append(fit.tail(side=side).table(q=_FAR).assign(varies=errors.varies))
        except UserError as error:
            untold.append(f"No {side} tail: {str(error)[0].lower()}{str(error)[1:]}")
    if not told:
        return None, untold
    tails = pd.concat(told, ignore_index=True)
    if are_shares:
        far, ends = tails["parameter"] == "quantile", ["value", "low", "high"]
        tails.loc[far, ends] = tails.loc[far, ends].clip(0.0, 1.0)
    return tails, untold


def _text(
    fit: DistributionFit, tails: pd.DataFrame | None, errors: OutputErrors, untold: Sequence[str]
) -> str:
    families = fit.table().drop_duplicates("family").set_index("family")
    level = f"{100 * fit.level:g} %"
    lines = [
        f"{errors.values.size} chips, one error of each: {errors.name}.",
        "",
        "family                      AICc - best  BIC - best  weight   p of A^2    p of D  W1 / sd  Q-Q / sd",
    ]
    for family, row in families.iterrows():
        p = [_p_value(row[name], fit.resamples) for name in ("anderson_darling_p", "kolmogorov_smirnov_p")]
        lines.append(
            f"{_words(str(family)):26}  {row['aicc'] - families['aicc'].min():11.1f}  "
            f"{row['bic'] - families['bic'].min():10.1f}  {row['akaike_weight']:6.3f}  {p[0]:>9}  {p[1]:>8}  "
            f"{row['wasserstein']:7.3f}  {row['quantile_deviation']:8.3f}"
        )
    lines += ["", *textwrap.wrap(_COLUMNS, COLUMNS)]
    lines += ["", f"Best by AICc: {_words(fit.best.family)} ({level} intervals, if it is the right one):"]
    for name, value in fit.best.parameters.items():
        low, high = fit.best.intervals[name]
        lines.append(f"  {_words(name):20} {value:10.4g}  [{low:.4g}, {high:.4g}]")
    if tails is not None:
        lines += ["", f"Tails by peaks over threshold (generalised Pareto; {level} profile likelihood):"]
        for _, row in tails.iterrows():
            what = "shape" if row["parameter"] == "shape" else f"one in {row['period']:.0f} beyond"
            span = f"[{row['low']:.4g}, {row['high']:.4g}]"
            lines.append(f"  {row['side']:5} {what:20} {row['value']:10.4g}  {span}")
    for note in (*untold, *(f"{note[0].upper()}{note[1:]}." for note in fit.notes)):
        lines += ["", *textwrap.wrap(note, COLUMNS)]
    return "\n".join(lines)


def _words(name: str) -> str:
    return name.replace("_", " ").replace("student", "Student")


def _p_value(p: float, resamples: int) -> str:
    # No resample was as far off: the p-value is at most this.
    return f"{p:.3f}" if p > 1.5 / (resamples + 1) else f"<= {p:.3g}"
