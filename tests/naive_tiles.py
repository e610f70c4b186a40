"""Slow, obvious twin of a tile's arithmetic: converters, pulses, slices and offset columns, in float32.

Every operation is rounded where the chip's digital side and the kernels round, one fused multiply-add a row
in order, so that the kernels must agree to the last bit: a converter's code at a boundary shows any
difference. Devices are Gaussian or ideal, whose conductances are exact in float32 too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from naive import fma, product

from reliability.calibration import Ranges
from reliability.chip import Chip
from reliability.crossbar import Crossbar, chip_network, crossbars_of
from reliability.kernels.latent import fill_readings
from reliability.kernels.simd import VECTOR
from reliability.latents import key
from reliability.layers import Conv2d, Flatten, Linear, ReLU
from reliability.network import Network

F = np.float32


@dataclass
class TileTwin:
    """One chip of Gaussian devices, layer by layer.

    Parameters
    ----------
    network : Network
        Linear, convolution, flatten and ReLU layers in a row.
    chip : Chip
    ranges : dict
        Of every layer with converters.
    latents : dict
        Programming latents of this chip: (layer, "programming") to (copies, lines, rows).
    number, seed : int
        Of the chip, for what reads redraw.
    """

    network: Network
    chip: Chip
    ranges: dict[str, Ranges]
    latents: dict[tuple[str, str], np.ndarray]
    number: int = 0
    seed: int = 0
    clipped: dict[str, list[int]] = field(default_factory=dict)

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Logits of prepared inputs, shape (N, classes); fills ``clipped`` with (inputs, sums) a layer."""
        crossbars = crossbars_of(chip_network(self.network, self.chip), self.chip)
        values = x
        for node in self.network.nodes:
            if isinstance(node.layer, Flatten):
                values = values.reshape(len(values), -1)
            elif isinstance(node.layer, ReLU):
                values = np.maximum(values, F(0))
            else:
                assert isinstance(node.layer, Linear | Conv2d)
                values = self._layer(crossbars[node.name], node.layer, values)
        return values

    def _layer(self, crossbar: Crossbar, layer: Linear | Conv2d, values: np.ndarray) -> np.ndarray:
        own = self.ranges.get(crossbar.name, Ranges(True))
        self.clipped[crossbar.name] = [0, 0]
        pulses, base = self._pulses(crossbar, own, values)
        patches = [_patches(crossbar, layer, pulse) for pulse in pulses]
        n, places, groups, rows = patches[0].shape
        lines_per_group = crossbar.lines // groups
        weights = self.weights(crossbar)
        variance = self._variance(crossbar, weights)
        columns = len(crossbar.matrix) // groups
        out = np.zeros((n, places, groups * columns), F)
        significance = crossbar.read_significance.astype(F)
        for place in range(places):
            # Slices that vote are added up by themselves.
            totals = np.zeros((len(weights) if crossbar.votes else 1, n, crossbar.lines), F)
            begun = [False] * len(totals)
            for first in range(0, rows, crossbar.tile_rows):
                here = slice(first, min(first + crossbar.tile_rows, rows))
                for s in range(len(weights)):
                    shift = F(1)
                    for p, pulse in enumerate(patches):
                        level = F(1) / shift if p + 1 == len(patches) else F(0)
                        has_bias = crossbar.bias_row and here.stop == rows and level > 0
                        parts = np.zeros((n, crossbar.lines), F)
                        for g in range(groups):
                            mine = slice(g * lines_per_group, (g + 1) * lines_per_group)
                            w, x = weights[s][mine], pulse[:, place, g]
                            part = product(w[:, here], x[:, here].T, rows).T
                            part = part + w[:, -1] * level if has_bias else part
                            if variance is not None:
                                v = product(variance[s][mine][:, here], (x[:, here] * x[:, here]).T, rows).T
                                if has_bias:
                                    v = v + variance[s][mine][:, -1] * (level * level)
                                z = self._readings(crossbar, (first, s, p), n, place)[:, mine]
                                part = part + np.sqrt(v) * z
                            parts[:, mine] = part
                        factor, t = (shift, s) if crossbar.votes else (significance[s] * shift, 0)
                        totals[t] = self._convert(crossbar, own, s, parts, totals[t], factor, begun[t])
                        begun[t] = True
                        shift = F(shift * base)
            total = np.median(totals, axis=0).astype(F)
            single = ~crossbar.mapped.held.all(axis=0)
            total[:, single] = totals[0][:, single]
            out[:, place] = self._subtract(crossbar, total, groups, columns)
        bias = np.zeros(out.shape[2], F) if layer.bias is None or crossbar.bias_row else layer.bias
        factors = np.broadcast_to(crossbar.mapped.factors.astype(F), out.shape)
        out = fma(factors, out, np.broadcast_to(bias, out.shape))
        if isinstance(layer, Linear):
            return out[:, 0]
        height, width = self.network.shapes[crossbar.name][1:]
        return np.ascontiguousarray(out.transpose(0, 2, 1).reshape(n, -1, height, width))

    def weights(self, crossbar: Crossbar) -> list[np.ndarray]:
        """Programmed weights of each slice's lines; of copies in one array, whose currents add up, of all."""
        device, mapping = crossbar.settings.device, crossbar.settings.mapping
        mapped = crossbar.mapped
        scale = F(mapped.weight_scale / (device.g_max_us * crossbar.sets))
        sigma = F(getattr(device, "sigma", 0.0) * device.g_max_us)
        largest, pair = F(device.g_max_us), mapping.scheme == "pair"
        z = self.latents.get((crossbar.name, "programming"))
        significance = mapped.significance.astype(F)
        left = (mapped.wanted * device.g_max_us).astype(F)
        made: list[np.ndarray] = []
        currents = None
        for s in range(len(significance)):
            target = (mapped.shares[s] * device.g_max_us).astype(F)
            if mapping.slices.fill == "corrected" and s > 0:
                wanted = np.clip(left / significance[s], -largest, largest)
                target = wanted if pair else F(0.5) * (wanted + largest)
            targets = [np.maximum(target, F(0)), np.maximum(-target, F(0))] if pair else [target]
            g = []
            for i, t in enumerate(targets):
                draw = np.zeros_like(t) if z is None else z[s * len(targets) + i]
                g.append(fma(np.full_like(t, sigma), draw, t))
                if getattr(device, "clamp", False):
                    g[-1] = np.maximum(g[-1], F(0))
            if crossbar.sets > 1:
                g = g if currents is None else [a + b for a, b in zip(g, currents, strict=True)]
                currents = g
                made = []
            difference = g[0] - g[1] if pair else g[0]
            held = difference if pair else F(2) * g[0] - largest
            left = left - significance[s] * held
            made.append(np.where(mapped.held[s][:, None], difference * scale, F(0)))
        return made

    def _variance(self, crossbar: Crossbar, weights: list[np.ndarray]) -> list[np.ndarray] | None:
        device = crossbar.settings.device
        read = getattr(device, "read_sigma", 0.0)
        if not read:
            return None
        scale = F(crossbar.mapped.weight_scale / (device.g_max_us * crossbar.sets))
        one = F((read * device.g_max_us) ** 2)
        of_device = one
        for _ in range(1, crossbar.sets):
            of_device = of_device + one
        both = of_device + of_device if crossbar.settings.mapping.scheme == "pair" else of_device
        held = crossbar.mapped.held[: len(weights), :, None]
        return [
            np.where(own, np.full_like(w, both * F(scale * scale)), F(0))
            for own, w in zip(held, weights, strict=True)
        ]

    def _pulses(self, crossbar: Crossbar, own: Ranges, x: np.ndarray) -> tuple[list[np.ndarray], np.float32]:
        dac = crossbar.settings.tile.dac
        if dac is None:
            return [x], F(1)
        largest = dac.largest_code(own.signed)
        step = F(own.inputs / largest)
        rounded = np.rint(x * F(F(1) / step))
        codes = np.clip(rounded, -largest if own.signed else 0, largest)
        self.clipped[crossbar.name][0] += int((codes != rounded).sum())
        count, base = dac.pulses(own.signed), dac.base
        if count == 1:
            return [codes * step], F(base)
        magnitude, pulses = np.abs(codes).astype(np.int64), []
        for _ in range(count):
            pulses.append((np.sign(codes) * (magnitude % base)).astype(F) * step)
            magnitude //= base
        return pulses, F(base)

    def _convert(self, crossbar, own, s, part, total, factor, begun):
        adc = crossbar.settings.tile.adc
        if adc is None:
            return fma(part, np.full_like(part, factor), total) if begun else part * factor
        signed = own.signed or crossbar.settings.mapping.scheme == "pair"
        largest = adc.largest_code(signed)
        step = F(own.sums[s] / largest)
        rounded = np.rint(part * F(F(1) / step))
        codes = np.clip(rounded, -largest if signed else 0, largest)
        self.clipped[crossbar.name][1] += int((codes != rounded).sum())
        scaled = np.full_like(part, F(step * factor))
        return fma(codes, scaled, total) if begun else codes * scaled

    def _subtract(self, crossbar: Crossbar, total: np.ndarray, groups: int, columns: int) -> np.ndarray:
        mapped = crossbar.mapped
        if crossbar.settings.mapping.scheme == "pair":
            return total
        lines = total.reshape(len(total), groups, columns + mapped.references)
        reference = np.repeat(lines[..., columns:], mapped.tile_columns, axis=2)[..., :columns]
        return (lines[..., :columns] - reference).reshape(len(total), -1)

    def _readings(
        self, crossbar: Crossbar, read: tuple[int, int, int], inputs: int, place: int
    ) -> np.ndarray:
        tiled = len(crossbar.read_significance) > 1 or crossbar.settings.mapping.scheme == "offset"
        tiled = tiled or crossbar.settings.tile.dac is not None or crossbar.settings.tile.adc is not None
        words = key(self.seed, "readings", crossbar.name, "certify", 0.0, read if tiled else ())
        padded = -(-inputs // VECTOR) * VECTOR
        z = np.zeros((-(-crossbar.lines // 4), 4 * padded), F)
        for group, out in enumerate(z):
            numbers = (np.uint32(place), np.uint32(self.number), np.uint32(words[0]), np.uint32(words[1]))
            fill_readings(out, padded, 0, group, *numbers)
        return z.reshape(-1, padded)[: crossbar.lines, :inputs].T


def _patches(crossbar: Crossbar, layer: Linear | Conv2d, x: np.ndarray) -> np.ndarray:
    """Inputs of every multiplication, shape (N, places, groups, rows), rows in the order (y, x, channel)."""
    images = x.reshape(len(x), *crossbar.source)
    if isinstance(layer, Linear):
        return images.transpose(0, 2, 3, 1).reshape(len(x), 1, 1, -1)
    (kh, kw), (sy, sx), (dy, dx) = layer.weight.shape[2:], layer.stride, layer.dilation
    top, left, bottom, right = layer.padding
    images = np.pad(images, [(0, 0), (0, 0), (top, bottom), (left, right)])
    channels = layer.weight.shape[1]
    height = (images.shape[2] - dy * (kh - 1) - 1) // sy + 1
    width = (images.shape[3] - dx * (kw - 1) - 1) // sx + 1
    out = np.zeros((len(x), height * width, layer.groups, kh * kw * channels), F)
    for row in range(height):
        for column in range(width):
            for g in range(layer.groups):
                taps = [
                    images[:, g * channels : (g + 1) * channels, row * sy + y * dy, column * sx + z * dx]
                    for y in range(kh)
                    for z in range(kw)
                ]
                out[:, row * width + column, g] = np.concatenate(taps, axis=1)
    return out
