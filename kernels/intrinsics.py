"""Single machine operations that plain Numba does not offer.

Numba widens 32-bit integer arithmetic to 64 bits, which halves the lanes of
every vectorised loop, and has no fused multiply-add. Each function here emits
one LLVM operation on one element; LLVM vectorises the loops that call them.
"""

from __future__ import annotations

import re

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

_I32 = ir.IntType(32)
_F32 = ir.FloatType()

_PROBE = """
declare <4 x float> @llvm.fma.v4f32(<4 x float>, <4 x float>, <4 x float>)

define <4 x float> @fused(<4 x float> %x, <4 x float> %y, <4 x float> %z) {
  %sum = call <4 x float> @llvm.fma.v4f32(<4 x float> %x, <4 x float> %y, <4 x float> %z)
  ret <4 x float> %sum
}

define <16 x i32> @wide(<16 x i32> %x, <16 x i32> %y) {
  %sum = add <16 x i32> %x, %y
  ret <16 x i32> %sum
}
"""


def vector_unit(triple: str, cpu: str, features: str) -> tuple[int, bool]:
    """32-bit lanes of a vector register, and whether a fused multiply-add is one instruction.

    LLVM works a CPU's features out from its name and a list, and tells nobody; the code it makes of a
    sample shows them.
    """
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features)
    assembly = machine.emit_assembly(llvm.parse_assembly(_PROBE))
    # Integer vectors, because the first AVX has wide ones of floats only.
    lanes = {"x": 4, "y": 8, "z": 16}
    found = (lanes[name] for name in re.findall(r"vpaddd\s.*%([xyz])mm", assembly))
    # Without the instruction LLVM turns llvm.fma into calls of fmaf, a hundred times slower.
    return max(found, default=4), "fmaf" not in assembly


# What Numba compiles for: this machine's CPU, or the one that NUMBA_CPU_NAME and NUMBA_CPU_FEATURES name.
_TARGET = cpu_target.target_context.codegen().magic_tuple()
LANES, HAS_FMA = vector_unit(*_TARGET)
# The 8-bit dot products of AVX-512 (VNNI): four multiply-adds a lane and instruction.
HAS_DOT = LANES == 16 and "+avx512vnni" in _TARGET[2].split(",")


def emit_fma(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    """``x * y + z`` on scalars or vectors: fused where the CPU can."""
    if not HAS_FMA:
        return builder.fadd(builder.fmul(x, y), z)
    suffix = "f32" if x.type == _F32 else f"v{x.type.count}f32"
    fnty = ir.FunctionType(x.type, [x.type] * 3)
    fma = cgutils.get_or_insert_function(builder.module, fnty, f"llvm.fma.{suffix}")
    return builder.call(fma, [x, y, z])


def emit_unary(builder: ir.IRBuilder, name: str, x: ir.Value) -> ir.Value:
    """A one-argument LLVM float function (``sqrt``, ``rint``, ...) on a scalar or vector."""
    suffix = "f32" if x.type == _F32 else f"v{x.type.count}f32"
    fnty = ir.FunctionType(x.type, [x.type])
    return builder.call(cgutils.get_or_insert_function(builder.module, fnty, f"llvm.{name}.{suffix}"), [x])


@intrinsic
def fma32(typingctx, x, y, z):
    """``x * y + z`` in float32."""
    return types.float32(types.float32, types.float32, types.float32), lambda c, b, s, a: emit_fma(b, *a)


@intrinsic
def sqrt32(typingctx, x):
    """Square root of a float32."""
    return types.float32(types.float32), lambda c, b, s, a: emit_unary(b, "sqrt", a[0])


@intrinsic
def add32(typingctx, x, y):
    """``x + y`` modulo 2**32."""
    return types.uint32(types.uint32, types.uint32), lambda c, b, s, a: b.add(*a)


@intrinsic
def sub32(typingctx, x, y):
    """``x - y`` modulo 2**32."""
    return types.uint32(types.uint32, types.uint32), lambda c, b, s, a: b.sub(*a)


@intrinsic
def mul32(typingctx, x, y):
    """``x * y`` modulo 2**32."""
    return types.uint32(types.uint32, types.uint32), lambda c, b, s, a: b.mul(*a)


@intrinsic
def and32(typingctx, x, y):
    """Bitwise and of 32-bit words."""
    return types.uint32(types.uint32, types.uint32), lambda c, b, s, a: b.and_(*a)


@intrinsic
def shl32(typingctx, x, n):
    """``x << n`` of a 32-bit word."""
    return types.uint32(types.uint32, types.uint32), lambda c, b, s, a: b.shl(*a)


@intrinsic
def shr32(typingctx, x, n):
    """``x >> n`` of a 32-bit word, zeros shifted in."""
    return types.uint32(types.uint32, types.uint32), lambda c, b, s, a: b.lshr(*a)


@intrinsic
def bits_of(typingctx, x):
    """The 32 bits of a float32."""
    return types.uint32(types.float32), lambda c, b, s, a: b.bitcast(a[0], _I32)


@intrinsic
def float_of_bits(typingctx, x):
    """The float32 with these 32 bits."""
    return types.float32(types.uint32), lambda c, b, s, a: b.bitcast(a[0], _F32)


@intrinsic
def float_of_uint(typingctx, x):
    """The float32 nearest to an unsigned 32-bit integer."""
    return types.float32(types.uint32), lambda c, b, s, a: b.uitofp(a[0], _F32)


@intrinsic
def float_of_int(typingctx, x):
    """The float32 nearest to a 32-bit word read as a signed integer."""
    return types.float32(types.uint32), lambda c, b, s, a: b.sitofp(a[0], _F32)


@intrinsic
def nearest_int(typingctx, x):
    """The 32-bit word of the signed integer nearest to a float32, halves to even ones."""

    def codegen(c, b, s, a):
        return b.fptosi(emit_unary(b, "rint", a[0]), _I32)

    return types.uint32(types.float32), codegen


@intrinsic
def flip_sign(typingctx, x, signbit):
    """``x`` with its sign bit xor-ed by ``signbit`` (0 or 0x80000000)."""

    def codegen(c, b, s, a):
        return b.bitcast(b.xor(b.bitcast(a[0], _I32), a[1]), _F32)

    return types.float32(types.float32, types.uint32), codegen


@intrinsic
def prefer_wide_vectors(typingctx):
    """Let LLVM use this CPU's full vector width in the function that calls this.

    For Intel server CPUs LLVM otherwise stops at 256 bits, half of what they have.
    """

    def codegen(context, builder, signature, args):
        # llvmlite knows no string attributes; its attribute set prints what it holds.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def take_next(typingctx, counter):
    """The first element of an int64 array, which is raised by one in the same indivisible step."""

    def codegen(context, builder, signature, args):
        pointer = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", pointer, ir.IntType(64)(1), "monotonic")

    return types.int64(counter), codegen
