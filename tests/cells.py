"""Runs the two kernels of a device law on any number of devices, with given latents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reliability.devices import Device
from reliability.kernels.latent import BLOCK


def program(device: Device, target: np.ndarray, latents: Sequence[np.ndarray]) -> np.ndarray:
    """What programming leaves in each device: float32, shape (states, devices)."""
    parameters = np.array(device.program_parameters(), np.float32)
    targets, latents = _in_blocks([target]), _in_blocks(latents)
    states = np.full((len(targets), device.states * BLOCK), np.nan, np.float32)
    for block, state in enumerate(states):
        # From the class: a kernel taken from an instance would be bound to it as a method.
        type(device).program(targets[block], latents[block % len(latents)], state, parameters)
    by_state = states.reshape(-1, device.states, BLOCK).swapaxes(0, 1)
    return by_state.reshape(device.states, -1)[:, : np.size(target)]


def conductance(
    device: Device,
    state: np.ndarray,
    latents: Sequence[np.ndarray],
    time_s: float = 0.0,
    observation_s: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Conductance (uS) and variance of what reads redraw (uS**2), each of shape (devices,)."""
    parameters = np.array(device.time_parameters(time_s, observation_s), np.float32)
    states, latents = _in_blocks(state), _in_blocks(latents)
    found = np.full((2, len(states), BLOCK), np.nan, np.float32)
    for block, own in enumerate(states):
        type(device).conductance(own, latents[block % len(latents)], *found[:, block], parameters)
    g, variance = found.reshape(2, -1)[:, : np.shape(state)[1]]
    return g, variance


def _in_blocks(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays of one value a device, one row a block as the kernels take it; filled up with zeros."""
    if len(arrays) == 0:
        return np.zeros((1, BLOCK), np.float32)
    given = np.asarray(arrays, np.float32)
    blocks = -(-given.shape[1] // BLOCK)
    padded = np.zeros((len(given), blocks * BLOCK), np.float32)
    padded[:, : given.shape[1]] = given
    return padded.reshape(len(given), blocks, BLOCK).swapaxes(0, 1).reshape(blocks, -1)
