"""Slow, obvious twins of the kernels: plain Python integers and NumPy float64.

Nothing here uses Numba or the lowering to plain arrays. Each twin is itself tested against an outside
authority: published vectors, exact arithmetic, or a closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy import special

from reliability.chip import Chip, LayerChip
from reliability.devices import Device
from reliability.latents import Role, key
from reliability.network import Flatten, Linear, Network, ReLU

BLOCK = 512
LANES = 128
GDC_FLOOR = 1e-4
Latents = dict[tuple[str, str], np.ndarray]


def philox(counter: tuple[int, ...], words: tuple[int, int]) -> tuple[int, ...]:
    """One Philox4x32-10 block, from the definition in Salmon et al., SC'11."""
    c0, c1, c2, c3 = counter
    k0, k1 = words
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 % 2**32, (p0 >> 32) ^ c3 ^ k1, p0 % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def uniform(word: int) -> float:
    """A word as a float32 in (0, 1]: (word + 1/2) / 2**32, the word and the result rounded to float32."""
    return float(np.float32((float(np.float32(word)) + 0.5) / 2**32))


def normal_pair(a: int, b: int) -> tuple[float, float]:
    """Box and Muller's two normals from two words."""
    r, angle = np.sqrt(-2 * np.log(uniform(a))), 2 * np.pi * b / 2**32
    return r * np.sin(angle), r * np.cos(angle)


def normals_of(block: tuple[int, ...]) -> tuple[float, ...]:
    """The four normals of one Philox block."""
    return *normal_pair(*block[:2]), *normal_pair(*block[2:])


