"""Kernels that several laws share: what is written is kept, what is kept is conducted."""

from __future__ import annotations

from reliability.kernels.intrinsics import prefer_wide_vectors
from reliability.kernels.latent import BLOCK
from reliability.kernels.law import conductance_kernel, program_kernel


@program_kernel
def keep_target(target, latents, state, parameters):
    """Leave the target and the programming latent, for a spread that depends on time."""
    prefer_wide_vectors()
    for i in range(BLOCK):
        state[i] = target[i]
        state[BLOCK + i] = latents[i]


@conductance_kernel
def conduct_state(state, latents, g, variance, parameters):
    """Conduct what programming left, at any time; the first parameter is the variance of a read (uS**2)."""
    prefer_wide_vectors()
    read_variance = parameters[0]
    for i in range(BLOCK):
        g[i] = state[i]
        variance[i] = read_variance
