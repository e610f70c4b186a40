"""One chip's devices: programmed once, read at each time, combined to weights."""

from __future__ import annotations

import numpy as np
from numba import njit

from .cache import compiled
from .compensation import add_by_line, clear_lines
from .copies import call_by_line
from .faults import call_faults, stick
from .intrinsics import prefer_wide_vectors
from .latent import BLOCK, NORMAL, fill_normals, fill_uniforms
from .law import call_conductance, call_program
from .layout import PAIR
from .response import ROUNDING, deviate, go_part_way, round_line
from .telegraph import call_fluctuate
from .variation import call_gains, vary
from .verify import call_verify
from .wired import call_attenuate

_F = np.float32
_LANES = 64


@compiled()
def take(out, source):
    """Copy an array, also one that starts behind its own end: Numba's slice assignment would allocate."""
    prefer_wide_vectors()
    for i in range(out.size):
        out[i] = source[i]


@compiled()
def draw(out, start, latent, supplied, slot, chip, copy, block, blocks):
    """One latent of one block of devices, from the counter or from what the caller supplied in ``slot``."""
    if latent.supplied_at >= 0:
        first = latent.supplied_at + slot * latent.supplied_step + (copy * blocks + block) * BLOCK
        take(out[start : start + BLOCK], supplied[first : first + BLOCK])
    elif latent.kind == NORMAL:
        fill_normals(
            out, start, block, np.uint32(chip), np.uint32(copy), np.uint32(0), latent.key0, latent.key1
        )
    else:
        fill_uniforms(
            out, start, block, np.uint32(chip), np.uint32(copy), np.uint32(0), latent.key0, latent.key1
        )


@compiled()
def _targets_of_copy(signed, devices, copy, g_min, out):
    """Targets of one device of each weight: of a pair, the positive or the negative part above ``g_min``."""
    prefer_wide_vectors()
    if devices == 1:
        for i in range(BLOCK):
            out[i] = signed[i]
        return
    sign = _F(1) if copy == 0 else _F(-1)
    for i in range(BLOCK):
        out[i] = max(sign * signed[i], _F(0)) + g_min


@njit(inline="always")
def _state_of(work, layer, s, block, device):
    """What programming left in one device of each of a block's weights, in slice ``s``."""
    first = layer.state_at + (s * layer.blocks + block) * layer.state_step + device * layer.states * BLOCK
    return work.state[first : first + layer.states * BLOCK]


@compiled()
def _weights_of_slice(g, devices, scale, w):
    prefer_wide_vectors()
    if devices == 1:
        for i in range(BLOCK):
            w[i] = g[i] * scale
        return
    for i in range(BLOCK):
        w[i] = (g[i] - g[BLOCK + i]) * scale


@compiled()
def _variance_of_slice(v, devices, scale, out):
    prefer_wide_vectors()
    square = scale * scale
    if devices == 1:
        for i in range(BLOCK):
            out[i] = v[i] * square
        return
    for i in range(BLOCK):
        out[i] = (v[i] + v[BLOCK + i]) * square


@compiled()
def _correct(left, g, devices, factor, g_min, largest, following, signed):
    """Take off what a slice really holds, and put what is left on the next one as far as it can hold it.

    ``left`` holds, in uS, what the slices still owe; ``factor`` and ``following`` are the significances of
    the slice and of the next one, ``largest`` the range of a device above ``g_min``. Zero of a single device
    is the middle of its range.
    """
    prefer_wide_vectors()
    for i in range(BLOCK):
        held = g[i] - g[BLOCK + i] if devices == 2 else _F(2) * (g[i] - g_min) - largest
        left[i] -= factor * held
        wanted = min(max(left[i] / following, -largest), largest)
        signed[i] = wanted if devices == 2 else _F(0.5) * (wanted + largest) + g_min


@compiled(allocates=True)
def _sum_of_magnitudes(w, count):
    """Sum of ``|w[:count]|`` over one block, in an order that no CPU changes."""
    prefer_wide_vectors()
    for i in range(count, BLOCK):
        w[i] = _F(0)
    sums = np.zeros(_LANES, np.float32)
    for first in range(0, BLOCK, _LANES):
        for lane in range(_LANES):
            sums[lane] += abs(w[first + lane])
    total = 0.0
    for lane in range(_LANES):
        total += np.float64(sums[lane])
    return total


@compiled()
def _add_reading(w, variance, z):
    prefer_wide_vectors()
    for i in range(BLOCK):
        w[i] += np.sqrt(variance[i]) * z[i]


