"""A study in words: what it simulates, and what came out, on at most 100 columns."""

from __future__ import annotations

import math
import textwrap
import time
from typing import Any

import numpy as np
import pandas as pd

from reliability.chip import Chip, Slices
from reliability.cores import available_cores
from reliability.datasets import Dataset
from reliability.design import Study
from reliability.effects import effect_names, resolved
from reliability.network import Network
from reliability.settings import describe_fields
from reliability.simulation import Simulation
from reliability.statistics.interval import CHIPS, CHIPS_AND_INPUTS
from reliability.statistics.order import quantile_indices
from reliability.tile import Converter
from reliability.units import time_in_words

COLUMNS = 100
# Drawing and reading one device once; a rough figure, for estimates of cost only.
_SECONDS_A_CELL = 2e-9


def counted(number: int, noun: str) -> str:
    """So many of what a noun that takes an s names."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def quantile_span(low: float, high: float, chips: int, level: float) -> str:
    """The interval of a 5 % chip, in per cent; a dash where there are too few chips for its lower end."""
    has_end = quantile_indices(chips, 0.05, level)[0] is not None
    return f"[{f'{100 * low:.2f}' if has_end else '-'}, {100 * high:.2f}]"


def value_in_words(field: str, value: Any) -> str:
    """A condition's value as the tables print it."""
    if field == "time_s":
        return time_in_words(float(value))
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)


def describe(study: Study, network: Network, dataset: Dataset, simulation: Simulation) -> str:
    """What a study simulates and what it will cost, without running it."""
    if study.analysis is not None:
        return _describe_analysis(study, network, dataset, simulation)
    sweep = simulation.sweep
    chips = study.max_chips if study.ci_width is not None else study.chips
    right = simulation.reference.mean()
    arrays = sum(len(g.times) * g.chip.mapping.slices.count for g in sweep.groups)
    sums = sum(len(g.times) * _sums_a_product(g.chip) for g in sweep.groups)
    products = network.products_per_input * len(dataset) * chips * sums
    cells = 2 * network.products_per_input * chips * arrays
    work = 2 * products / (0.8 * _product_rate()) + cells * _SECONDS_A_CELL
    seconds = work / min(simulation.threads, available_cores())
    trials = len(sweep.conditions) * chips
    size = trials * (len(dataset) / 8 + 60)
    many = f"up to {chips}" if study.ci_width is not None else f"{chips}"
    lines = [
        *_subject_lines(study, network, dataset, float(right)),
        f"Sweep      {counted(len(sweep.conditions), 'condition')}:",
    ]
    for field in sweep.fields:
        values = list(dict.fromkeys(value_in_words(field, c[field]) for c in sweep.conditions))
        lines.append(f"           {field}: {', '.join(values)}")
    lines += [
        f"Chips      {many}, the same under every condition, seed {study.seed}",
        f"Target     {_target(study, float(right))}",
        f"Cost       {counted(trials, 'trial')}, {products:.2g} multiply-adds; about {_duration(seconds)} on "
        f"{counted(simulation.threads, 'thread')} and {size / 1e6:.1f} MB, once the kernels are compiled",
        *_field_lines(study),
    ]
    return "\n".join(_wrap(line) for line in lines)


def _describe_analysis(study: Study, network: Network, dataset: Dataset, simulation: Simulation) -> str:
    assert study.analysis is not None
    right = float(simulation.reference.mean())
    lines = [
        *_subject_lines(study, network, dataset, right),
        f"Target     {_target(study, right)}",
        f"Analysis   {study.analysis.plan(study.setting(network, dataset))}",
        f"Seed       {study.seed}",
        *_field_lines(study),
    ]
    return "\n".join(_wrap(line) for line in lines)


def _subject_lines(study: Study, network: Network, dataset: Dataset, right: float) -> list[str]:
    """Question, network, inputs and chip of a study."""
    chip = study.chip
    return [
        study.question,
        "",
        f"Network    {network.name}: {network.weights} weights; digital {study.metric} {right:.2%}",
        f"           {network.about}",
        f"Inputs     {len(dataset)} of {dataset.name} ({dataset.source})",
        f"Chip       {chip.device.describe()}",
        *([f"           {chip.device.note}"] if chip.device.note else []),
        *(f"           {line}" for line in _array_lines(chip)),
        *(f"           {line}" for line in _effect_lines(chip)),
        f"           compensation {chip.compensation}; accumulated noise {chip.read_noise}",
    ]


def _field_lines(study: Study) -> list[str]:
    """Every field of a study that the command line can set."""
    lines = ["", "Fields that --set can change, with their values here:"]
    hidden = (
        ("question", "analysis") if study.analysis is None else ("question", "figure", "vary", "ci_width")
    )
    for path, value, allowed in describe_fields(study):
        if path not in hidden and not path.startswith("figure."):
            lines.append(f"  {path} = {_short(value)}    ({allowed})")
    return lines


