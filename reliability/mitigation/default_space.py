"""The cures that come into question for a chip, by what it suffers from."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from reliability.chip import Chip, Slices
from reliability.compensation import is_adapted
from reliability.crossbar import Crossbar, analog_crossbars
from reliability.datasets import Dataset
from reliability.effects import resolved
from reliability.errors import UserError
from reliability.mitigation.adabs import AdaptiveStatistics
from reliability.mitigation.clipping import Clipping
from reliability.mitigation.column_scale import ColumnScale
from reliability.mitigation.compensation import DriftCompensation
from reliability.mitigation.converter_ranges import ConverterRanges
from reliability.mitigation.cost_model import cost_model
from reliability.mitigation.cure import Cure
from reliability.mitigation.digital_correction import DigitalCorrection
from reliability.mitigation.goal import is_steady
from reliability.mitigation.in_pair import InPairCorrection
from reliability.mitigation.overrides import by_name, layers_to_cure
from reliability.mitigation.redundancy import Redundancy
from reliability.mitigation.refresh import Refresh
from reliability.mitigation.remapping import RowRemapping
from reliability.mitigation.selection import rank_weights, save_scores
from reliability.mitigation.space import Knob, Option, Space
from reliability.mitigation.spares import Spares
from reliability.mitigation.write_verify import VerifyWeights
from reliability.moments import cell_moments
from reliability.network import Network
from reliability.training_inputs import Calibration, labelled_inputs
from reliability.units import MONTH, time_in_words
from reliability.write_verify import WriteVerify

# Layers up to this share of all cells are small.
_SMALL = 0.25
_COPIES = (2, 3, 4)
# Of write-verify: shares of the weights, tolerance in standard deviations of blind writing, and training
# inputs that rank weights.
_SHARES = (0.05, 0.1, 0.2, 0.5, 1.0)
_TOLERANCE = 0.6
_RANKED_WITH = 500
_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


def default_space(
    network: Network,
    chip: Chip,
    *,
    horizon_s: float = 0.0,
    calibration: Calibration | Callable[[], Dataset] | None = None,
) -> Space:
    """Knobs for what a chip suffers from, each from no cure to the strongest.

    - Copies of small and of large layers apart (each layer by itself where there are two).
    - A scale a column and clipped weights.
    - Write-verify of a share of the weights, if the law was not fitted to verified devices: those first that
      the analytic network's derivatives put first, on training inputs with labels; without these the largest.
    - Compensation and a refresh at half of the horizon, if anything changes with time; what is fitted to
      training inputs only where there are any.
    - Repair, if cells break; ranges of converters, where these are calibrated.

    Parameters
    ----------
    network : Network
    chip : Chip
    horizon_s : float
        For how long it is used, seconds.
    calibration : Dataset, arrays or callable, optional
        Training inputs.

    Raises
    ------
    UserError
        If no layer stands on devices.
    """
    chip = by_name(resolved(chip), network)
    layers_to_cure(chip, network)
    crossbars = list(analog_crossbars(network, chip).values())
    knobs = [
        *_redundancy(crossbars),
        *_scaling(crossbars),
        *_write_verify(network, chip, crossbars, calibration),
        *_compensation(chip, crossbars, horizon_s, calibration is not None),
        *_repair(crossbars, calibration is not None),
        *_converters(crossbars),
    ]
    return Space(chip, tuple(knob for knob in knobs if len(knob.options) > 1))


def layer_groups(crossbars: Sequence[Crossbar]) -> dict[str, tuple[str, ...]]:
    """Layers by their number of cells: the small ones, whose copies cost little, and the others."""
    names = [crossbar.name for crossbar in crossbars]
    if len(names) <= 2:
        return {name: (name,) for name in names}
    cells = np.array([crossbar.devices for crossbar in crossbars])
    order = np.argsort(cells, kind="stable")
    small = order[np.cumsum(cells[order]) <= _SMALL * cells.sum()]
    if not 0 < len(small) < len(names):
        return {"all layers": tuple(names)}
    return {
        "small layers": tuple(names[i] for i in sorted(small)),
        "large layers": tuple(names[i] for i in range(len(names)) if i not in small),
    }


def _knob(name: str, cures: Sequence[tuple[str, Cure]], layers: Sequence[str] | None = None) -> Knob:
    """No cure, or one of several."""
    own = None if layers is None else tuple(layers)
    return Knob(name, (Option("none"), *(Option(label, (cure,), own) for label, cure in cures)))


def _redundancy(crossbars: Sequence[Crossbar]) -> list[Knob]:
    """Copies, where weights do not stand in several slices already."""
    plain = [c for c in crossbars if c.settings.mapping and c.settings.mapping.slices == Slices()]
    return (
        [
            _knob(f"copies of {group}", [(str(k), Redundancy(k)) for k in _COPIES], layers)
            for group, layers in layer_groups(plain).items()
        ]
        if plain
        else []
    )


def _scaling(crossbars: Sequence[Crossbar]) -> list[Knob]:
    """What the range of conductances stands for, where the layer's largest weight decides."""
    plain = [
        c.name
        for c in crossbars
        if c.settings.mapping
        and c.settings.mapping.weight_max == "layer"
        and c.settings.mapping.clip_percentile == 100
    ]
    if not plain:
        return []
    # No repair is known of columns with scales of their own.
    scales = not any(c.settings.faults and c.settings.faults.is_on for c in crossbars)
    clipped = [(f"{p:g} %", Clipping(p)) for p in (99.0, 97.0)]
    found = [_knob("scale", [("a column", ColumnScale())], plain)] if scales else []
    return [*found, _knob("clipping", clipped, plain)]


