"""The plain arrays that describe a simulation to the kernels.

A plan is read-only and shared by all threads; a workspace is one thread's own.
Offsets (``..._at``) count float32 elements of the flat array they name.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

PAIR = 2
"""Devices of a slice of a differential pair: the positive and the negative one."""

LAYER = np.dtype(
    [
        ("analog", np.int64),
        ("rows", np.int64),  # of one column; one more where the bias is a row of devices
        ("columns", np.int64),
        ("lines", np.int64),  # physical columns: weight columns and references, group by group
        ("references", np.int64),  # lines behind a group's columns that are subtracted from them
        ("tile_columns", np.int64),  # columns that share a reference
        ("slices", np.int64),  # arrays that hold one weight
        ("sets", np.int64),  # of a weight's cells in one array, whose currents add up
        ("slice_step", np.int64),  # from one slice's weights, variances and targets to the next
        ("significance_at", np.int64),  # in parameters: digital factor of each slice
        ("held_at", np.int64),  # in parameters: whether each slice has each line; -1: all have all
        ("shares_at", np.int64),  # in parameters: of each slice in what each line gives
        ("votes", np.int64),  # whether lines give the median of their slices
        ("devices", np.int64),  # of one slice's weight: a pair, or one
        ("corrected", np.int64),  # whether a slice makes up for what the ones before it miss
        ("verify_at", np.int64),  # in parameters: the law's at the time of programming
        ("tiled", np.int64),  # whether tiles, slices or pulses are summed up one by one
        ("pulses", np.int64),  # of one multiplication
        ("pulse_base", np.float32),  # significance of a pulse over that of the one before
        ("dac_at", np.int64),  # in converters; -1: inputs pass exactly
        ("inputs_at", np.int64),  # in inputs: converted inputs of the network; -1: converted here
        ("adc_at", np.int64),  # in converters, one a slice; -1: sums pass exactly
        ("groups", np.int64),  # columns of different groups read different channels
        ("group_channels", np.int64),
        ("bias_row", np.int64),  # whether the last row holds the bias
        ("tiles", np.int64),
        ("tiles_at", np.int64),  # in tiles
        ("weights_at", np.int64),  # in weights; columns x rows
        ("variance_at", np.int64),  # in variance; -1: nothing is redrawn at a read
        ("targets_at", np.int64),  # in targets; target conductance, uS, of a pair signed
        ("blocks", np.int64),  # blocks of devices of one copy
        ("spans", np.int64),  # spans of rows whose exact sums all chips share; 0: none
        ("spans_at", np.int64),
        ("scale", np.float32),  # weight per uS
        ("g_min", np.float32),  # smallest target of a device, uS
        ("g_range", np.float32),  # from the smallest to the largest, uS
        ("program", np.int64),  # addresses of the law's kernels
        ("conductance", np.int64),
        ("states", np.int64),  # floats that a device keeps from its programming
        ("state_at", np.int64),
        ("state_step", np.int64),  # from one device block to the next; 0: not kept
        ("program_latents", np.int64),
        ("program_latents_at", np.int64),  # in latents
        ("program_parameters", np.int64),
        ("program_parameters_at", np.int64),  # in parameters
        ("time_latents", np.int64),
        ("time_latents_at", np.int64),  # in latents, one set a time
        ("time_parameters", np.int64),
        ("time_parameters_at", np.int64),  # in parameters, one set a time
        ("readings", np.int64),  # reads of one multiplication: tiles x slices x pulses, or one
        ("readings_at", np.int64),  # in latents, so many a time: redrawn at a read
        ("readout_at", np.int64),  # in latents, one a time: redrawn in a read-out
        ("tile_rows", np.int64),  # word lines of a tile
        ("effects_at", np.int64),  # in effects
        ("wires_at", np.int64),  # in wires; -1: wires without resistance
        ("loop_at", np.int64),  # in loops; -1: every device is written once
        ("words_at", np.int64),  # in words; -1: nothing is corrected digitally
        ("lines_at", np.int64),  # in line_readout and line_reference
        ("coefficients_at", np.int64),  # in scales and shifts: of the digital end of its columns
    ]
)

LOOP = np.dtype(
    [
        ("chosen_at", np.int64),  # in chosen; slice after slice
        ("tolerance", np.float32),  # uS
        ("most", np.int64),  # writes of a device
        ("noisy", np.int64),  # whether reads of the loop differ from what a device conducts
        ("noise", np.float32),  # variance of a read beyond the law's own, uS**2
        ("step", np.float32),  # share of a miss that a write makes up for; 0: it programs anew
        ("step_sigma", np.float32),  # uS
        ("lowest", np.float32),  # bounds of what a step leaves, uS
        ("highest", np.float32),
        ("held_at", np.int64),  # in latents: those that the law draws at each time
        ("read_at", np.int64),  # in latents
        ("step_at", np.int64),
    ]
)

EFFECTS = np.dtype(
    [
        ("gains_at", np.int64),  # in gains; -1: no correlated variation
        ("wafer", np.float32),  # relative standard deviations
        ("die", np.float32),
        ("tile", np.float32),
        ("cell", np.float32),
        ("field", np.float32),
        ("memory", np.float32),  # correlation of the field in neighbouring cells
        ("own_wafer", np.int64),  # whether every chip has a wafer of its own
        ("wafer_latent", np.int64),  # in latents
        ("die_latent", np.int64),
        ("tile_latent", np.int64),
        ("cell_latent", np.int64),
        ("field_latent", np.int64),
        ("stuck_at", np.int64),  # in stuck; -1: no faults
        ("repaired", np.int64),  # whether the caller writes stuck before a chip is programmed
        ("aims_at", np.int64),  # in aims; -1: targets are the plan's
        ("stuck_low", np.float32),  # probabilities
        ("stuck_high", np.float32),
        ("low_us", np.float32),  # what cells stuck at low resistance conduct
        ("high_us", np.float32),
        ("worn", np.float32),
        ("worn_low", np.float32),
        ("cluster_rate", np.float32),  # of a cell to be the centre of a cluster
        ("cluster_radius", np.float32),
        ("cluster_us", np.float32),
        ("open_rows", np.float32),
        ("open_columns", np.float32),
        ("stuck_latent", np.int64),
        ("worn_latent", np.int64),
        ("state_latent", np.int64),
        ("cluster_latent", np.int64),
        ("row_latent", np.int64),
        ("column_latent", np.int64),
        ("amplitude", np.float32),  # of telegraph noise; 0: none
        ("exponent", np.float32),
        ("log_g_ref", np.float32),
        ("occupancy", np.float32),
        ("frozen", np.float32),  # share of the cells that keep their state during an evaluation
        ("rate", np.float64),  # of events, 1/s
        ("trap", np.int64),  # in latents
        ("held_at", np.int64),  # in latents, one a time
    ]
)

TILE = np.dtype(
    [
        ("row", np.int64),  # first row of the layer's matrix
        ("resumes", np.int64),  # whether it goes on with the tile before, cut only to stay in the cache
        ("segment", np.int64),  # first of its segments
        ("segments", np.int64),
    ]
)

SPAN = np.dtype(
    [
        ("row", np.int64),  # first row of the layer's matrix
        ("rows", np.int64),
        ("lines", np.int64),
        ("quads", np.int64),  # groups of four rows, the last one filled up
        ("codes_at", np.int64),  # in codes
        ("base_at", np.int64),  # in base
        ("deltas_at", np.int64),  # in the workspace's deltas
        ("scales_at", np.int64),  # in the workspace's starts and scales, one a line
        ("zero", np.int64),  # code of an input of zero
        ("step", np.float32),  # input of one code
    ]
)

CONVERTER = np.dtype(
    [
        ("inverse", np.float32),  # of the step
        ("step", np.float32),  # from one code to the next
        ("lowest", np.float32),  # codes
        ("highest", np.float32),
    ]
)

LATENT = np.dtype(
    [
        ("kind", np.int64),  # latent.NORMAL or latent.UNIFORM
        ("key0", np.uint32),
        ("key1", np.uint32),
        ("supplied_at", np.int64),  # in supplied; -1: drawn from the counter
        ("supplied_step", np.int64),  # from one slot to the next
    ]
)

OPERATION = np.dtype(
    [
        ("kind", np.int64),
        ("layer", np.int64),
        ("source", np.int64),  # buffers
        ("other", np.int64),  # buffer that is added; -1: none
        ("target", np.int64),
        ("variants", np.int64),  # how many variants of the result differ
        ("shared", np.int64),  # whether the source is one for all variants
        ("coefficients_at", np.int64),  # in scales and shifts
        ("activation", np.int64),
        ("kernel_height", np.int64),
        ("kernel_width", np.int64),
        ("stride_height", np.int64),
        ("stride_width", np.int64),
        ("top", np.int64),  # padding
        ("left", np.int64),
        ("channel", np.int64),  # first channel of the target that is written
        ("count_padding", np.int64),  # whether padded zeros count in a mean
    ]
)

BUFFER = np.dtype(
    [
        ("at", np.int64),  # of the first block's first pixel, behind the border
        ("variant_step", np.int64),
        ("block_step", np.int64),  # from one block of inputs to the next
        ("row_step", np.int64),
        ("border", np.int64),  # from a block's start to its first pixel
        ("height", np.int64),
        ("width", np.int64),
        ("channels", np.int64),
    ]
)

INPUTS = 0
"""The buffer of the network's inputs, which all threads share."""
LAYERED, AFFINE, COPY, MAX_POOL, AVERAGE_POOL = range(5)
NONE, RELU, RELU6, SIGMOID, TANH = range(5)
PLAIN, GLOBAL, COLUMN, EXACT = range(4)
"""What a variant's sums are multiplied with: 1, or what one of three read-outs gives."""
KEPT, OFFSETS, SPREADS, NORMS, MEASURED = range(5)
"""What a variant's digital ends take from calibration inputs: nothing; offsets that restore the digital
means; factors and offsets that restore digital spreads and means; the same, or where a batch norm stands its
statistics; nothing, while they are measured."""