@compiled()
def _conduct(plan, work, layer, effects, time, chip, copy, block, state, z, parameters, g, v):
    """What one device of each of a block's weights conducts: by its law, and by what the chip does to it."""
    call_conductance(layer.conductance, state, z, g, v, parameters)
    first = (copy * layer.blocks + block) * BLOCK
    if effects.gains_at >= 0:
        vary(work.gains[effects.gains_at + first : effects.gains_at + first + BLOCK], g, v)
    if effects.amplitude > _F(0):
        seconds = plan.seconds[time]
        call_fluctuate(
            plan.fluctuate, effects, plan.latents, time, seconds, chip, copy, block, g, v, work.traps
        )
    if effects.stuck_at >= 0:
        stick(work.stuck[effects.stuck_at + first : effects.stuck_at + first + BLOCK], g, v)


@compiled()
def _verify(plan, work, layer, effects, chip, s, copy, block, whole, target, state, cycles):
    """Write one device of each of a block's weights until a read finds it close enough, where so chosen."""
    own = plan.loops[layer.loop_at]
    at = own.chosen_at + s * layer.slice_step + block * BLOCK
    first = (copy * layer.blocks + block) * BLOCK
    gains, stuck = work.gains[:0], work.stuck[:0]
    if effects.gains_at >= 0:
        gains = work.gains[effects.gains_at + first : effects.gains_at + first + BLOCK]
    if effects.stuck_at >= 0:
        stuck = work.stuck[effects.stuck_at + first : effects.stuck_at + first + BLOCK]
    call_verify(
        plan.verify, layer, effects, own, plan.latents, plan.parameters, plan.chosen[at : at + BLOCK], chip,
        copy, block, whole, target, gains, stuck, state, work.loop, work.places, cycles,
    )  # fmt: skip


@njit(inline="always")
def _weights_at(work, layer, s, block):
    at = layer.weights_at + s * layer.slice_step + block * BLOCK
    return work.weights[at : at + BLOCK]


@compiled()
def _combine(plan, work, layer, time, slot, chip, s, block, g, v, z, readout, w):
    """One slice's weights of a block and their variance, from its devices; returns their read-out."""
    _weights_of_slice(g, layer.devices, layer.scale, w)
    variance = work.variance[:BLOCK]
    if layer.variance_at >= 0:
        at = layer.variance_at + s * layer.slice_step + block * BLOCK
        variance = work.variance[at : at + BLOCK]
        _variance_of_slice(v, layer.devices, layer.scale, variance)
    if not readout:
        return 0.0
    outputs = g[:BLOCK]
    take(outputs, w)
    if layer.variance_at >= 0:
        latent = plan.latents[layer.readout_at + time]
        draw(z, 0, latent, plan.supplied, slot, chip, s, block, layer.blocks)
        _add_reading(outputs, variance, z)
    count = min(BLOCK, layer.rows * layer.lines - block * BLOCK)
    significance = plan.parameters[layer.significance_at + s]
    if layer.held_at >= 0:
        # What each column's copies weigh is in the outputs then.
        at = layer.shares_at + s * layer.lines
        call_by_line(plan.by_line, layer, plan.parameters, at, block, outputs)
        significance = _F(1)
    if plan.reads_lines:
        add_by_line(work.line_readout, layer, block, outputs, count, significance)
    return significance * _sum_of_magnitudes(outputs, count)


@compiled()
def _add_currents(g, v, begins, count, sums):
    """Take the sums with the sets before, which stand in ``sums``, of conductances and variances."""
    prefer_wide_vectors()
    size = PAIR * BLOCK
    for i in range(count):
        g[i] += _F(0) if begins else sums[i]
        v[i] += _F(0) if begins else sums[size + i]
        sums[i] = g[i]
        sums[size + i] = v[i]