def summary_text(
    summary: pd.DataFrame,
    fields: list[str],
    clean: float | None,
    ci_width: float | None = None,
    widest: float | None = None,
) -> str:
    """The summary as text: a row a condition, then paired differences and failure times.

    Parameters
    ----------
    summary : DataFrame
        From :func:`reliability.summarize`.
    fields : list of str
        The condition fields.
    clean : float, optional
        Accuracy of the digital network on the same inputs.
    ci_width, widest : float, optional
        The width asked for, and that of the widest interval over chips when the run stopped.
    """
    conditions = summary[fields].drop_duplicates() if fields else pd.DataFrame(index=[0])
    is_split = summary["estimand"].str.startswith(("variance_", "share_"))
    per_chip = summary[~is_split & ~summary["estimand"].str.startswith("failure_time")]
    if fields:
        conditions = per_chip[fields].drop_duplicates()
    first = summary.iloc[0]
    level = f"{first['level']:.0%}".replace("%", " %")
    lines = [
        f"{counted(int(first['chips']), 'chip')}, {counted(int(first['inputs']), 'input')}. Accuracy in %; "
        f"brackets hold {level} intervals.",
    ]
    if clean is not None:
        lines.append(f"Digital network on the same inputs: {100 * clean:.2f} %.")
    if ci_width is not None and widest is not None:
        reached = "reached" if widest < ci_width else "NOT reached within the most chips allowed"
        lines.append(
            f"Asked for intervals over chips below {100 * ci_width:g} points: {reached}, the widest has "
            f"{100 * widest:.3g}."
        )
    header = ["mean", "over chips,", "over chips and", "std over", "5 % chip", "yield"]
    below = ["", "these inputs", "inputs", "chips", "", ""]
    target = per_chip.loc[per_chip["estimand"] == "yield", "target"]
    if len(target):
        below[5] = f">= {100 * target.iloc[0]:.2f} %"
    rows = []
    for _, condition in conditions.iterrows():
        own = _select(per_chip, condition, fields)
        rows.append([value_in_words(f, condition[f]) for f in fields] + _condition_cells(own))
    lines += ["", *_table([[*fields, *header], [""] * len(fields) + below], rows, len(fields))]
    lines += _end_line(per_chip)
    lines += _floor_line(per_chip)
    lines += _split_lines(summary[is_split], fields)
    lines += _difference_lines(per_chip, fields)
    lines += _failure_lines(summary, fields)
    return "\n".join(lines)


def clipping_text(converters: list[dict[str, Any]]) -> str:
    """How much the converters clip, and in which layer most of it."""
    parts = []
    for kind, one, many in (("dac", "input", "inputs"), ("adc", "column sum", "column sums")):
        # A layer without the converter has no range of it: None, or no slice's.
        present = [row for row in converters if row[f"{kind}_range"] not in (None, [])]
        if present:
            worst = max(present, key=lambda row: row[f"{kind}_clipped"])
            share = 100 * worst[f"{kind}_clipped"]
            parts.append(f"{share:.3g} % of the {many} ({worst['layer']})" if share else f"no {one}")
    return _wrap(
        f"Converters clipped, in the layer and condition with most: {'; '.join(parts)}. Every layer's range "
        f"is in converters.csv.",
        indent="",
    )


def _condition_cells(own: pd.DataFrame) -> list[str]:
    def cell(estimand: str, varies: str | None = None, decimals: int = 2) -> tuple[str, str]:
        rows = own[own["estimand"] == estimand]
        if varies is not None:
            rows = rows[rows["varies"] == varies]
        if rows.empty:
            return "", ""
        row = rows.iloc[0]
        value, low, high = (100 * row[name] for name in ("value", "low", "high"))
        return f"{value:.{decimals}f}", f"[{low:.{decimals}f}, {high:.{decimals}f}]"

    mean, over_chips = cell("mean", CHIPS)
    over_both = cell("mean", CHIPS_AND_INPUTS)[1]
    spread = cell("spread")[0]
    quantile, span = cell("quantile_05")
    if quantile:
        row = own[own["estimand"] == "quantile_05"].iloc[0]
        # One chip has no spread.
        spread = spread if row["chips"] > 1 else "-"
        span = quantile_span(row["low"], row["high"], int(row["chips"]), row["level"])
    made = cell("yield", decimals=1)
    return [mean, over_chips, over_both, spread, f"{quantile} {span}", f"{made[0]} {made[1]}"]


