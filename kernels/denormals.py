"""Numbers too small to be normal, with which x86 CPUs compute a hundred times slower than with others."""

from __future__ import annotations

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_I32 = ir.IntType(32)
_BYTES = ir.IntType(8).as_pointer()
_IS_X86 = llvm.get_default_triple().split("-")[0] in ("x86_64", "i686")
# Bits of the SSE control register: denormal operands count as zero, denormal results become zero.
_TO_ZERO = 0x8040


def _control(builder: ir.IRBuilder, verb: str, value: ir.Value) -> None:
    """Read or write the control register of SSE and AVX."""
    fnty = ir.FunctionType(ir.VoidType(), [_BYTES])
    function = cgutils.get_or_insert_function(builder.module, fnty, f"llvm.x86.sse.{verb}mxcsr")
    builder.call(function, [builder.bitcast(value, _BYTES)])


@intrinsic
def denormals_to_zero(typingctx):
    """Treat denormals as zero from here on; returns what :func:`restore_denormals` needs."""

    def codegen(context, builder, signature, args):
        if not _IS_X86:
            return _I32(0)
        place = cgutils.alloca_once(builder, _I32)
        _control(builder, "st", place)
        before = builder.load(place)
        builder.store(builder.or_(before, _I32(_TO_ZERO)), place)
        _control(builder, "ld", place)
        return before

    return types.uint32(), codegen


@intrinsic
def restore_denormals(typingctx, before):
    """Treat denormals as before."""

    def codegen(context, builder, signature, args):
        if _IS_X86:
            _control(builder, "ld", cgutils.alloca_once_value(builder, args[0]))
        return context.get_dummy_value()

    return types.void(types.uint32), codegen
