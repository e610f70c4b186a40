"""How a device law enters the compiled simulation: by the address of its kernels.

A law is two Numba functions over one block of devices (``latent.BLOCK`` of them),
marked :func:`program_kernel` and :func:`conductance_kernel`. The simulation calls
them through their addresses, so it is compiled once for all laws, and a user's
own law costs only its own compilation.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.core import typing
from numba.extending import intrinsic

from .cache import compiled

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


def address_of(kernel: Callable) -> int:
    """Address of a compiled law kernel; compiles it, or loads it from the cache, first."""
    kernel.compile(kernel.law_signature)
    compiled = kernel.overloads[kernel.law_signature.args]
    return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)


def _caller(signature: typing.Signature):
    def codegen(context, builder, call_signature, args):
        function_type = context.call_conv.get_function_type(signature.return_type, signature.args)
        pointer = builder.inttoptr(args[0], ir.PointerType(function_type))
        context.call_conv.call_function(builder, pointer, signature.return_type, signature.args, args[1:])
        return context.get_dummy_value()

    return types.void(types.int64, *signature.args), codegen


@intrinsic
def call_program(typingctx, address, target, latents, state, parameters):
    """Call the program kernel at ``address``."""
    return _caller(_PROGRAM)


@intrinsic
def call_conductance(typingctx, address, state, latents, g, variance, parameters):
    """Call the conductance kernel at ``address``."""
    return _caller(_CONDUCTANCE)
