"""Mean and variance of what a device conducts, by closed forms and quadrature in float64 NumPy.

Each function is written from a law's equations and uses a device's numbers only, none of its code. The
variance includes what every read redraws.
"""

from __future__ import annotations

import numpy as np
from naive import rectified_normal
from scipy import interpolate, stats

from reliability.devices import Device

_Moments = tuple[float, float]


def _normal_grid(points: int) -> tuple[np.ndarray, np.ndarray]:
    xi = np.linspace(-8, 8, points)
    weight = stats.norm.pdf(xi)
    return xi, weight / weight.sum()


def _mixed(mean: np.ndarray, variance: np.ndarray, weight: np.ndarray) -> _Moments:
    """Moments of a mixture."""
    first = (weight * mean).sum()
    return float(first), float((weight * (variance + (mean - first) ** 2)).sum())


def _rectified(mean: float, sigma: float) -> _Moments:
    found = rectified_normal(np.float64(mean), np.float64(sigma))
    return float(found[0]), float(found[1])


def ideal(device: Device, target: float, time_s: float) -> _Moments:
    return target, 0.0


def gaussian(device: Device, target: float, time_s: float) -> _Moments:
    return target, (device.g_max_us * device.sigma) ** 2 + (device.g_max_us * device.read_sigma) ** 2


def _logarithmic(numbers: tuple[float, ...], g: np.ndarray) -> np.ndarray:
    """``clip(a ln g + b, low, high)`` below a split and a polynomial from there on."""
    split, a, b, low, high, *polynomial = numbers
    below = np.clip(a * np.log(np.maximum(g, 1e-7)) + b, low, high)
    return np.where(g < split, below, np.polynomial.Polynomial(polynomial)(g))


def _phase_change(device: Device, target: float, time_s: float, mu, sd, amplitude) -> _Moments:
    g = target / device.g_max_us
    polynomial = np.polynomial.Polynomial(device.programming_us)
    sigma = device.programming_scale * device.g_max_us / device.g_fit_us * max(polynomial(g), 0)
    (xi, weight), (xi_nu, weight_nu) = _normal_grid(1601), _normal_grid(161)
    programmed = np.maximum(target + sigma * xi, 0)[:, None]
    t = time_s + device.t0_s
    exponent = device.drift_scale * np.abs(mu(g) + sd(g) * xi_nu)
    drifted = programmed * (t / device.t0_s) ** -exponent
    length = np.sqrt(np.log((t + device.t_read_s) / (2 * device.t_read_s)))
    relative = device.read_scale * amplitude(programmed / device.g_max_us) * length
    mean, variance = rectified_normal(drifted, drifted * relative)
    p = device.projected_share
    return _mixed(p * programmed + (1 - p) * mean, (1 - p) ** 2 * variance, weight[:, None] * weight_nu)


def pcm(device: Device, target: float, time_s: float) -> _Moments:
    def log(g: float) -> float:
        return np.log(max(g, 1e-7))

    return _phase_change(
        device,
        target,
        time_s,
        lambda g: np.clip(-0.0155 * log(g) + 0.0244, 0.049, 0.1),
        lambda g: np.clip(-0.0125 * log(g) - 0.0059, 0.008, 0.045),
        lambda g: np.minimum(0.0088 / np.maximum(g**0.65, 1e-3), 0.2),
    )


def hermes(device: Device, target: float, time_s: float) -> _Moments:
    return _phase_change(
        device,
        target,
        time_s,
        lambda g: _logarithmic(device.exponent_mean, g),
        lambda g: _logarithmic(device.exponent_sd, g),
        lambda g: _logarithmic(device.read_amplitude, g),
    )


def pulses_to(device: Device, target: float) -> int:
    n = np.polynomial.Polynomial((0, *device.count))
    return max(int(np.floor(n(target) - n(device.reset_us))), 0)