Plan = namedtuple(
    "Plan",
    [
        "inputs",  # float32: blocks of images, VECTOR inputs innermost, borders of zeros
        "count",  # inputs
        "group",  # blocks of inputs that go through the network together
        "labels",  # int64, padded to whole groups
        "classes",
        "layers",  # LAYER
        "tiles",  # TILE
        "offsets",  # int64, one a segment: rows of inputs that follow each other in memory
        "runs",  # int64, one a segment
        "latents",  # LATENT
        "operations",  # OPERATION
        "buffers",  # BUFFER; the last operation's target holds the logits
        "scales",  # float32: digital factors, one a channel of an operation, as every worker's start
        "shifts",  # float32: digital offsets
        "coefficients_step",  # from one variant's scales and shifts to the next; 0: all have the same
        "weights",  # float32: digital weights, as every worker's weights start
        "weights_step",  # from one variant's weights to the next; 0: all variants have the same
        "rounds",  # whether deviations from shared sums are rounded to 8 bits
        "levels",  # float32, one a variant: share of the devices' deviations that it has
        "converters",  # CONVERTER
        "spans",  # SPAN
        "codes",  # uint8: inputs of each span, [block][four rows][VECTOR][4]
        "base",  # float32: exact column sums of each span, [block][line][VECTOR]
        "targets",
        "parameters",
        "supplied",  # float32: latents given by the caller, slot by slot
        "effects",  # EFFECTS, one an analog layer
        "wires",  # wires.WIRES
        "loops",  # LOOP, one a layer with write-verify
        "chosen",  # float32: 1 for the cells that are verified, alike in the devices of a pair
        "seconds",  # float64: the times
        "times",  # int; with a reference, time 0 is the reference read and not evaluated
        "reference",  # whether the first time is the reference read of the compensation
        "multiply",  # address of the product
        "find_gains",  # addresses of the effects' kernels; 0 where no layer has the effect
        "find_faults",
        "fluctuate",
        "attenuate",
        "by_line",
        "vote",
        "verify",
        "add_words",
        "reads_out",  # whether the arrays are read out at each time
        "reads_lines",  # whether lines are read out one by one
        "exact",  # float64: layers; the read-out that exact weights would give
        "compensated",  # int64, one a variant: PLAIN, GLOBAL, COLUMN or EXACT
        "adapted",  # int64, one a variant: KEPT, OFFSETS, SPREADS, NORMS or MEASURED
    ],
)