@compiled()
def _holds(plan, layer, s, block):
    """Whether a slice has any cell of a block."""
    if layer.held_at < 0:
        return True
    last = min((block + 1) * BLOCK, layer.lines * layer.rows) - 1
    for line in range(block * BLOCK // layer.rows, last // layer.rows + 1):
        if plan.parameters[layer.held_at + s * layer.lines + line] > _F(0):
            return True
    return False


@compiled()
def _leave_out(plan, layer, s, block, devices, g, v):
    """Cells that a slice does not have conduct nothing."""
    if layer.held_at < 0:
        return
    first = layer.held_at + s * layer.lines
    for device in range(devices):
        here = slice(device * BLOCK, (device + 1) * BLOCK)
        call_by_line(plan.by_line, layer, plan.parameters, first, block, g[here])
        call_by_line(plan.by_line, layer, plan.parameters, first, block, v[here])


@compiled()
def _keep(work, layer, s, block, g, v):
    """Put a block's conductances and variances where the wires of whole tiles see them."""
    for device in range(layer.devices):
        first = ((s * layer.devices + device) * layer.blocks + block) * BLOCK
        here = slice(device * BLOCK, (device + 1) * BLOCK)
        take(work.conductances[first : first + BLOCK], g[here])
        if layer.variance_at >= 0:
            take(work.spreads[first : first + BLOCK], v[here])


@compiled()
def _recall(work, layer, s, block, g, v):
    """Take a block's conductances and variances from where the wires have left them."""
    for device in range(layer.devices):
        first = ((s * layer.devices + device) * layer.blocks + block) * BLOCK
        here = slice(device * BLOCK, (device + 1) * BLOCK)
        take(g[here], work.conductances[first : first + BLOCK])
        if layer.variance_at >= 0:
            take(v[here], work.spreads[first : first + BLOCK])


@compiled()
def realise(plan, work, index, time, program, readout, share, slot, chip):
    """One layer's weights on one chip at one time; the devices are programmed first if asked.

    Parameters
    ----------
    plan : layout.Plan
    work : layout.Workspace
        ``weights`` or, with ``share``, rounded deviations are written, and ``variance`` where a read redraws;
        with ``program`` the layer's ``cycles``.
    index, time : int
        Layer and time.
    program : bool
        Whether to write the devices first; later times go on from what that left.
    readout : bool
        Whether to return the read-out of the drift compensation.
    share : bool
        Whether to start from the sums that all chips share. Where rounding would lose too much,
        ``work.shared`` says that this was not done.
    slot, chip : int
        Where its supplied latents stand, and the chip's number, by which the counter draws all others.

    Returns
    -------
    float
        The read-out: each row driven alone with a unit input, the magnitudes of all lines' outputs added up
        over all rows and, by their significance, slices, in units of weight. Zero if not asked for.
    """
    layer = plan.layers[index]
    effects = plan.effects[layer.effects_at]
    if program and effects.gains_at >= 0:
        call_gains(
            plan.find_gains, layer, effects, plan.latents, chip, work.gains[effects.gains_at :], work.field,
            work.before, work.cells[:BLOCK],
        )  # fmt: skip
    if program and effects.stuck_at >= 0 and effects.repaired == 0:
        call_faults(
            plan.find_faults, layer, effects, plan.latents, chip, work.stuck[effects.stuck_at :], work.field,
            work.cells,
        )  # fmt: skip
    wired = layer.wires_at >= 0
    latents_of_time = layer.time_latents_at + time * layer.time_latents
    first = layer.program_parameters_at
    program_parameters = plan.parameters[first : first + layer.program_parameters]
    first = layer.time_parameters_at + time * layer.time_parameters
    time_parameters = plan.parameters[first : first + layer.time_parameters]
    verify_parameters = plan.parameters[layer.verify_at : layer.verify_at + layer.time_parameters]
    g = work.cells[: PAIR * BLOCK]
    v = work.cells[PAIR * BLOCK : 2 * PAIR * BLOCK]
    target = work.cells[2 * PAIR * BLOCK : (2 * PAIR + 1) * BLOCK]
    corrected = work.cells[(2 * PAIR + 1) * BLOCK : (2 * PAIR + 2) * BLOCK]
    left = work.cells[(2 * PAIR + 2) * BLOCK : (2 * PAIR + 3) * BLOCK]
    z = work.cells[(2 * PAIR + 3) * BLOCK :]
    devices = layer.devices
    cycles = work.cycles[2 * len(plan.layers) :]
    whole = work.cycles[2 * index + 1] < 0
    cycles[0] = cycles[1] = 0
    if readout and plan.reads_lines:
        clear_lines(work.line_readout, layer)
    total = rounding = energy = 0.0
    # Deviations of lines that are not complete yet stand at ``held`` of so many that are in use.
    line = held = used = 0
    for block in range(layer.blocks):
        if layer.corrected and program:
            # Behind the first slice's targets stands what all slices together shall hold.
            first = layer.targets_at + layer.slice_step + block * BLOCK
            take(left, plan.targets[first : first + BLOCK])
        for s in range(layer.slices * layer.sets):
            first = layer.targets_at + s * layer.slice_step + block * BLOCK
            signed = corrected if layer.corrected and s > 0 else plan.targets[first : first + BLOCK]
            present = devices if _holds(plan, layer, s, block) else 0
            if present == 0:
                g[: devices * BLOCK] = _F(0)
                v[: devices * BLOCK] = _F(0)
            for device in range(present):
                copy = s * devices + device
                state = _state_of(work, layer, s, block, device)
                here = slice(device * BLOCK, (device + 1) * BLOCK)
                if program:
                    if effects.aims_at >= 0:
                        first = effects.aims_at + (copy * layer.blocks + block) * BLOCK
                        take(target, work.aims[first : first + BLOCK])
                    else:
                        _targets_of_copy(signed, devices, device, layer.g_min, target)
                    for j in range(layer.program_latents):
                        latent = plan.latents[layer.program_latents_at + j]
                        draw(z, j * BLOCK, latent, plan.supplied, slot, chip, copy, block, layer.blocks)
                    call_program(layer.program, target, z, state, program_parameters)
                    if layer.loop_at >= 0:
                        _verify(
                            plan, work, layer, effects, chip, s, copy, block, whole, target, state, cycles
                        )
                    if layer.corrected and s + 1 < layer.slices:
                        z[: layer.time_latents * BLOCK] = _F(0)
                        _conduct(
                            plan, work, layer, effects, time, chip, copy, block, state, z, verify_parameters,
                            g[here], v[here],
                        )  # fmt: skip
            if program and layer.corrected and s + 1 < layer.slices:
                factor = plan.parameters[layer.significance_at + s]
                following = plan.parameters[layer.significance_at + s + 1]
                _correct(left, g, devices, factor, layer.g_min, layer.g_range, following, corrected)
            for device in range(present):
                copy = s * devices + device
                state = _state_of(work, layer, s, block, device)
                here = slice(device * BLOCK, (device + 1) * BLOCK)
                for j in range(layer.time_latents):
                    latent = plan.latents[latents_of_time + j]
                    draw(z, j * BLOCK, latent, plan.supplied, slot, chip, copy, block, layer.blocks)
                _conduct(
                    plan, work, layer, effects, time, chip, copy, block, state, z, time_parameters,
                    g[here], v[here],
                )  # fmt: skip
            _leave_out(plan, layer, s, block, present, g, v)
            if wired:
                _keep(work, layer, s, block, g, v)
                continue
            at = s
            if layer.sets > 1:
                _add_currents(g, v, s == 0, devices * BLOCK, work.currents)
                if s + 1 < layer.sets:
                    continue
                at = 0
            w = target if share else _weights_at(work, layer, at, block)
            total += _combine(plan, work, layer, time, slot, chip, at, block, g, v, z, readout, w)
            if share:
                deviate(w, signed, layer.scale, work.deviations[used : used + BLOCK])
                used += BLOCK
        if share:
            # Lines that are complete are rounded while they are in the first cache.
            while line < layer.lines and used - held >= layer.rows:
                own = work.deviations[held : held + layer.rows]
                own_rounding, own_energy = round_line(plan, work, layer, line, own)
                rounding += own_rounding
                energy += own_energy
                line += 1
                held += layer.rows
            if used + BLOCK > work.deviations.size:
                take(work.deviations[: used - held], work.deviations[held:used])
                held, used = 0, used - held
    if wired:
        call_attenuate(
            plan.attenuate, layer, plan.wires[layer.wires_at], work.conductances, work.spreads, work.tile,
            work.wiring,
        )  # fmt: skip
        for block in range(layer.blocks):
            for s in range(layer.slices):
                _recall(work, layer, s, block, g, v)
                w = _weights_at(work, layer, s, block)
                total += _combine(plan, work, layer, time, slot, chip, s, block, g, v, z, readout, w)
    if program:
        work.cycles[2 * index] = cycles[0]
        if whole:
            work.cycles[2 * index + 1] = cycles[1]
    work.shared[index] = share and rounding <= ROUNDING * energy
    return total


@compiled()
def scale_deviations(plan, work, layer):
    """Weights of every variant, from those of the one whose deviations are whole."""
    size = layer.slices * layer.slice_step
    exact = plan.weights[layer.weights_at : layer.weights_at + size]
    w = work.weights[layer.weights_at : layer.weights_at + size]
    # The first variant's weights take the place of those that all are made from, last.
    for variant in range(len(plan.levels) - 1, -1, -1):
        at = layer.weights_at + variant * plan.weights_step
        go_part_way(exact, w, plan.levels[variant], work.weights[at : at + size])
