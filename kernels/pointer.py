"""Kernels that are called by their address.

Numba compiles what a function calls again with the function itself. What is called by its address is compiled
once: a device law apart from the simulation, and the product's micro-kernels apart from all that use them.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import typing


def address_of(kernel, signature: typing.Signature) -> int:
    """Address of a compiled kernel; compiles it, or loads it from the cache, first."""
    # Numba itself takes 40 us to find that it has compiled this before.
    if signature.args not in kernel.overloads:
        kernel.compile(signature)
    compiled = kernel.overloads[signature.args]
    return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)


def caller(signature: typing.Signature):
    """What an intrinsic ``call(typingctx, address, ...)`` returns that calls the kernel at an address."""

    def codegen(context, builder, call_signature, args):
        function_type = context.call_conv.get_function_type(signature.return_type, signature.args)
        pointer = builder.inttoptr(args[0], ir.PointerType(function_type))
        context.call_conv.call_function(builder, pointer, signature.return_type, signature.args, args[1:])
        return context.get_dummy_value()

    return types.void(types.int64, *signature.args), codegen