Adaptation = namedtuple(
    "Adaptation",
    [
        "measured",  # int64, one an operation on calibration inputs: whether its source is measured
        "held",  # int64, the same: layer with weights that it ends; -1: none
        "normed",  # int64, the same: whether it is a batch norm
        "skipped",  # coefficients of these operations before those that the plan has too
        "gains",  # float64, one a coefficient: scale of the batch norm
        "offsets",  # float64: its shift
        "epsilons",  # float64: what it adds to a variance
        "means",  # float64: of the digital network's sums
        "spreads",  # float64: their standard deviations
    ],
)
"""How the digital ends of a plan's operations are fitted to calibration inputs."""

Workspace = namedtuple(
    "Workspace",
    [
        "weights",  # float32: one chip's weights at one time, variant by variant where these differ
        "variance",  # float32: variance of what each read redraws, in units of weight**2
        "state",  # float32: what programming left in the devices
        "arena",  # float32: activations
        "cells",  # float32: latents, targets, conductances and variances of one block
        "currents",  # float32: conductances and variances of one block, added up over sets of cells
        "gains",  # float32: what one chip's cells are multiplied by
        "stuck",  # float32: what one chip's broken cells conduct
        "aims",  # float32: targets of the cells of one repaired chip, uS
        "words",  # float32: what one repaired chip's weights miss and is added digitally
        "field",  # float32: draws of all cells of one array
        "before",  # float32: one line of a tile
        "traps",  # float32: states of one block of cells
        "conductances",  # float32: what the cells of one layer conduct, where wires see whole tiles
        "spreads",  # float32: variance of what each read redraws of them, uS**2
        "tile",  # float32: conductances of one tile
        "wiring",  # float32: what solving one tile needs
        "sums",  # float32: one strip of a layer's column sums
        "votes",  # float32: the same, slice by slice
        "converted",  # float32: converted inputs of one layer, pulse by pulse
        "squares",  # float32: squared inputs of one layer
        "response",  # float32: shared sums with one strip's deviations, span by span
        "part",  # float32: sums of one strip of one tile, slice and pulse
        "noise",  # float32: variances of one strip, and the normals of one group of columns
        "factors",  # float32: layers x variants
        "readout",  # float64: layers; the reference read-out
        "line_readout",  # float64: lines of all layers; the latest read-out
        "line_reference",  # float64: the reference read-out
        "end_scales",  # float32: digital factors of one chip at one time, variant by variant
        "end_shifts",  # float32: digital offsets
        "moments",  # float64: means of all channels over calibration inputs, then their variances
        "lane_sums",  # float64: sums of one operation's channels, lane by lane
        "clipped",  # int64: layers x variants x 2; inputs and column sums beyond their converter's range
        "deviations",  # float32: what some of one chip's weights deviate by from the wanted ones
        "deltas",  # int8: what one chip's weights deviate by, in steps of their own
        "starts",  # int32: what the code of zero takes off a line's sum
        "scales",  # float32: what one step adds to a line's sum
        "shared",  # int64: layers; whether this chip's layer starts from the shared sums
        "lanes",  # int32: clipped values of each input of a vector
        "loop",  # float32: what verifying one block needs
        "places",  # int32: devices of a block that are not accepted yet
        "cycles",  # int64: layers x 2, writes of verified devices and of all (-1: to be counted); two more
    ],
)
