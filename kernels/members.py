"""An ensemble of virtual chips: what each of them deviates by from the mean of all chips.

Deviations are ``[member][block][row][column][channel][VECTOR]``; means are images as in
:mod:`reliability.kernels.convolve`. Values that do not vary have an empty array of deviations.
"""

from __future__ import annotations

import numpy as np

from .cache import compiled
from .cells import take
from .convolve import convolve
from .denormals import denormals_to_zero, restore_denormals
from .float32 import normal_cdf32, normal_density32
from .intrinsics import float_of_int, nearest_int, prefer_wide_vectors, sqrt32
from .latent import BLOCK, fill_normals
from .simd import VECTOR

CHUNK = 256
"""Neighbouring floats that all members are taken through at once, so that they stay in the first cache."""

_F = np.float32
_TINY = _F(1e-30)


@compiled()
def _draw(w, spread, reference_of, rows, normals, member, part, key0, key1, out):
    """A member's weights: normal, each less what its column's reference deviates by."""
    prefer_wide_vectors()
    size = spread.size
    for block in range((size + BLOCK - 1) // BLOCK):
        fill_normals(
            normals, 0, block, np.uint32(member), np.uint32(part), np.uint32(0), np.uint32(key0),
            np.uint32(key1),
        )  # fmt: skip
        first = block * BLOCK
        for i in range(min(BLOCK, size - first)):
            out[first + i] = w[first + i] + spread[first + i] * normals[i]
    columns = reference_of.size
    if size > columns * rows:
        for column in range(columns):
            own, shared = column * rows, (columns + reference_of[column]) * rows
            for r in range(rows):
                out[own + r] -= out[shared + r]


@compiled(nogil=True)
def draw_member(w, spread, reference_of, rows, normals, member, part, key0, key1, out):
    """The weights of one member, as in :func:`convolve_members`; of references, too, behind them."""
    before = denormals_to_zero()
    _draw(w, spread, reference_of, rows, normals, member, part, key0, key1, out)
    restore_denormals(before)


@compiled()
def _place(images, mean, deviations, at, whole, room):
    """One member's images in a room with borders: deviations, with the ``whole`` mean added to them."""
    prefer_wide_vectors()
    line = images.width * images.pixel
    varies = deviations.size > 0
    for block in range(images.blocks):
        for row in range(images.height):
            source = (block * images.height + row) * line
            to = (
                (block * images.room_height + images.top + row) * images.room_width + images.left
            ) * images.pixel
            if whole and varies:
                for i in range(line):
                    room[to + i] = mean[source + i] + deviations[at + source + i]
            elif whole:
                for i in range(line):
                    room[to + i] = mean[source + i]
            else:
                for i in range(line):
                    room[to + i] = deviations[at + source + i]


@compiled()
def _deviate(y, y_at, first, pixels, columns, mean, shifts, shift_at, scales, powers, sums):
    """Sums of one block to deviations from their mean, scaled; adds up their squares before that."""
    prefer_wide_vectors()
    for i in range(VECTOR):
        powers[i] = _F(0)
    for pixel in range(first, first + pixels):
        for column in range(columns):
            at = (pixel * columns + column) * VECTOR
            shift, scale = shifts[shift_at + column], scales[column]
            for i in range(VECTOR):
                deviation = y[y_at + at + i] - mean[at + i] + shift
                powers[i] += deviation * deviation
                y[y_at + at + i] = deviation * scale
    for i in range(VECTOR):
        sums[i] += np.float64(powers[i])


@compiled(nogil=True)
def convolve_members(
    geometry, layers, tiles, offsets, runs, w, spread, reference_of, part, key0, key1, mean, deviations,
    whole, y_mean, shifts, scales, room, weights, normals, powers, sums, y,
):  # fmt: skip
    """Every member's column sums with weights of its own, as deviations from those of the mean weights.

    Parameters
    ----------
    geometry, layers, tiles, offsets, runs
        As for :func:`convolve`.
    w : ndarray of float32, flat
        Mean weights, columns x rows; zeros for the references behind them.
    spread : ndarray of float32, flat
        Standard deviations of weights and references; empty where weights do not vary.
    reference_of : ndarray of int64, shape (columns,)
    part : int
        Which draw of the members.
    key0, key1 : int
    mean, deviations : ndarray of float32, flat
        Inputs, without borders.
    whole : bool
        Whether weights act on mean and deviations, or on the deviations alone.
    y_mean : ndarray of float32, flat
        Sums of the mean inputs with the mean weights; zeros where weights act on deviations alone.
    shifts : ndarray of float32, flat, members x columns
        What the members' biases deviate by.
    scales : ndarray of float32, shape (columns,)
        Factors of a batch norm.
    room, weights, normals, powers : ndarray of float32
        Images with their borders, zeros there; weights of one member and its references; BLOCK normals;
        VECTOR numbers.
    sums : ndarray of float64, shape (blocks, VECTOR)
        Added to: squares of unscaled deviations, all members.
    y : ndarray of float32, flat
        Written, members x blocks x rows x places x columns x VECTOR.
    """
    images, layer = geometry[0], layers[0]
    size, own = y_mean.size, mean.size
    pixels = images.rows * images.places
    members = y.size // size
    before = denormals_to_zero()
    for member in range(members):
        _place(images, mean, deviations, member * own, whole, room)
        y_at = member * size
        if spread.size:
            _draw(w, spread, reference_of, layer.rows, normals, member, part, key0, key1, weights)
        else:
            take(weights, w)
        convolve(geometry, layers, tiles, offsets, runs, weights, room, y[y_at : y_at + size])
        for block in range(images.blocks):
            _deviate(
                y, y_at, block * pixels, pixels, layer.lines, y_mean, shifts, member * layer.lines, scales,
                powers, sums[block],
            )  # fmt: skip
    restore_denormals(before)


@compiled()
def _clamp(mean, at, count, c, low, high, y_mean, gain):
    """Mean of a clamped normal, and its mean slope."""
    prefer_wide_vectors()
    for i in range(count):
        m, s = mean[at + i], sqrt32(max(c[i], _TINY))
        expected, inside = m, _F(1)
        if low > -np.inf:
            a = (m - low) / s
            inside = normal_cdf32(a)
            expected = low + (m - low) * inside + s * normal_density32(a)
        if high < np.inf:
            a = (m - high) / s
            beyond = normal_cdf32(a)
            expected -= (m - high) * beyond + s * normal_density32(a)
            inside -= beyond
        y_mean[at + i] = expected
        gain[at + i] = inside


@compiled(nogil=True)
def clamp_members(mean, deviations, others, low, high, step, c, y_mean, gain, y):
    """``min(max(z, low), high)`` of every member, and of the normal with the members' variance.

    Parameters
    ----------
    mean, deviations : ndarray of float32, flat
    others : ndarray of float32, flat
        Added to ``deviations`` where not empty.
    low, high : float32
    step : float32
        Of the levels that members are rounded to; 0 where they are not.
    c : ndarray of float32, shape (CHUNK,)
    y_mean, gain, y : ndarray of float32, flat
        Written: mean, mean slope and deviations, which may stand where ``deviations`` do.
    """
    prefer_wide_vectors()
    size = mean.size
    members = deviations.size // size
    share = _F(1) / _F(members)
    inverse = _F(1) / step if step > _F(0) else _F(0)
    before = denormals_to_zero()
    for first in range(0, size, CHUNK):
        count = min(CHUNK, size - first)
        for i in range(count):
            c[i] = _F(0)
        for member in range(members):
            at = member * size + first
            if others.size:
                for i in range(count):
                    d = deviations[at + i] + others[at + i]
                    c[i] += d * d
            else:
                for i in range(count):
                    c[i] += deviations[at + i] * deviations[at + i]
        for i in range(count):
            c[i] *= share
        _clamp(mean, first, count, c, low, high, y_mean, gain)
        for member in range(members):
            at = member * size + first
            if others.size:
                for i in range(count):
                    z = mean[first + i] + (deviations[at + i] + others[at + i])
                    y[at + i] = min(max(z, low), high) - y_mean[first + i]
            elif step > _F(0):
                for i in range(count):
                    z = min(max(mean[first + i] + deviations[at + i], low), high)
                    y[at + i] = step * float_of_int(nearest_int(z * inverse)) - y_mean[first + i]
            else:
                for i in range(count):
                    z = mean[first + i] + deviations[at + i]
                    y[at + i] = min(max(z, low), high) - y_mean[first + i]
    restore_denormals(before)


@compiled(nogil=True)
def bend_members(mean, deviations, low, high, bend, third, gain, mean_bar, bars, work, cost, by_mean, y):
    """Derivatives backward through ``min(max(z, low), high)`` of every member, and of the mean of a normal.

    Parameters
    ----------
    mean, deviations : ndarray of float32, flat
        Of what goes in.
    low, high : float32
    bend, third, gain : ndarray of float32, flat
        Means of the normal's second, third and first derivative.
    mean_bar, bars : ndarray of float32, flat
        Derivatives by the mean that comes out, and by every member's value.
    work : ndarray of float32, three CHUNKs
    cost, by_mean, y : ndarray of float32, flat
        Written: what an independent deviation costs, over its variance; derivatives by the mean that goes in,
        and by every member's value.
    """
    prefer_wide_vectors()
    size = mean.size
    members = bars.size // size
    share = _F(1) / _F(members)
    handed, together, off = work[:CHUNK], work[CHUNK : 2 * CHUNK], work[2 * CHUNK : 3 * CHUNK]
    before = denormals_to_zero()
    for first in range(0, size, CHUNK):
        count = min(CHUNK, size - first)
        for i in range(count):
            handed[i], together[i], off[i] = _F(0), _F(0), _F(0)
        for member in range(members):
            at = member * size + first
            for i in range(count):
                handed[i] += bars[at + i]
                together[i] += bars[at + i] * deviations[at + i]
                off[i] += deviations[at + i]
        for i in range(count):
            j = first + i
            by_variance = _F(0.5) * bend[j] * mean_bar[j]
            # A kink costs members, too, by how its slope goes together with what they deviate by.
            cost[j] = by_variance + _F(0.5) * (bend[j] * handed[i] + third[j] * together[i])
            handed[i] = _F(2) * share * by_variance
            by_mean[j] = mean_bar[j] * gain[j] - handed[i] * off[i]
        for member in range(members):
            at = member * size + first
            for i in range(count):
                d = deviations[at + i]
                z = mean[first + i] + d
                inside = bars[at + i] if low < z < high else _F(0)
                y[at + i] = inside + handed[i] * d
    restore_denormals(before)


@compiled()
def _larger(
    mean, deviations, size, at, y_mean, y, y_at, y_size, shares, place, work, members, count
):  # fmt: skip
    """Take one more value into a maximum (C. E. Clark, Oper. Res. 9:145, 1961)."""
    prefer_wide_vectors()
    spread, before = work[:CHUNK], work[CHUNK : 2 * CHUNK]
    for i in range(count):
        spread[i] = _F(0)
    for member in range(members):
        for i in range(count):
            d = y[member * y_size + y_at + i] - deviations[member * size + at + i]
            spread[i] += d * d
    for i in range(count):
        s = sqrt32(max(spread[i] / _F(members), _TINY))
        before[i] = y_mean[y_at + i]
        # Relative to the new one, so that large values do not cost digits.
        ahead = before[i] - mean[at + i]
        first = normal_cdf32(ahead / s)
        y_mean[y_at + i] = mean[at + i] + (ahead * first + s * normal_density32(ahead / s))
        shares[place * y_size + y_at + i] = _F(1) - first
        spread[i] = first
    for earlier in range(place):
        for i in range(count):
            shares[earlier * y_size + y_at + i] *= spread[i]
    for member in range(members):
        for i in range(count):
            x = before[i] + y[member * y_size + y_at + i]
            z = mean[at + i] + deviations[member * size + at + i]
            y[member * y_size + y_at + i] = max(x, z) - y_mean[y_at + i]


@compiled(nogil=True)
def largest_members(
    mean, deviations, blocks, height, width, pixel, kernel, stride, padding, rows, places, work, y_mean,
    shares, y,
):  # fmt: skip
    """Maximum of each window of every member, and of normals with the members' covariance.

    Parameters
    ----------
    mean, deviations : ndarray of float32, flat
    blocks, height, width, pixel : int
        Of the images; floats of a pixel.
    kernel, stride, padding : (int, int)
        Down and across.
    rows, places : int
        Of the output.
    work : ndarray of float32, two CHUNKs
    y_mean, shares, y : ndarray of float32, flat
        Written: mean, probability of each place of the window to be the largest (zeros before), deviations.
    """
    y_size, size = y_mean.size, mean.size
    members = y.size // y_size
    before = denormals_to_zero()
    for block in range(blocks):
        for row in range(rows):
            for column in range(places):
                y_pixel = ((block * rows + row) * places + column) * pixel
                begun = False
                for ky in range(kernel[0]):
                    for kx in range(kernel[1]):
                        v = row * stride[0] + ky - padding[0]
                        u = column * stride[1] + kx - padding[1]
                        if v < 0 or v >= height or u < 0 or u >= width:
                            continue
                        x_pixel = ((block * height + v) * width + u) * pixel
                        place = ky * kernel[1] + kx
                        for first in range(0, pixel, CHUNK):
                            count = min(CHUNK, pixel - first)
                            at, y_at = x_pixel + first, y_pixel + first
                            if begun:
                                _larger(
                                    mean, deviations, size, at, y_mean, y, y_at, y_size, shares, place,
                                    work, members, count,
                                )  # fmt: skip
                                continue
                            for i in range(count):
                                y_mean[y_at + i] = mean[at + i]
                                shares[place * y_size + y_at + i] = _F(1)
                            for member in range(members):
                                for i in range(count):
                                    y[member * y_size + y_at + i] = deviations[member * size + at + i]
                        begun = True
    restore_denormals(before)