def _difference_lines(per_chip: pd.DataFrame, fields: list[str]) -> list[str]:
    rows = per_chip[(per_chip["estimand"] == "difference") & (per_chip["varies"] == CHIPS_AND_INPUTS)]
    categorical = [f for f in fields if not pd.api.types.is_numeric_dtype(per_chip[f])]
    rows = rows[rows["against"].map(lambda text: str(text).partition("=")[0] in categorical)]
    if rows.empty:
        return []
    cells = []
    for _, row in rows.iterrows():
        where = [value_in_words(f, row[f]) for f in fields]
        alone = per_chip[
            (per_chip["estimand"] == "difference")
            & (per_chip["varies"] != CHIPS_AND_INPUTS)
            & (per_chip["against"] == row["against"])
        ]
        alone = _select(alone, row, fields).iloc[0]
        cells.append(
            [
                *where,
                str(row["against"]),
                f"{100 * row['value']:+.2f}",
                *(f"[{100 * r['low']:+.2f}, {100 * r['high']:+.2f}]" for r in (alone, row)),
            ]
        )
    head = [[*fields, "against", "points", "over chips,", "over chips and"]]
    head += [[""] * (len(fields) + 2) + ["these inputs", "inputs"]]
    return [
        "",
        "Paired differences of the mean, same chips and inputs:",
        "",
        *_table(head, cells, len(fields)),
    ]


def _failure_lines(summary: pd.DataFrame, fields: list[str]) -> list[str]:
    rows = summary[summary["estimand"].str.startswith("failure_time")]
    if rows.empty:
        return []
    others = [f for f in fields if f != "time_s"]
    cells = []
    for _, row in rows.iterrows():
        share = "half of the chips" if row["estimand"].endswith("50") else "5 % of the chips"
        cells.append(
            [
                *(value_in_words(f, row[f]) for f in others),
                share,
                _span(row["low"], row["high"]),
            ]
        )
    head = [[*others, "time until", "has fallen below the target"]]
    return [
        "",
        "First time below the target (known only between the times simulated):",
        "",
        *_table(head, cells, len(others)),
    ]


def _span(low: float, high: float) -> str:
    """Bounds of a failure time; infinity stands for later than the last time simulated."""
    if high == 0:
        return "from the start"
    if math.isinf(low):
        return "not at any time simulated"
    if math.isinf(high):
        return f"after {time_in_words(low)}" if low > 0 else "unknown"
    until = time_in_words(high)
    return f"between {time_in_words(low)} and {until}" if low > 0 else f"by {until}"


def _select(rows: pd.DataFrame, condition: pd.Series, fields: list[str]) -> pd.DataFrame:
    for field in fields:
        rows = rows[rows[field] == condition[field]]
    return rows


def _table(head: list[list[str]], rows: list[list[str]], keys: int) -> list[str]:
    """Lines of a table; columns that do not fit go below, behind the first ``keys`` columns again."""
    lines = [*head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head[0]))]
    for gap in ("  ", " "):
        fitting = len(widths)
        while fitting > keys + 1 and sum(widths[:fitting]) + len(gap) * (fitting - 1) > COLUMNS:
            fitting -= 1
        if fitting == len(widths):
            break
    text = [
        gap.join(cell.ljust(width) for cell, width in zip(line, widths[:fitting], strict=False)).rstrip()
        for line in lines
    ]
    if fitting == len(widths):
        return text
    head, rows = ([line[:keys] + line[fitting:] for line in part] for part in (head, rows))
    return [*text, "", *_table(head, rows, keys)]


def _end_line(per_chip: pd.DataFrame) -> list[str]:
    rows = per_chip[per_chip["estimand"] == "quantile_05"]
    sizes = zip(rows["chips"].astype(int), rows["level"], strict=True)
    if all(quantile_indices(chips, 0.05, level)[0] for chips, level in sizes):
        return []
    return ["", "[-, ...]: too few chips for a lower end of the 5 % chip."]


def _floor_line(per_chip: pd.DataFrame) -> list[str]:
    floors = per_chip.loc[per_chip["estimand"] == "mean", "input_floor"].dropna()
    if floors.empty:
        return []
    low, high = (f"{100 * floor:.2f}" for floor in (floors.min(), floors.max()))
    span = low if low == high else f"{low} to {high}"
    return [
        "",
        _wrap(
            f"Intervals over chips and inputs have a floor that the inputs set: with endlessly many chips "
            f"they would still be {span} points wide.",
            indent="",
        ),
    ]


