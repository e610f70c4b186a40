"""The numbers behind costs, each with its source."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any

from reliability.checks import check, is_number
from reliability.errors import UserError


@dataclass(frozen=True)
class CostModel:
    """Numbers behind the costs; ``data/costs.toml`` says where each comes from.

    Parameters
    ----------
    cell_area_um2, adc_area_um2, word_area_um2 : float
        Of a cell, of an 8-bit converter, of a stored 16-bit word.
    column_share : float
        Columns that share one converter.
    adc_j, adc_s, dac_j : float
        One 8-bit conversion; one row's pulse.
    read_s, read_v, input_power : float
        One multiplication of an array; the voltage of a fully driven row; mean square of what drives rows.
    ideal_bits : float
        Bits that a conversion is charged with where the chip does not say how many.
    operation_j, word_j : float
        One digital multiply and add; one stored word that is read.
    write_j, write_s, verify_j, verify_s : float
        One write pulse; one read of a cell that is verified.
    verified_writes : float
        Writes of a cell whose law was fitted to devices already verified.
    parallel_writes : float
        Cells of one array that are written at a time.
    """

    cell_area_um2: float
    adc_area_um2: float
    column_share: float
    adc_j: float
    adc_s: float
    dac_j: float
    read_s: float
    read_v: float
    input_power: float
    ideal_bits: float
    operation_j: float
    word_j: float
    word_area_um2: float
    write_j: float
    write_s: float
    verify_s: float
    verify_j: float
    verified_writes: float
    parallel_writes: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            low = 1 if field.name in ("parallel_writes", "column_share") else 0
            check(is_number(value, low, 1e30), f"costs.{field.name}", value, f"a number of at least {low}")


@cache
def cost_sources() -> dict[str, str]:
    """Where each number of the table comes from, by name."""
    return {name: entry["source"] for name, entry in _table().items()}


def cost_model(**numbers: float) -> CostModel:
    """The numbers of the table, with those replaced that are given."""
    values = {name: float(entry["value"]) for name, entry in _table().items()}
    for name in numbers:
        if name not in values:
            raise UserError(f"costs.{name} is not a number of the table; these are {', '.join(values)}")
    return CostModel(**(values | numbers))


@cache
def _table() -> dict[str, Any]:
    import reliability.data as data

    return tomllib.loads(resources.files(data).joinpath("costs.toml").read_text(encoding="utf-8"))