def _converters(crossbars: Sequence[Crossbar]) -> list[Knob]:
    """Where the ranges of ADCs end, as far as they are calibrated."""
    own = [
        c.name
        for c in crossbars
        if c.settings.tile and c.settings.tile.adc and c.settings.tile.adc.range == "calibrated"
    ]
    return (
        [_knob("ADC range", [(f"{p:g} %", ConverterRanges(adc=p)) for p in (99.99, 99.9)], own)]
        if own
        else []
    )


def _write_verify(
    network: Network,
    chip: Chip,
    crossbars: Sequence[Crossbar],
    calibration: Calibration | Callable[[], Dataset] | None,
) -> list[Knob]:
    """Shares of verified weights, where devices are written blindly and err."""
    devices = [c.settings.device for c in crossbars]
    blind = all(d is not None and not d.verified and "programming" in d.effects() for d in devices)
    if not blind or any(c.settings.verify and c.settings.verify.is_on for c in crossbars):
        return []
    spread = max(_programming_error(c) for c in crossbars)
    whole = WriteVerify(share=1.0, scope="chip", tolerance=float(f"{_TOLERANCE * spread:.2g}"))
    whole = replace(whole, order=_order(network, VerifyWeights(whole).apply(chip), calibration))
    cures = [(f"{share:.0%}", VerifyWeights(replace(whole, share=share, scope="chip"))) for share in _SHARES]
    return [_knob("write-verify", cures)]


def _programming_error(crossbar: Crossbar) -> float:
    """Standard deviation of what programming leaves in a device, of the largest conductance."""
    device = crossbar.settings.device
    assert device is not None
    targets = np.linspace(device.g_min_us, device.g_max_us, 9)
    return float(np.sqrt(cell_moments(device, targets).variance.max())) / device.g_max_us


def _order(network: Network, chip: Chip, calibration: Calibration | Callable[[], Dataset] | None) -> str:
    """Which weights come first: a file of scores, or by magnitude where there are no labelled inputs."""
    given = labelled_inputs(calibration)
    if given is None:
        return "magnitude"
    few = given.head(min(_RANKED_WITH, len(given)))
    try:
        scores = rank_weights(network, few, chip, "gradient", calibration=given)
    except UserError:
        return "magnitude"
    # Kept as long as the process, for who simulates the designs.
    folder = tempfile.TemporaryDirectory(prefix="reliability-")
    _FOLDERS.append(folder)
    path = Path(folder.name) / "order.npz"
    save_scores(path, scores)
    return str(path)


def _compensation(chip: Chip, crossbars: Sequence[Crossbar], horizon_s: float, fitted: bool) -> list[Knob]:
    """Compensation beyond what the chip has, and a refresh, if anything changes with time."""
    if is_steady(chip, [crossbar.name for crossbar in crossbars]):
        return []
    cures: list[tuple[str, Cure]] = []
    if chip.compensation == "none":
        cures.append(("global", DriftCompensation("global")))
    if fitted and not is_adapted(chip.compensation):
        cures.append(("matched", AdaptiveStatistics("network")))
    found = [_knob("compensation", cures)]
    if horizon_s >= MONTH and math.isinf(chip.refresh_s):
        found.append(_knob("refresh", [(time_in_words(horizon_s / 2), _refresh(crossbars, horizon_s / 2))]))
    return found


def _refresh(crossbars: Sequence[Crossbar], every_s: float) -> Refresh:
    """A refresh that wears cells as often as costs say that they are written."""
    verified = any(c.settings.device is not None and c.settings.device.verified for c in crossbars)
    return Refresh(every_s, cost_model().verified_writes if verified else 1.0)


def _repair(crossbars: Sequence[Crossbar], weigh: bool) -> list[Knob]:
    """What can be done about broken cells, one on top of the other."""
    broken = [c for c in crossbars if c.settings.faults and c.settings.faults.is_on]
    if not broken or any(c.settings.repair and c.settings.repair.is_on for c in broken):
        return []
    steps: list[tuple[str, tuple[Cure, ...]]] = [("in pair", (InPairCorrection(),))]
    steps.append(("in pair, rows", (*steps[-1][1], RowRemapping(weigh))))
    steps.append(("in pair, rows, 10 % spare", (*steps[-1][1], Spares(0.1, 0.0, weigh))))
    steps.append(("digital", (InPairCorrection(), DigitalCorrection("faulty", weigh))))
    own = tuple(c.name for c in broken)
    return [Knob("repair", (Option("none"), *(Option(label, cures, own) for label, cures in steps)))]