def _split_lines(split: pd.DataFrame, fields: list[str]) -> list[str]:
    """What brings the variance of the mean over chips and inputs, a row a condition."""
    # One chip has no variance to split.
    split = split[split["chips"] > 1]
    if split.empty:
        return []
    rows = []
    shown = [f for f in fields if split[f].notna().any()]
    for _, own in split.groupby(shown, sort=False, dropna=False) if shown else [((), split)]:
        by_name = own.set_index("estimand")
        cells = [value_in_words(f, own[f].iloc[0]) for f in shown]
        for name in ("chip", "inputs"):
            row = by_name.loc[f"share_{name}"]
            cells.append(f"{100 * row['value']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]")
        low, value, high = (
            100 * math.sqrt(by_name.loc["variance_chip", e]) for e in ("low", "value", "high")
        )
        rows.append([*cells, f"{value:.2f} [{low:.2f}, {high:.2f}]"])
    head = [[*shown, "chips' share", "inputs' share", "true std of chips"]]
    head += [[""] * len(shown) + ["%", "%", "points"]]
    return [
        "",
        "What brings the variance of the mean over chips and inputs, and the chips' spread without the",
        "inputs' noise:",
        "",
        *_table(head, rows, len(shown)),
    ]


def _array_lines(chip: Chip) -> list[str]:
    """Tiles, converters and mapping of a chip, the last two where it has them."""
    tile, mapping, slices = chip.tile, chip.mapping, chip.mapping.slices
    sizes = {"rows": tile.rows, "columns": tile.columns}
    rows, columns = (f"the layer's {what}" if n == "layer" else f"{n} {what}" for what, n in sizes.items())
    lines = [f"tiles of {rows} and {columns}"]
    if tile.dac is not None:
        pulse = "" if tile.dac.pulse_bits == "all" else f", {_bits(tile.dac.pulse_bits)} a pulse"
        lines.append(f"DAC of {_converter(tile.dac, chip)}{pulse}")
    if tile.adc is not None:
        lines.append(f"ADC of {_converter(tile.adc, chip)}")
    if chip.mapping.scheme == "offset":
        lines.append("mapping offset: one device a weight and a reference column a tile")
    if slices != Slices():
        each = f" of {_bits(slices.bits)}" if slices.fill == "digits" else f", base {slices.base:g}"
        plural = "s" if slices.count > 1 else ""
        lines.append(f"{slices.count} slice{plural} a weight, fill {slices.fill}{each}")
    if slices.count > 1 and slices.columns != 1:
        some = slices.columns
        which = (
            f"{len(some)} columns" if isinstance(some, tuple) else f"the {some:.3g} largest of the columns"
        )
        lines.append(f"more than one slice only of {which}")
    if slices.combine == "current":
        lines.append("the slices stand in one array, where their currents add up")
    if slices.combine == "median":
        lines.append("columns give the median of their slices' sums")
    if mapping.weight_max == "column":
        lines.append("a scale and a digital factor for each column")
    if mapping.clip_percentile < 100:
        lines.append(f"weights beyond percentile {mapping.clip_percentile:g} clipped")
    return lines


def _effect_lines(chip: Chip) -> list[str]:
    """What happens to the cells beyond their law, and the effects by name."""
    beyond = (chip.telegraph, chip.faults, chip.variation, chip.tile.wires, chip.verify, chip.repair)
    lines = [effect.describe() for effect in beyond if effect.is_on]
    names = effect_names(resolved(chip))
    return [*lines, f"effects: {', '.join(names) if names else 'none'}"]


def _sums_a_product(chip: Chip) -> int:
    """Slices read by themselves, times pulses, as the chip has them where a layer does not say otherwise."""
    dac, slices = chip.tile.dac, chip.mapping.slices
    return slices.count // slices.sets * (1 if dac is None else dac.pulses(signed=False))


def _converter(converter: Converter, chip: Chip) -> str:
    if converter.range != "calibrated":
        return f"{_bits(converter.bits)}, range {converter.range:g}"
    seen = "largest" if converter.percentile == 100 else f"percentile {converter.percentile:g}"
    return f"{_bits(converter.bits)}, range calibrated ({seen} of {chip.calibration_inputs} training inputs)"


def _bits(number: int | str) -> str:
    return f"{number} bit" if number == 1 else f"{number} bits"


def _target(study: Study, right: float) -> str:
    if study.target is not None:
        return f"accuracy of at least {study.target:.2%}"
    return f"accuracy of at least {right - 0.01:.2%}, one point below the digital network"


def _product_rate() -> float:
    """Floating-point operations a second of one core in a matrix product, measured now."""
    a = np.ones((768, 768), np.float32)
    a @ a
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - start)
    return 2 * 768**3 / min(seconds) / available_cores()


def _duration(seconds: float) -> str:
    return time_in_words(seconds) if seconds >= 1 else "a second"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _wrap(line: str, indent: str = " " * 11) -> str:
    if line.startswith(" "):
        indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.fill(line, COLUMNS, subsequent_indent=indent, break_long_words=False) if line else ""
