"""Random errors to compare an attack with."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from reliability.chip import Chip, LayerChip
from reliability.chip import Mapping as ChipMapping
from reliability.crossbar import mapped_network
from reliability.devices.gaussian import Gaussian
from reliability.devices.generic import Generic
from reliability.effects import resolved
from reliability.errors import UserError
from reliability.latents import draw_latents
from reliability.montecarlo import simulate
from reliability.network import Network
from reliability.worst_case.attack import check_attack
from reliability.worst_case.surface import Inputs, Unit, largest_weight, some_crossbars


def weight_deviations(network: Network, chip: Chip) -> dict[str, float]:
    """Standard deviation of every analog layer's weights, of a chip of Gaussian devices.

    Parameters
    ----------
    network : Network
    chip : Chip
        Differential pairs of :class:`reliability.devices.gaussian.Gaussian` devices that are not clamped.
        Only their programming errors count.

    Returns
    -------
    dict of str to float
        In the network's own numbers.

    Raises
    ------
    UserError
        If a weight's error is not the same independent normal for all weights of a layer.
    """
    found = {}
    for name, own in some_crossbars(network, resolved(chip)).items():
        device, mapping = own.settings.device, own.settings.mapping
        assert mapping is not None
        plain = isinstance(device, Gaussian) and not device.clamp and device.sigma > 0
        alike = mapping.weight_max != "column" and mapping.slices.columns == 1
        alike = alike and mapping.slices.fill != "corrected" and not own.votes
        if not plain or mapping.scheme != "pair" or not alike:
            raise UserError(
                f"layer {name!r}: radii count in standard deviations of weights, which are known for "
                f'differential pairs of devices of law "gaussian" with sigma above 0 that are not clamped, '
                f'in slices of any fill but "corrected" that are added up, with one scale and as many copies '
                f"for all columns; without radii (analysis.radii = []) there is no need to know them"
            )
        assert isinstance(device, Gaussian)
        error = device.sigma * device.g_max_us / own.range_us
        spread = math.sqrt(2 * float((own.mapped.significance**2).sum()))
        found[name] = error * spread * own.mapped.weight_scale
    return found


def uniform_noise(
    network: Network,
    inputs: Inputs,
    chip: Chip,
    bound: float,
    *,
    unit: Unit = "weight",
    chips: int = 100,
    seed: int = 0,
    threads: int | None = None,
) -> pd.DataFrame:
    """Chips whose weights miss by independent uniform errors within a bound, to compare an attack with.

    The weights that the chip maps stand on pairs of which one device errs, uniformly
    (:class:`reliability.devices.generic.Generic`), and the other is exact. The draws of all chips are held at
    once, 8 bytes a weight and chip.

    Parameters
    ----------
    network, inputs, chip
        As of a :class:`Surface`.
    bound : float
        Largest error of a weight.
    unit : {"weight", "relative"}
    chips, seed, threads
        As in :func:`reliability.simulate`.

    Returns
    -------
    DataFrame
        The trials table.
    """
    check_attack("max", bound, 1, 1)
    mapped = mapped_network(network, chip)
    crossbars = some_crossbars(network, chip)
    layers = {"*": LayerChip(analog=False)}
    for name, own in crossbars.items():
        assert own.settings.mapping is not None
        largest = float(np.abs(own.mapped.matrix).max()) or 1.0
        sigma = bound * (largest_weight(own) if unit == "relative" else 1.0) / largest
        device = Generic(sigma=sigma, distribution="uniform")
        layers[name] = LayerChip(True, device, mapping=ChipMapping(bias=own.settings.mapping.bias))
    noisy = Chip(device=Generic(distribution="uniform"), layers=layers, name="uniform noise")
    latents = draw_latents(mapped, noisy, chips=chips, seed=seed)
    for draws in latents.values():
        # The median of a uniform error on both sides of zero is none.
        draws[:, 1] = 0
    return simulate(mapped, inputs, noisy, chips=chips, seed=seed, threads=threads, latents=latents)
