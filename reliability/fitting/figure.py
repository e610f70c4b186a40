"""The diagnostic figure of a fitted device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reliability.devices.residual import Residual
from reliability.fitting.robust import window
from reliability.plots.style import BAND, CLEAN, COLOURS, STYLE, say

if TYPE_CHECKING:
    from reliability.fitting.result import DeviceFit

_WIDTH_CM, _HEIGHT_CM = 17.8, 11.2
_POINTS = 4000
_COURSES = 5
_FEWEST = 10
_CLOUD: dict[str, Any] = {"s": 2, "color": "0.6", "linewidths": 0, "alpha": 0.5, "rasterized": True}
_TARGET = "target conductance (µS)"


def diagnostic_figure(fit: DeviceFit) -> Figure:
    """Data and fitted law in six panels.

    Above: conductance minus its target against the target, the standard deviation over devices, drift
    exponents. Below: mean and standard deviation over time, and the quantiles of the residuals against those
    of the chosen distribution.

    Parameters
    ----------
    fit : DeviceFit
    """
    import seaborn as sns

    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH_CM / 2.54, _HEIGHT_CM / 2.54), layout="constrained")
        axes = figure.subplots(2, 3)
        _offsets(axes[0, 0], fit)
        _sigma(axes[0, 1], fit)
        _exponents(axes[0, 2], fit)
        _over_time(axes[1, 0], axes[1, 1], fit)
        _quantiles(axes[1, 2], fit)
        for letter, panel in zip("abcdef", axes.flat, strict=True):
            say(panel, f"{letter}   {panel.get_title(loc='left')}")
        sns.despine(figure)
    return figure


def _some(mask: np.ndarray) -> np.ndarray:
    """Indices of what a mask selects, thinned evenly where a figure could not show more."""
    chosen = np.flatnonzero(mask)
    return chosen[:: -(-chosen.size // _POINTS)] if chosen.size else chosen


def _jitter(fit: DeviceFit, devices: np.ndarray) -> np.ndarray:
    """Targets, spread out a little so that devices of one state do not hide each other."""
    states = fit.evidence.states
    width = 0.0 if states.ranges else 0.25 * float(np.diff(states.g_target_us).min())
    spread = np.random.default_rng(0).uniform(-width, width, devices.size)
    return fit.evidence.data.g_target_us[devices] + spread


def _offsets(axes: Axes, fit: DeviceFit) -> None:
    reference, curves = fit.evidence.reference, fit.curves
    present = np.isfinite(reference.offset_us)
    near = _some(present & reference.inside)
    axes.scatter(_jitter(fit, near), reference.offset_us[near], label="device", **_CLOUD)
    target = curves["g_target_us"]
    axes.fill_between(
        target, curves["mean_low_us"] - target, curves["mean_high_us"] - target, color=COLOURS[0], **BAND
    )
    states = curves[curves["measured"]]
    axes.plot(
        states["g_target_us"], states["mean_us"] - states["g_target_us"], "o", color=COLOURS[0], label="mean"
    )
    axes.plot(target, curves["law_mean_us"] - target, color=COLOURS[0], label="law")
    axes.axhline(0, **CLEAN)
    axes.set(xlabel=_TARGET, ylabel="conductance − target (µS)")
    axes.set_title(f"Mean and its {100 * fit.level:g} % band", loc="left")
    axes.legend(frameon=False, loc="upper left")


def _sigma(axes: Axes, fit: DeviceFit) -> None:
    curves, device = fit.curves, fit.device
    target = curves["g_target_us"].to_numpy()
    axes.fill_between(target, curves["sigma_low_us"], curves["sigma_high_us"], color=COLOURS[0], **BAND)
    states = curves[curves["measured"]]
    axes.plot(states["g_target_us"], states["sigma_us"], "o", color=COLOURS[0], label="sigma")
    axes.plot(target, curves["law_sigma_us"], color=COLOURS[0], label="law")
    law = device.curves(target)
    mean, sd = Residual(device.distribution, device.shape).rectified(
        target + law["offset_us"], law["sigma_us"]
    )
    fluctuation = law["fluctuation"] * np.hypot(mean, sd)
    if fluctuation.any():
        axes.plot(target, sd, color=COLOURS[1], label="programming", linewidth=0.9)
        axes.plot(target, fluctuation, color=COLOURS[2], label="fluctuation", linewidth=0.9)
    axes.set(xlabel=_TARGET, ylabel="standard deviation (µS)")
    included = " + measurement" if fit.measurement == "included" else ""
    axes.set_title(f"Spread of devices{included}", loc="left")
    axes.set_ylim(0, 1.25 * curves["sigma_high_us"].max())
    axes.legend(frameon=False, loc="upper left", ncols=2)


def _exponents(axes: Axes, fit: DeviceFit) -> None:
    evidence = fit.evidence
    states = evidence.states.g_target_us
    mean, spread = evidence.found.drift, evidence.found.drift_spread
    known = np.isfinite(mean[0])
    axes.set(xlabel=_TARGET, ylabel="drift exponent")
    axes.set_title("Drift exponent of devices", loc="left")
    if not known.any():
        axes.text(0.5, 0.5, "not shown by the readings", transform=axes.transAxes, ha="center")
        return
    if evidence.exponents is not None:
        own = evidence.exponents.exponent
        shown = _some(np.isfinite(own))
        axes.scatter(_jitter(fit, shown), own[shown], label="device", **_CLOUD)
    low, high = np.quantile(mean[1:, known], [(1 - fit.level) / 2, (1 + fit.level) / 2], axis=0)
    middle, wide = mean[0, known], spread[0, known]
    error = np.maximum([middle - low, high - middle], 0)
    axes.errorbar(
        states[known], middle, error, color=COLOURS[0], fmt="o", capsize=2, linewidth=0.9, label="mean"
    )
    axes.fill_between(states[known], middle - wide, middle + wide, color=COLOURS[0], label="± spread", **BAND)
    clear = evidence.found.mean_us[0, known] > 3 * np.sqrt(evidence.found.variance[0, known])
    reach = 4 * wide[clear].max(initial=0.0) + 0.02
    axes.set_ylim(min(middle.min(), 0.0) - reach, middle.max() + reach)
    axes.legend(frameon=False, loc="best")


def _over_time(above: Axes, below: Axes, fit: DeviceFit) -> None:
    evidence = fit.evidence
    states, data = evidence.states, evidence.data
    shown = np.unique(np.linspace(0, states.count - 1, min(_COURSES, states.count)).round().astype(int))
    longest = float(np.nanmax(data.log_time))
    fine = np.linspace(0, longest or 1.0, 60)
    seconds = fit.device.t0_s * np.exp(fine)
    law = fit.device.curves(states.g_target_us)
    at_states = fit.curves[fit.curves["measured"]]
    means_of_law, sigmas = (at_states[name].to_numpy() for name in ("law_mean_us", "law_sigma_us"))
    for i, k in enumerate(shown):
        colour = COLOURS[i % len(COLOURS)]
        exponent, wandering = law["drift"][k], (law["drift_spread"][k] * fine) ** 2
        # Moments of a power of time whose exponent is normal over devices.
        course = means_of_law[k] * np.exp(-exponent * fine + wandering / 2)
        square = (means_of_law[k] ** 2 + sigmas[k] ** 2) * np.exp(-2 * exponent * fine + 2 * wandering)
        spread = np.sqrt(np.maximum(square - course**2, 0))
        times, means, sds = _by_time(fit, int(k))
        label = f"{states.g_target_us[k]:.3g} µS"
        for axes, curve, points in ((above, course, means), (below, spread, sds)):
            axes.plot(seconds, curve, color=colour, label=label)
            axes.plot(times, points, "o", color=colour)
    for axes, name in ((above, "mean conductance (µS)"), (below, "standard deviation (µS)")):
        axes.set(xscale="log", xlabel="time after programming (s)", ylabel=name, ylim=(0, None))
    above.set_title("Mean over time", loc="left")
    below.set_title("Spread over time", loc="left")
    above.set_ylim(0, 1.45 * above.get_ylim()[1])
    above.legend(frameon=False, loc="upper left", ncols=2, columnspacing=1.0)


def _by_time(fit: DeviceFit, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Time after programming, mean and standard deviation of a state's readings, outliers left out."""
    data, states = fit.evidence.data, fit.evidence.states
    mine = states.node == k
    value, time = data.g_us[mine], data.log_time[mine]
    if states.ranges:
        # What lies between targets of a range is no spread of devices.
        distance = data.g_target_us[mine] - states.g_target_us[k]
        drift = fit.device.curves(states.g_target_us[k : k + 1])["drift"]
        value = value - distance[:, None] * np.exp(-drift * time)
    known = fit.evidence.variance[mine]
    rows = []
    for at in np.unique(time[np.isfinite(time)]):
        here = time == at
        if here.sum() < _FEWEST:
            continue
        y = value[here]
        low, high = window(y, 1e-12)
        near = (y >= low) & (y <= high)
        variance = max(float(y[near].var(ddof=1) - known[here][near].mean()), 0.0)
        rows.append((fit.device.t0_s * np.exp(at), y[near].mean(), np.sqrt(variance)))
    times, means, sds = np.array(rows).reshape(-1, 3).T
    return times, means, sds


def _quantiles(axes: Axes, fit: DeviceFit) -> None:
    choice, residuals = fit.evidence.choice, fit.evidence.residuals
    axes.set(xlabel="quantile of the distribution", ylabel="quantile of the residuals")
    name = fit.device.distribution.replace("_", " ")
    if np.isfinite(fit.device.shape) and fit.device.shape:
        name += f" ({fit.device.shape:.3g})"
    axes.set_title(f"Residuals: {name}", loc="left")
    if residuals.value.size < _FEWEST:
        axes.text(0.5, 0.5, "no state clear of zero", transform=axes.transAxes, ha="center")
        return
    from scipy import special

    ordered = np.sort(residuals.value)
    chosen = _some(np.ones(ordered.size, bool))
    xi = special.ndtri((chosen + 0.5) / ordered.size)
    expected = choice.start + choice.scale * choice.residual.quantile(xi)
    ends = [expected.min(), expected.max()]
    axes.plot(ends, ends, **CLEAN)
    axes.plot(expected, ordered[chosen], ".", color=COLOURS[0], markersize=2.5, rasterized=True)