def pcm_pulses(device: Device, target: float, time_s: float) -> _Moments:
    """By propagating the distribution of conductances over a fine grid, pulse by pulse."""
    centres = np.linspace(device.reset_us, device.ceiling_us, 1201)
    edges = np.concatenate([[-np.inf], (centres[1:] + centres[:-1]) / 2, [np.inf]])
    share, history = np.zeros(centres.size), 1.0
    share[0] = 1.0
    for _ in range(pulses_to(device, target)):
        history *= np.exp(-1 / device.memory)
        m1, c1, a1 = device.step
        m2, c2, a2 = device.step_sd
        mean = centres + m1 * centres + c1 + a1 * history
        sd = device.pulse_scale * (m2 * centres + c2 + a2 * history)
        below = stats.norm.cdf((edges - mean[:, None]) / sd[:, None])
        share = share @ np.diff(below)
    drifted = centres * ((time_s + device.t0_s) / device.t0_s) ** -device.drift_exponent
    m3, c3 = device.read_noise
    return _mixed(drifted, (device.read_scale * (m3 * drifted + c3)) ** 2, share)


def _arrhenius(device: Device, time_s: float) -> float:
    kelvins = 1 / device.reference_k - 1 / device.temperature_k
    return time_s * np.exp(device.activation_ev * 1.602176634e-19 / 1.380649e-23 * kelvins)


def rram_sigma(device: Device, target: float, time_s: float) -> float:
    t = _arrhenius(device, time_s) + device.t0_s
    rescale = device.g_max_us / device.g_fit_us
    x = target / (rescale * device.unit_us)
    at_fits = [np.polynomial.Polynomial(row)(x) for row in device.sigma_us]
    gained = np.interp(np.log(t), np.log(device.times_s), at_fits) - at_fits[0]
    return rescale * (device.programming_scale * at_fits[0] + device.relaxation_scale * gained)


def rram(device: Device, target: float, time_s: float) -> _Moments:
    mean, variance = _rectified(target, rram_sigma(device, target, time_s))
    return mean, variance + (device.read_sigma * device.g_max_us) ** 2


def cmo(device: Device, target: float, time_s: float) -> _Moments:
    log_time = np.log(_arrhenius(device, time_s) + device.t0_s)
    c0, c1 = device.programming_us
    m, s0, s1 = device.relaxation_us
    xi, weight = _normal_grid(4001)
    sigma = np.hypot(c0 + c1 * target, s0 + s1 * log_time)
    relaxed = np.maximum(target + m * log_time + sigma * xi, 0)
    t = time_s + device.t0_s
    length = np.sqrt(np.log((t + device.t_read_s) / (2 * device.t_read_s)))
    amplitude = device.read_us * np.log10(np.maximum(relaxed, 1)) * length
    return _mixed(*rectified_normal(relaxed, amplitude), weight)


def generic(device: Device, target: float, time_s: float) -> _Moments:
    span = device.g_max_us - device.g_min_us
    if device.distribution == "lognormal":
        law = stats.lognorm(device.sigma, scale=target)
        return (float(law.mean()), float(law.var())) if target else (0.0, 0.0)
    unit = {"range": span, "level": span / ((device.levels or 2) - 1), "own": target}[device.unit]
    mean, variance = error_moments(device.distribution, device.shape)
    scale = device.sigma * unit
    return target + scale * mean, scale**2 * variance + (device.read_sigma * device.g_max_us) ** 2


def error_moments(distribution: str, shape: tuple[float, ...]) -> _Moments:
    """Mean and variance of the distributions that SWIM and its successors use."""
    phi, below = stats.norm.pdf, stats.norm.cdf
    if distribution == "normal":
        return 0.0, 1.0
    if distribution == "uniform":
        return 0.0, 1 / 3
    if distribution == "power":
        return 0.0, float(stats.powerlaw(shape[0]).moment(2))
    if distribution == "pepper":
        return 0.0, shape[0]
    if distribution in ("su", "spu"):
        ends, zero = (*shape, 0.0)[:2]
        return 0.0, ends + (1 - ends - zero) / 3
    if distribution == "folded":
        return float(stats.halfnorm.mean()), float(stats.halfnorm.var())
    if distribution in STATS:
        law = getattr(stats, distribution)(*shape)
        return float(law.mean()), float(law.var())
    (c,) = shape
    if distribution == "truncated":
        return 0.0, float(stats.truncnorm(-c, c).var())
    # min(xi, c) is c - max(c - xi, 0), of a normal of mean c.
    rectified_mean, variance = _rectified(c, 1.0)
    mean = c - rectified_mean
    assert abs(mean - (c * (1 - below(c)) - phi(c))) < 1e-12
    if distribution == "two_sided_censored":
        xi, weight = _normal_grid(160001)
        return 0.0, float((weight * np.clip(xi, -c, c) ** 2).sum())
    signs = {"right_censored": 1.0, "left_censored": -1.0, "unbiased_right_censored": 0.0}
    return signs[distribution] * mean, variance


