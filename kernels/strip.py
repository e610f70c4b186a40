"""One strip of a layer's column sums: what the devices add up, and what a read redraws.

A strip's vectors are neighbouring places of one block of inputs (``input_step`` 0, ``place`` the first) or
neighbouring blocks (``input_step`` VECTOR).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .cache import compiled
from .convert import accumulate, read, subtract_references
from .copies import call_vote
from .intrinsics import prefer_wide_vectors
from .latent import fill_readings
from .product import call_multiply
from .response import respond, respond_in_part
from .simd import VECTOR, VECTORS, End

_CACHED_LINES = 64


@njit(inline="always")
def multiply(
    plan, layer, first_tile, last_tile, lines, w, w_at, x, x_at, x_step, c, c_at, vectors, finishes, end
):  # fmt: skip
    """:func:`product.multiply` by its address."""
    call_multiply(
        plan.multiply, layer, plan.tiles, first_tile, last_tile, plan.offsets, plan.runs, lines,
        w, w_at, x, x_at, x_step, c, c_at, vectors, finishes, end,
    )  # fmt: skip


@njit(inline="always")
def _sum_up(plan, layer, first_tile, last_tile, lines, w, w_at, x, x_at, x_step, c, c_at, vectors):
    """The same without a digital end."""
    at, one = np.int64(0), np.float32(1)
    unused = plan.scales
    end = End(unused, at, at, False, unused, at, at, unused, unused, at, one, one, one)
    multiply(
        plan, layer, first_tile, last_tile, lines, w, w_at, x, x_at, x_step, c, c_at, vectors, False, end
    )


@compiled()
def _add_bias_row(layer, w, w_at, c, lines, vectors, level):
    """What a row of devices with an input of ``level`` adds to every sum."""
    prefer_wide_vectors()
    for j in range(lines):
        bias = w[w_at + j * layer.rows + layer.rows - 1] * level
        for v in range(vectors):
            at = (v * lines + j) * VECTOR
            sums = c[at : at + VECTOR]
            for i in range(VECTOR):
                sums[i] += bias


@compiled()
def square(x, first, count, out, out_at):
    """Squares of ``count`` inputs from ``first`` on, which the variance of a sum needs."""
    prefer_wide_vectors()
    source = x[first : first + count]
    target = out[out_at : out_at + count]
    for i in range(count):
        target[i] = source[i] * source[i]


@compiled()
def _add_noise(c, variance, z):
    """Add to neighbouring columns what one read redraws."""
    prefer_wide_vectors()
    for i in range(c.size):
        c[i] += np.sqrt(variance[i]) * z[i]


@compiled()
def _redraw(
    plan, work, layer, first_tile, last_tile, slice_at, level, latent, chip, x_step, squares_at,
    c, first_line, lines, vectors, input_step, first_input, place,
):  # fmt: skip
    """Add what one read redraws of the sums of some tiles; arguments as :func:`_read_tiles`."""
    # The variance of a sum of independent reads is exact, whatever each cell's law.
    size = lines * VECTOR
    variance = work.noise[: vectors * size]
    z = work.noise[vectors * size : vectors * size + 4 * VECTOR]
    at = layer.variance_at + slice_at + first_line * layer.rows
    _sum_up(
        plan, layer, first_tile, last_tile, lines, work.variance, at, work.squares, squares_at, x_step,
        variance, 0, vectors,
    )  # fmt: skip
    if layer.bias_row and last_tile == layer.tiles and level > 0:
        _add_bias_row(layer, work.variance, at, variance, lines, vectors, level * level)
    for v in range(vectors):
        here = place + (v if input_step == 0 else 0)
        for group in range((lines + 3) // 4):
            fill_readings(
                z,
                VECTOR,
                first_input + v * input_step,
                first_line // 4 + group,
                np.uint32(here),
                chip,
                latent.key0,
                latent.key1,
            )
            first = v * size + 4 * group * VECTOR
            count = min(4, lines - 4 * group) * VECTOR
            _add_noise(c[first : first + count], variance[first : first + count], z)


@njit(inline="always")
def _read_tiles(
    plan, work, layer, first_tile, last_tile, slice_at, level, latent, chip, x, x_at, x_step, squares_at,
    c, first_line, lines, vectors, input_step, first_input, place,
):  # fmt: skip
    """Sums of some tiles of one slice, in units of weight, and what this read redraws of them.

    ``slice_at`` is where the slice starts among a layer's weights, ``level`` the bias row's input.
    ``first_line``, a multiple of four, and ``lines`` are all of the layer's, or neighbouring ones of a layer
    of one group.
    """
    at = layer.weights_at + slice_at + first_line * layer.rows
    _sum_up(
        plan, layer, first_tile, last_tile, lines, work.weights, at, x, x_at, x_step, c, 0, vectors,
    )  # fmt: skip
    if layer.bias_row and last_tile == layer.tiles and level > 0:
        _add_bias_row(layer, work.weights, at, c, lines, vectors, level)
    if layer.variance_at >= 0:
        _redraw(
            plan, work, layer, first_tile, last_tile, slice_at, level, latent, chip, x_step, squares_at,
            c, first_line, lines, vectors, input_step, first_input, place,
        )  # fmt: skip


@njit(inline="always")
def _end_of_tile(plan, layer, first_tile):
    """Behind a tile and those that go on with it."""
    last_tile = first_tile + 1
    while last_tile < layer.tiles and plan.tiles[layer.tiles_at + last_tile].resumes:
        last_tile += 1
    return last_tile


@compiled()
def _read_one_by_one(
    plan, work, layer, variant_at, reading, chip, x, x_at, x_step, pulse_step, squares_at, squares_step,
    vectors, input_step, first_input, place, clipped,
):  # fmt: skip
    """A strip of sums of tiles, slices and pulses that are read, and converted, by themselves.

    ``variant_at`` is where the variant's weights start, ``reading`` the latent of the first read's noise;
    further arguments as :func:`strip`. Slices that vote have sums of their own.
    """
    # So many lines at a time that their sums are still in the first cache when they are converted.
    chunk = _CACHED_LINES if layer.groups == 1 else layer.lines
    first_tile = 0
    while first_tile < layer.tiles:
        last_tile = _end_of_tile(plan, layer, first_tile)
        for first_line in range(0, layer.lines, chunk):
            lines = min(chunk, layer.lines - first_line)
            for s in range(layer.slices):
                shift = np.float32(1)
                for p in range(layer.pulses):
                    # The bias row has a driver of its own, which acts once, with the last pulse.
                    level = np.float32(1) / shift if p + 1 == layer.pulses else np.float32(0)
                    part = s * layer.pulses + p
                    # Without noise of its own a layer has no latent for it.
                    latent = plan.latents[reading + part if layer.variance_at >= 0 else 0]
                    _read_tiles(
                        plan, work, layer, first_tile, last_tile, variant_at + s * layer.slice_step, level,
                        latent, chip, x, x_at + p * pulse_step, x_step, squares_at + p * squares_step,
                        work.part, first_line, lines, vectors, input_step, first_input, place,
                    )  # fmt: skip
                    factor = plan.parameters[layer.significance_at + s] * shift
                    begins = first_tile == 0 and part == 0
                    sums = work.sums
                    if layer.votes:
                        size = vectors * layer.lines * VECTOR
                        sums = work.votes[s * size : (s + 1) * size]
                        factor, begins = shift, first_tile == 0 and p == 0
                    if layer.adc_at < 0:
                        accumulate(work.part, sums, layer.lines, first_line, lines, vectors, factor, begins)
                    else:
                        converter = plan.converters[layer.adc_at + s]
                        read(
                            work.part, sums, layer.lines, first_line, lines, vectors, factor, converter,
                            begins, work.lanes, plan.count - first_input, input_step, clipped,
                        )  # fmt: skip
                    shift *= layer.pulse_base
        reading += layer.slices * layer.pulses
        first_tile = last_tile
    if layer.votes:
        call_vote(plan.vote, layer, plan.parameters, work.votes, work.sums, vectors)


@compiled()
def _read_spans(plan, work, layer, shared, x, x_at, x_step, vectors, first_block, clipped):
    """Sums of every span with all of the deviations, to ``work.response``; arguments as :func:`strip`."""
    first_tile = 0
    for span in range(layer.spans):
        at = span * VECTORS * layer.lines * VECTOR
        # Without converters one span holds all tiles.
        last_tile = layer.tiles if layer.adc_at < 0 else _end_of_tile(plan, layer, first_tile)
        if shared:
            sums = work.response[at:]
            respond(plan, work, layer, span, False, first_block, vectors, sums, True, clipped)
        else:
            _sum_up(
                plan, layer, first_tile, last_tile, layer.lines, work.weights, layer.weights_at,
                x, x_at, x_step, work.response, at, vectors,
            )  # fmt: skip
        first_tile = last_tile


@njit(inline="always")
def strip(
    plan, work, layer, shared, variant, time, chip, x, x_at, x_step, pulse_step, squares_at, squares_step,
    vectors, input_step, first_input, place, clipped,
):  # fmt: skip
    """One strip of a layer's column sums, in units of weight.

    Parameters
    ----------
    plan, work, layer
        As in :mod:`layout`.
    shared : bool
        Whether the layer starts from the sums that all chips share.
    variant : int
        Variants whose deviations differ follow each other from 0 on.
    time, chip : int
    x, x_at, x_step, pulse_step : ndarray of float32, int, int, int
        Inputs of the first vector, and the steps to the next vector and to the next pulse.
    squares_at, squares_step : int
        The same in ``work.squares``.
    vectors, input_step, first_input, place : int
    clipped : ndarray of int64
        The number of sums beyond their converter's range is added to its last element.
    """
    reading = layer.readings_at + time * layer.readings
    one = np.float32(1)
    variant_at = variant * plan.weights_step
    first_block = first_input // VECTOR
    if plan.weights_step > 0 and layer.spans > 0:
        if variant == 0:
            _read_spans(plan, work, layer, shared, x, x_at, x_step, vectors, first_block, clipped)
        for span in range(layer.spans):
            respond_in_part(plan, work, layer, span, plan.levels[variant], first_block, vectors, clipped)
    elif shared:
        reads = layer.adc_at >= 0
        for span in range(layer.spans):
            respond(plan, work, layer, span, reads, first_block, vectors, work.sums, span == 0, clipped)
        if layer.variance_at >= 0:
            _redraw(
                plan, work, layer, 0, layer.tiles, 0, one, plan.latents[reading], chip, x_step, squares_at,
                work.sums, 0, layer.lines, vectors, input_step, first_input, place,
            )  # fmt: skip
    elif layer.tiled == 0:
        _read_tiles(
            plan, work, layer, 0, layer.tiles, variant_at, one, plan.latents[reading], chip, x, x_at, x_step,
            squares_at, work.sums, 0, layer.lines, vectors, input_step, first_input, place,
        )  # fmt: skip
    else:
        _read_one_by_one(
            plan, work, layer, variant_at, reading, chip, x, x_at, x_step, pulse_step, squares_at,
            squares_step, vectors, input_step, first_input, place, clipped,
        )  # fmt: skip
    if layer.references > 0:
        subtract_references(layer, work.sums, vectors)
