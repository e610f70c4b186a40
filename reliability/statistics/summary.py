"""The summary of a trials table: every estimand with its interval, its confidence and what varies in it."""

import pandas as pd

from reliability.errors import UserError
from reliability.statistics.conditions import (
    READ_FIELD,
    TIME_FIELD,
    UNPAIRED_FIELD,
    in_words,
    series_along,
    split_conditions,
)
from reliability.statistics.estimands import rows_of_condition, rows_of_difference, rows_of_split
from reliability.statistics.failures import rows_of_failure
from reliability.statistics.interval import check_level
from reliability.statistics.levels import joint_levels
from reliability.statistics.row import Row, check_target
from reliability.statistics.stopping import AT_EVERY_LOOK


def summarize(trials: pd.DataFrame, target: float | None = None, level: float = 0.95) -> pd.DataFrame:
    """Every estimand of every condition with its interval.

    Parameters
    ----------
    trials : DataFrame
        One row a trial: the condition fields named in ``trials.attrs["conditions"]``, ``chip``, ``inputs``,
        ``accuracy`` and, for right/wrong metrics, ``correct`` and ``correct_bits`` (`numpy.packbits` of the
        outcomes); ``trials.attrs["reference_bits"]``, base64, are those of the digital network.
        Where ``trials.attrs["ci_width"]`` says that the number of chips was chosen by looking at the
        intervals, means, drops and differences over chips, and yields, come with confidence sequences; the
        methods of all others say that they take the number of chips as fixed.
    target : float, optional
        Accuracy that a chip must reach. Without it the accuracy of the digital network less 0.01; without
        the digital network's outcomes either, the rows that need a target (yield, failure times) are left
        out.
    level : float
        Confidence of every interval by itself.

    Returns
    -------
    DataFrame
        One row for each condition and estimand, conditions in the order of the table, with the columns

        condition fields
            as in the trials; ``time_s`` is empty for failure times.
        estimand
            ``mean``, ``drop`` (digital network minus chips), ``variance_chip``, ``variance_inputs`` and
            ``variance_chip_inputs`` (what chips, inputs and both together bring to the variance of one
            outcome), ``share_chip`` and ``share_inputs`` (in the variance of the mean over chips and inputs),
            ``spread`` (standard deviation over chips), ``quantile_05`` (the chip that 5 % of chips are worse
            than), ``tolerance_05`` (what 95 % of chips surely reach), ``cvar_05`` (mean of the worst 5 % of
            chips), ``yield`` (fraction of chips that meet the target), ``difference`` (mean minus that of
            another condition), ``failure_time_50`` and ``failure_time_05`` (first evaluated time by which
            that fraction of chips has failed, seconds). Where the trials hold several evaluations of the same
            chips (a condition field ``read``), the variances are estimated from all of them together, in rows
            in which ``read`` is empty, with ``variance_read`` and ``variance_read_inputs`` split off.
        value, low, high, level
            the estimate, its interval, its confidence.
        low_all, high_all
            an interval that holds for this estimand under all conditions at once with that confidence (means,
            drops, quantiles, the worst 5 % and yields; see `simultaneous_intervals`).
        varies
            what the interval is about: "chips, these inputs" or "chips and inputs".
        method
            how the interval was made.
        chips, inputs
            how many there were.
        target, against
            the accuracy to reach; what a drop or difference is taken from.
        input_floor
            the full width that this interval would keep with infinitely many chips ("chips and inputs" only).
        description
            the row in words.

        Differences are paired, chip by chip and input by input: each value of a field against the first one
        in the table, at equal values of all other fields. They are left out across ``class`` and ``read``,
        where the two conditions share no chips, and where their inputs differ in number. A metric that is not
        right/wrong has rows for chips on these inputs only, and no bounds.

    Raises
    ------
    UserError
        When the table, the target or the level is impossible.
    """
    check_level(level)
    fields, conditions = split_conditions(trials)
    check_target(target, conditions)
    metric = str(trials.attrs.get("metric", "accuracy"))
    sequential = "ci_width" in trials.attrs
    rows: list[Row] = []
    by_codes = {tuple(condition.codes.values()): condition for condition in conditions}
    levels = joint_levels(fields, conditions, level)
    for condition in conditions:
        rows.extend(rows_of_condition(condition, target, levels, metric, sequential, READ_FIELD in fields))
        for field in fields:
            baseline = by_codes.get(tuple({**condition.codes, field: 0}.values()))
            unpaired = field in (UNPAIRED_FIELD, READ_FIELD)
            if not unpaired and condition.codes[field] != 0 and baseline is not None:
                against = f"{field}={in_words(baseline.where[field])}"
                rows.extend(rows_of_difference(condition, baseline, against, level, metric, sequential))
    for reads in series_along(fields, conditions, READ_FIELD):
        rows.extend(row | {READ_FIELD: None} for row in rows_of_split(reads, level, metric))
    for series in series_along(fields, conditions, TIME_FIELD):
        if len(series) > 1:
            rows.extend(rows_of_failure(series, target, level, metric))
    if sequential:
        for row in rows:
            if AT_EVERY_LOOK not in row["method"]:
                row["method"] += ", as if the number of chips had been fixed"
    own = [
        "estimand",
        "value",
        "low",
        "high",
        "low_all",
        "high_all",
        "level",
        "varies",
        "method",
        "chips",
        "inputs",
        "target",
        "against",
    ]
    summary = pd.DataFrame(rows, columns=[*fields, *own, "input_floor", "description"])
    summary.attrs = {"conditions": fields, "metric": metric}
    return summary


def simultaneous_intervals(
    trials: pd.DataFrame, target: float | None = None, level: float = 0.95
) -> pd.DataFrame:
    """Intervals that hold for a whole curve: for each estimand under all conditions of the trials at once.

    Parameters and errors as `summarize`, and a `UserError` where there is one condition only.

    Returns
    -------
    DataFrame
        The rows of `summarize` for ``mean``, ``drop``, ``quantile_05``, ``cvar_05`` and ``yield``; ``low``
        and ``high`` of all rows of one estimand and one ``varies`` hold together with confidence ``level``.
        Means and drops take the quantile of the largest of the conditions' deviations, which are correlated
        as the same chips (and inputs) stand under each; where conditions share no chips or inputs, and for
        quantiles, the worst 5 % and yields, each interval has the Bonferroni level.
    """
    summary = summarize(trials, target, level)
    rows = summary[summary["low_all"].notna()].drop(columns=["low", "high", "input_floor"])
    if rows.empty:
        raise UserError("The trials table holds one condition; simultaneous intervals need two.")
    rows = rows.rename(columns={"low_all": "low", "high_all": "high"})
    rows["method"] += ", for all conditions at once"
    order = [name for name in summary.columns if name in rows.columns]
    found = rows[order].reset_index(drop=True)
    found.attrs = dict(summary.attrs)
    return found
