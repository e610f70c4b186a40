"""The plain arrays that describe a simulation to the kernels.

A plan is read-only and shared by all threads; a workspace is one thread's own.
Offsets (``..._at``) count float32 elements of the flat array they name.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

COPIES = 2
"""Devices of a weight: the positive and the negative one of a differential pair."""

LAYER = np.dtype(
    [
        ("analog", np.int64),
        ("rows", np.int64),  # inputs, and one more where the bias is a row of devices
        ("columns", np.int64),
        ("tile_rows", np.int64),
        ("weights_at", np.int64),  # in weights; outputs x rows, as trained
        ("variance_at", np.int64),  # in variance; -1: nothing is redrawn at a read
        ("bias_at", np.int64),  # in biases; -1: no digital bias
        ("targets_at", np.int64),  # in targets; signed target conductance, uS
        ("blocks", np.int64),  # blocks of devices of one copy
        ("scale", np.float32),  # weight per uS
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
        ("readings_at", np.int64),  # in latents, one a time: redrawn at a read
        ("readout_at", np.int64),  # in latents, one a time: redrawn in a read-out
    ]
)

LATENT = np.dtype(
    [
        ("kind", np.int64),  # latent.NORMAL or latent.UNIFORM
        ("key0", np.uint32),
        ("key1", np.uint32),
        ("supplied_at", np.int64),  # in supplied; -1: drawn from the counter
        ("supplied_step", np.int64),  # from one chip to the next
    ]
)

OPERATION = np.dtype(
    [
        ("kind", np.int64),
        ("layer", np.int64),
        ("source", np.int64),  # buffers; INPUTS: the inputs themselves
        ("target", np.int64),
        ("features", np.int64),
        ("variants", np.int64),  # how many variants differ in the source
        ("relu", np.int64),
    ]
)

BUFFER = np.dtype([("at", np.int64), ("step", np.int64)])  # step: from one variant to the next

INPUTS = -1
PRODUCT, FINISH, RELU = 0, 1, 2

Plan = namedtuple(
    "Plan",
    [
        "inputs",  # float32: blocks x features x simd.WIDTH, inputs innermost
        "input_features",
        "count",  # inputs
        "labels",  # int64, padded to whole blocks
        "classes",
        "layers",  # LAYER
        "latents",  # LATENT
        "operations",  # OPERATION
        "buffers",  # BUFFER; the last operation's target holds the logits
        "weights",  # float32: digital weights, as every worker's weights start
        "biases",
        "targets",
        "parameters",
        "supplied",  # float32: latents given by the caller, from chip 0 on
        "times",  # int; with a reference, time 0 is the reference read and not evaluated
        "reference",  # whether the first time is the reference read of the compensation
        "compensated",  # int64, one a variant: whether its outputs are rescaled
    ],
)

Workspace = namedtuple(
    "Workspace",
    [
        "weights",  # float32: one chip's weights at one time
        "variance",  # float32: variance of what each read redraws, in units of weight**2
        "state",  # float32: what programming left in the devices
        "arena",  # float32: activations
        "cells",  # float32: latents, targets, conductances and variances of one block
        "squares",  # float32: squared inputs of one product
        "noise",  # float32: variances of one product's outputs, and their normals
        "factors",  # float32: layers x variants
        "readout",  # float64: layers; the reference read-out
    ],
)