def device_block(device: int, chip: int, copy: int, words: tuple[int, int]) -> tuple[tuple[int, ...], int]:
    """The Philox block that device ``device`` of a layer's unrolled matrix draws from, and its word."""
    counter = (device // BLOCK) * LANES + device % LANES
    return philox((counter, chip, copy, 0), words), device % BLOCK // LANES


def device_normal(device: int, chip: int, copy: int, words: tuple[int, int]) -> float:
    block, place = device_block(device, chip, copy, words)
    return normals_of(block)[place]


def device_uniform(device: int, chip: int, copy: int, words: tuple[int, int]) -> float:
    block, place = device_block(device, chip, copy, words)
    return uniform(block[place])


def reading(number: int, column: int, chip: int, words: tuple[int, int]) -> float:
    """The normal that one column's output takes at input ``number``."""
    return normals_of(philox((number, chip, column // 4, 0), words))[column % 4]


def fma(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """``x * y + z`` in float32 with one rounding.

    The product of two float32 is exact in float64. Rounding the sum to odd keeps the second
    rounding, to float32, from seeing a tie that is not one (Boldo and Melquiond 2008).
    """
    product = x.astype(np.float64) * y
    big = product + z
    rest = (product - (big - (big - product))) + (z - (big - product))
    bits = big.view(np.int64)
    inexact = (rest != 0) & (bits & 1 == 0)
    towards = np.where((rest > 0) == (big > 0), 1, -1)
    return (bits + np.where(inexact, towards, 0)).view(np.float64).astype(np.float32)


def exact_fma(x: float, y: float, z: float) -> np.float32:
    """The same from exact fractions; the authority for :func:`fma`."""
    exact = Fraction(x) * Fraction(y) + Fraction(z)
    nearest = np.float32(float(exact))
    beside = [np.nextafter(nearest, np.float32(s * np.inf)) for s in (-1, 1)]
    even = {c: int(c.view(np.int32)) & 1 for c in (nearest, *beside)}
    return min((nearest, *beside), key=lambda c: (abs(Fraction(float(c)) - exact), even[c]))


def product(w: np.ndarray, x: np.ndarray, tile_rows: int) -> np.ndarray:
    """``w @ x`` in float32: one fused multiply-add a row, in order; tiles added up afterwards."""
    total = None
    for first in range(0, w.shape[1], tile_rows):
        tile = np.zeros((len(w), x.shape[1]), np.float32)
        for k in range(first, min(first + tile_rows, w.shape[1])):
            tile = fma(w[:, k, None], x[k], tile)
        total = tile if total is None else total + tile
    return total


def pcm_program(device: Device, target: np.ndarray, programming: np.ndarray, drift: np.ndarray) -> tuple:
    """Programmed conductance (uS), drift exponent and 1/f amplitude."""
    g = target / device.g_max_us
    sigma = device.g_max_us / 25 * (0.26348 + 1.9650 * g - 1.1731 * g**2)
    programmed = np.maximum(target + device.programming_scale * sigma * programming, 0)
    log_g = np.log(np.maximum(g, 1e-7))
    mean = np.clip(-0.0155 * log_g + 0.0244, 0.049, 0.1)
    spread = np.clip(-0.0125 * log_g - 0.0059, 0.008, 0.045)
    exponent = np.abs(mean + spread * drift) * device.drift_scale
    amplitude = np.minimum(0.0088 / np.maximum((programmed / device.g_max_us) ** 0.65, 1e-3), 0.2)
    return programmed, exponent, amplitude


def pcm_conductance(
    device: Device, state: tuple, read_1f: np.ndarray, time_s: float, observation_s: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Conductance (uS) at a time, and the variance (uS**2) of what each read redraws."""
    programmed, exponent, amplitude = state
    t = time_s + device.t0_s
    drifted = programmed * (t / device.t0_s) ** -exponent
    sigma = device.read_scale * amplitude * drifted
    if observation_s is None:
        noise = sigma * np.sqrt(np.log((t + device.t_read_s) / (2 * device.t_read_s))) * read_1f
        return np.maximum(drifted + noise, 0), np.zeros_like(drifted)
    mean = drifted + sigma * np.sqrt(np.log((t + device.t_read_s) / observation_s)) * read_1f
    return rectified_normal(mean, sigma * np.sqrt(np.log(observation_s / (2 * device.t_read_s))))


def rectified_normal(mean: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of ``max(X, 0)`` for normal X."""
    a = mean / np.maximum(sigma, 1e-300)
    density, below, above = np.exp(-(a**2) / 2) / np.sqrt(2 * np.pi), special.ndtr(a), special.ndtr(-a)
    first = sigma * (a * below + density)
    # Var max(X, 0) = Var X - Var min(X, 0) - 2 Cov: written out, the terms that cancel are gone.
    variance = sigma**2 * (below - density**2 + a * density * (1 - 2 * below) + a**2 * below * above)
    return np.where(sigma > 0, first, np.maximum(mean, 0)), np.maximum(variance, 0)


def program(device: Device, target: np.ndarray, latents: dict[str, np.ndarray]) -> tuple:
    """What programming leaves in devices, for each law of the library."""
    if device.law == "pcm":
        return pcm_program(device, target, latents["programming"], latents["drift"])
    if device.law == "gaussian":
        g = target + device.sigma * device.g_max_us * latents["programming"]
        return (np.maximum(g, 0) if device.clamp else g,)
    return (target,)


def conductance(
    device: Device, state: tuple, latents: dict[str, np.ndarray], time_s: float, observation_s: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Conductance (uS) and the variance (uS**2) of what each read redraws, for each law of the library."""
    if device.law == "pcm":
        return pcm_conductance(device, state, latents["read_1f"], time_s, observation_s)
    read_sigma = device.read_sigma * device.g_max_us if device.law == "gaussian" else 0.0
    return state[0], np.full(state[0].shape, read_sigma**2)


@dataclass(frozen=True)
class Reads:
    """What single reads of one chip redraw, from the counter."""

    seed: int
    chip: int
    role: Role = "certify"

    def readings(self, layer: str, time_s: float, inputs: int, columns: int) -> np.ndarray:
        """Normals of a layer's column outputs, shape (inputs, columns)."""
        words = key(self.seed, "readings", layer, self.role, time_s)
        return np.array([[reading(n, c, self.chip, words) for c in range(columns)] for n in range(inputs)])

    def readout(self, layer: str, time_s: float, columns: int, rows: int) -> np.ndarray:
        """Normals of the compensation's read-out, one a weight, shape (columns, rows)."""
        words = key(self.seed, "readout", layer, self.role, time_s)
        flat = [device_normal(d, self.chip, 0, words) for d in range(columns * rows)]
        return np.reshape(flat, (columns, rows))


@dataclass(frozen=True)
class Array:
    """The devices of one layer on one chip, programmed."""

    name: str
    settings: LayerChip
    matrix: np.ndarray  # columns x rows, the bias as last row where devices hold it
    states: tuple[tuple, tuple]  # of the positive and the negative device of each pair
    observation_s: float | None

    @property
    def weight_max(self) -> float:
        wanted = self.settings.mapping.weight_max
        return np.abs(self.matrix).max() if wanted == "layer" else wanted

    def weights(self, latents: Latents, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Weights at a time, and the variance of what each read redraws of them."""
        device = self.settings.device
        scale = self.weight_max / device.g_max_us
        (plus, v_plus), (minus, v_minus) = (
            conductance(
                device, self.states[copy], own_latents(latents, self.name, copy), time_s, self.observation_s
            )
            for copy in range(2)
        )
        return (plus - minus) * scale, (v_plus + v_minus) * scale**2

    def read_out(self, latents: Latents, time_s: float, reads: Reads | None) -> float:
        """Magnitudes of all outputs, each row driven alone with a unit input, added up over all rows."""
        weights, variance = self.weights(latents, time_s)
        if variance.any():
            weights = weights + np.sqrt(variance) * reads.readout(self.name, time_s, *weights.shape)
        total = 0.0
        for row in range(weights.shape[1]):
            one_hot = np.zeros(weights.shape[1])
            one_hot[row] = 1
            total += np.abs(weights @ one_hot).sum()
        return total


def own_latents(latents: Latents, layer: str, copy: int) -> dict[str, np.ndarray]:
    """One layer's latents of one copy, in float64."""
    return {name: np.float64(z[copy]) for (owner, name), z in latents.items() if owner == layer}


def at(latents: Latents, chip: int, time: int) -> Latents:
    """One chip's latents at one of the times, of those that ``draw_latents`` gives for all."""
    return {name: z[chip] if z.ndim == 4 else z[chip, time] for name, z in latents.items()}


def write(network: Network, chip: Chip, latents: Latents) -> dict[str, Array]:
    """Program one chip."""
    nodes = [node for node in network.nodes if isinstance(node.layer, Linear)]
    arrays = {}
    for position, node in enumerate(nodes):
        own = chip.layer(node.name, position, len(nodes))
        if not own.analog:
            continue
        matrix = np.float64(node.layer.weight)
        if own.mapping.bias == "devices" and node.layer.bias is not None:
            matrix = np.column_stack([matrix, node.layer.bias])
        array = Array(node.name, own, matrix, ((), ()), chip.frozen_below_s)
        target = np.clip(matrix / array.weight_max, -1, 1) * own.device.g_max_us
        states = tuple(
            program(own.device, np.maximum(sign * target, 0), own_latents(latents, node.name, copy))
            for copy, sign in enumerate((1, -1))
        )
        arrays[node.name] = Array(node.name, own, matrix, states, chip.frozen_below_s)
    return arrays


def logits(
    network: Network,
    x: np.ndarray,
    arrays: dict[str, Array],
    latents: Latents,
    time_s: float,
    *,
    reference: Latents | None = None,
    reads: Reads | None = None,
) -> np.ndarray:
    """Logits of one programmed chip at one time, shape (N, classes).

    Parameters
    ----------
    x : ndarray, shape (N, *input_shape)
        Prepared inputs.
    latents : dict
        Of this chip at this time (see :func:`at`).
    reference : dict, optional
        Latents of this chip at the reference read; with them, drift is compensated globally.
    reads : Reads, optional
        Needed where reads redraw noise.
    """
    values = np.float64(x)
    for node in network.nodes:
        if isinstance(node.layer, Flatten):
            values = values.reshape(len(values), -1)
        elif isinstance(node.layer, ReLU):
            values = np.maximum(values, 0)
        elif isinstance(node.layer, Linear):
            bias = np.zeros(len(node.layer.weight)) if node.layer.bias is None else node.layer.bias
            if node.name not in arrays:
                values = values @ np.float64(node.layer.weight).T + bias
                continue
            array = arrays[node.name]
            weights, variance = array.weights(latents, time_s)
            if array.matrix.shape[1] > node.layer.weight.shape[1]:
                values, bias = np.column_stack([values, np.ones(len(values))]), 0
            outputs = values @ weights.T
            if variance.any():
                z = reads.readings(node.name, time_s, *outputs.shape)
                outputs = outputs + np.sqrt(values**2 @ variance.T) * z
            if reference is not None:
                outputs = outputs * compensation(array, latents, reference, time_s, reads)
            values = outputs + bias
    return values


def compensation(
    array: Array, latents: Latents, reference: Latents, time_s: float, reads: Reads | None
) -> float:
    """Global drift compensation's factor: the reference read-out over the present one."""
    first = array.read_out(reference, 0.0, reads)
    return first / max(array.read_out(latents, time_s, reads), GDC_FLOOR * first)


class Recorder:
    """A metric that keeps the logits it is shown: the digital network's first, then a set a trial."""

    def __init__(self) -> None:
        self.shown: list[np.ndarray] = []

    def __call__(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        self.shown.append(logits.copy())
        return logits.argmax(axis=1) == labels

    def trials(self, *shape: int) -> np.ndarray:
        """Logits of all trials, shape (*shape, N, classes): chips, then times, then compensations."""
        shown = np.stack(self.shown[1:])
        return shown.reshape(*shape, *shown.shape[1:])