STATS = ("laplace", "gamma", "skewnorm")


def four_level(device: Device, target: float, time_s: float) -> _Moments:
    span = device.g_max_us - device.g_min_us
    edge = device.sigma / np.sqrt(0.4 * device.factor**2 + 0.6)
    middle = 0.25 < (target - device.g_min_us) / span < 0.75
    return target, (span * (device.factor if middle else 1) * edge) ** 2


def fefet(device: Device, target: float, time_s: float) -> _Moments:
    sigma = (device.g_max_us - device.g_min_us) * device.sigma_v / device.window_v
    decades = np.log10((_arrhenius(device, time_s) + device.t0_s) / device.t0_s)
    kept, middle = 1 - device.loss_per_decade * decades, (device.g_max_us + device.g_min_us) / 2
    return _rectified(middle + kept * (target - middle), kept * sigma)


def stt_mram(device: Device, target: float, time_s: float) -> _Moments:
    states = {True: (device.g_max_us, device.sigma_p), False: (device.g_min_us, device.sigma_ap)}
    wanted = target > (device.g_max_us + device.g_min_us) / 2
    laws = [stats.lognorm(states[state][1], scale=states[state][0]) for state in (wanted, not wanted)]
    weight = np.array([1 - device.write_error, device.write_error])
    return _mixed(np.array([law.mean() for law in laws]), np.array([law.var() for law in laws]), weight)


def sonos(device: Device, target: float, time_s: float) -> _Moments:
    current, age = 1e3 * target * device.read_v, _arrhenius(device, time_s)
    a, b = (np.interp(age, device.times_s, values) for values in (device.sigma_na, device.scale_na))
    xi, weight = _normal_grid(4001)
    first = device.sigma_na[0] * (1 - np.exp(-current / device.scale_na[0]))
    gained = a * (1 - np.exp(-current / b)) - first
    sigma = device.programming_scale * first + device.retention_scale * gained
    held = np.maximum(current + sigma * xi, 0)
    read = device.read_scale * device.read_sigma_na * (1 - np.exp(-held / device.read_scale_na))
    mean, variance = _mixed(held, read**2, weight)
    per_us = 1e3 * device.read_v
    return mean / per_us, variance / per_us**2


def measured(device: Device, target: float, time_s: float) -> _Moments:
    def curve(values: tuple[float, ...]) -> float:
        inside = np.clip(target, device.state_us[0], device.state_us[-1])
        return float(interpolate.CubicSpline(device.state_us, values, bc_type="natural")(inside))

    families = {
        "normal": stats.norm(),
        "logistic": stats.logistic(),
        "student_t": stats.t(device.shape or 3),
        "skew_normal": stats.skewnorm(device.shape),
        "lognormal": stats.lognorm(abs(device.shape) or 1),
    }
    family = families[device.distribution]
    xi, weight = _normal_grid(4001)
    quantile = np.where(xi < 0, family.ppf(stats.norm.cdf(xi)), family.isf(stats.norm.sf(xi)))
    residual = (quantile - family.mean()) / family.std()
    offset = curve(tuple(np.subtract(device.mean_us, device.state_us)))
    programmed = np.maximum(target + offset + curve(device.sigma_us) * residual, 0)
    size = np.sqrt((weight * programmed**2).sum())
    relative = curve(device.fluctuation_us) / size if size > 0 else 0.0
    length = np.log((time_s + device.t0_s) / device.t0_s)
    xi_nu, weight_nu = _normal_grid(401)
    factor = np.exp(-(curve(device.drift) + curve(device.drift_spread) * xi_nu) * length)
    drifted = programmed[:, None] * factor
    found = rectified_normal(drifted, np.maximum(relative * drifted, 1e-12))
    return _mixed(*found, weight[:, None] * weight_nu)


def moments(device: Device, target: float, time_s: float) -> _Moments:
    """Mean (uS) and variance (uS**2) of the conductance of devices with one target."""
    return globals()[device.law](device, target, time_s)
