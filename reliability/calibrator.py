"""What the designs of a sweep take from training inputs, each found once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from reliability.by_design import ByDesign
from reliability.calibration import Ranges, find_ranges, input_powers, is_needed
from reliability.chip import Chip
from reliability.crossbar import chip_network, crossbars_of
from reliability.datasets import Dataset
from reliability.network import Network
from reliability.tile import Tile
from reliability.training_inputs import Calibration, enough_inputs, first_inputs


class Calibrator:
    """What chips of one network take from training inputs.

    Parameters
    ----------
    network : Network
    inputs : ndarray of float32, shape (N, *input_shape)
        Prepared inputs that the chips will see, of which only the signs count.
    calibration : Dataset, arrays or callable, optional
        Training inputs, or what loads them once they are needed.
    """

    def __init__(
        self,
        network: Network,
        inputs: np.ndarray,
        calibration: Calibration | Callable[[], Dataset] | None,
    ) -> None:
        self.network, self.inputs, self.calibration = network, inputs, calibration
        self._ranges: ByDesign[dict[str, Ranges]] = ByDesign()
        self._powers: ByDesign[dict[str, np.ndarray]] = ByDesign()

    def ranges(self, chip: Chip) -> dict[str, Ranges]:
        """Converter ranges of a chip's layers, calibrated on training inputs where it says so."""

        def find() -> dict[str, Ranges]:
            x = None
            if is_needed(self.network, chip) and self.calibration is not None:
                x = self._first(chip)
            return find_ranges(self.network, chip, x, negative=bool((self.inputs < 0).any()))

        # Neither what the devices do nor the bits of the ADCs moves a range.
        return self._ranges.get(chip.without_effects().with_tiles(_with_any_adc), find)

    def row_powers(self, chip: Chip) -> dict[str, np.ndarray] | None:
        """Mean squares of the layers' inputs on training inputs, where a repair weighs errors by them."""
        found = crossbars_of(chip_network(self.network, chip), chip).values()
        weighs = any(c.settings.repair is not None and c.settings.repair.needs_inputs for c in found)
        if not weighs or self.calibration is None:
            return None
        return self._powers.get(
            chip.without_effects(), lambda: input_powers(self.network, chip, self._first(chip))
        )

    def fitting_inputs(self, chip: Chip) -> np.ndarray | None:
        """Training inputs for compensations that are fitted to them.

        Raises
        ------
        UserError
            If there are fewer than the chip asks for.
        """
        if self.calibration is None:
            return None
        return enough_inputs(self._first(chip), chip.calibration_inputs)

    def _first(self, chip: Chip) -> np.ndarray:
        return first_inputs(self.calibration, self.network, chip.calibration_inputs)


def _with_any_adc(tile: Tile) -> Tile:
    return tile if tile.adc is None else replace(tile, adc=replace(tile.adc, bits=8))
