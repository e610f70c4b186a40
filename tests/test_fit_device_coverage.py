"""The bands of a fitted device hold the truth as often as they say: 200 tables of each of four laws."""

from __future__ import annotations

import measured_tables
import numpy as np
import pytest

import reliability as rl

pytestmark = pytest.mark.slow

REPEATS = 200


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("name", measured_tables.LAWS)
def test_bands_hold_the_true_curves(name, numbered):
    """With noise of the measurement and 2 % gross outliers; bands hold mean and sigma together at 95 %."""
    law = measured_tables.LAWS[name]
    repeats = REPEATS if numbered else REPEATS // 2
    held = np.zeros((repeats, 3), bool)
    errors, widths = [], []
    for repeat in range(repeats):
        table = measured_tables.measure(law, 1000 + repeat, numbered=numbered)
        curves = rl.fit_device(table, measurement_us=0.1, resamples=199, seed=repeat).curves
        if repeat == 0:
            true_mean, true_sigma = law.curves(curves["g_target_us"])
        within_mean = curves["mean_low_us"].le(true_mean) & curves["mean_high_us"].ge(true_mean)
        within_sigma = curves["sigma_low_us"].le(true_sigma) & curves["sigma_high_us"].ge(true_sigma)
        held[repeat] = within_mean.all(), within_sigma.all(), (within_mean & within_sigma).all()
        at = curves["measured"]
        shift, scale = curves["mean_us"] - true_mean, curves["sigma_us"] / true_sigma - 1
        errors.append(((shift / true_sigma)[at], scale[at]))
        widths.append((curves["sigma_high_us"] - curves["sigma_low_us"])[at] / true_sigma[at] / 2)
    mean, sigma, both = held.mean(axis=0)
    print(f"{name}, numbered {numbered}: mean {mean:.3f}, sigma {sigma:.3f}, both {both:.3f}")
    assert both >= 0.9
    # Neither outliers nor the clamp shift the estimates, and the bands are not wide for nothing: 200 devices
    # know their sigma to 5 %, and three standard errors hold eleven states.
    shift, scale = np.abs(np.mean(errors, axis=0)).max(axis=1)
    width = np.median(widths)
    print(f"  largest bias {shift:.3f} sigma of the mean, {scale:.3f} of sigma; half width {width:.3f}")
    assert shift < 0.03
    assert scale < 0.06
    assert width < 0.25
