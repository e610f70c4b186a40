"""How a device law enters the compiled simulation: by the address of its kernels.

A law is two Numba functions over one block of devices (``latent.BLOCK`` of them),
marked :func:`program_kernel` and :func:`conductance_kernel`. The simulation calls
them through their addresses, so it is compiled once for all laws, and a user's
own law costs only its own compilation.
"""

from __future__ import annotations

from collections.abc import Callable

from numba import types
from numba.extending import intrinsic

from .cache import compiled
from .pointer import address_of, caller

_BLOCK_OF = types.float32[::1]
_PROGRAM = types.void(_BLOCK_OF, _BLOCK_OF, _BLOCK_OF, _BLOCK_OF)
_CONDUCTANCE = types.void(_BLOCK_OF, _BLOCK_OF, _BLOCK_OF, _BLOCK_OF, _BLOCK_OF)

# A user's own law may make arrays.
_compile = compiled(allocates=True)


def program_kernel(function: Callable) -> Callable:
    """Mark ``program(target, latents, state, parameters)``: what writing a cell leaves in it.

    All arguments are flat float32 arrays. ``target`` holds the wanted conductance (uS) of
    ``BLOCK`` devices. ``latents[j * BLOCK + i]`` is programming latent ``j`` of device ``i``;
    the kernel writes ``state[s * BLOCK + i]``, state variable ``s`` of device ``i``.
    ``parameters`` are the numbers that the device gives for programming.
    """
    function = _compile(function)
    function.law_signature = _PROGRAM
    return function


def conductance_kernel(function: Callable) -> Callable:
    """Mark ``conductance(state, latents, g, variance, parameters)``: what a cell conducts later.

    ``state`` is what programming wrote, ``latents`` are those drawn anew at each time. The kernel
    writes ``g[i]``, the conductance (uS) of device ``i`` at that time, and ``variance[i]`` (uS**2),
    the variance of the part that every single read redraws about ``g[i]``; zero where there is none.
    ``parameters`` are the numbers that the device gives for this time.
    """
    function = _compile(function)
    function.law_signature = _CONDUCTANCE
    return function


def law_address(kernel: Callable) -> int:
    """Address of a compiled law kernel; compiles it, or loads it from the cache, first."""
    return address_of(kernel, kernel.law_signature)


@intrinsic
def call_program(typingctx, address, target, latents, state, parameters):
    """Call the program kernel at ``address``."""
    return caller(_PROGRAM)


@intrinsic
def call_conductance(typingctx, address, state, latents, g, variance, parameters):
    """Call the conductance kernel at ``address``."""
    return caller(_CONDUCTANCE)
