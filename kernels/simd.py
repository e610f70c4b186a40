"""The product micro-kernel: explicit vector code for the innermost loop.

Inputs stand side by side in vector lanes, features follow each other
("feature-major, inputs innermost"): activations are ``[feature][LANES_IN]``,
weights stay as they are, ``[output][row]``, because each weight is broadcast.
So one layer's output is the next one's input as it stands, and every
elementwise step vectorises over inputs.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .intrinsics import emit_fma, has_feature

_F32 = ir.FloatType()
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)


def _shape() -> tuple[int, int, int]:
    """Lanes of a vector, vectors of inputs and outputs that fill this CPU's registers."""
    if has_feature("avx512f"):
        return 16, 3, 8
    if has_feature("avx2"):
        return 8, 3, 4
    return 4, 3, 4


VECTOR, VECTORS, OUTPUTS = _shape()
WIDTH = VECTOR * VECTORS
"""Inputs that one block of activations holds side by side."""


def _splat(builder: ir.IRBuilder, scalar: ir.Value) -> ir.Value:
    vector = ir.VectorType(scalar.type, VECTOR)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, _I32(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_I32, VECTOR), [0] * VECTOR))


def _vector_at(builder: ir.IRBuilder, pointer: ir.Value, offset: ir.Value) -> ir.Value:
    return builder.bitcast(builder.gep(pointer, [offset]), ir.VectorType(_F32, VECTOR).as_pointer())


def make_product(outputs: int):
    """A micro-kernel ``C (+)= W X`` for a given number of outputs.

    The intrinsic takes ``(w, w_at, stride, x, x_at, c, c_at, rows, accumulate)``: flat
    float32 arrays with offsets, ``c[c_at + o * WIDTH + i] (+)= sum_k w[w_at + o * stride + k]
    * x[x_at + k * WIDTH + i]`` for ``o < outputs``, ``i < WIDTH``, ``k < rows``.
    Each sum runs over ``k`` in order, one fused multiply-add a term, whatever the lanes,
    and is added to what ``c`` holds only at its end, as a digital adder behind a tile does.
    """

    @intrinsic
    def product(typingctx, w, w_at, stride, x, x_at, c, c_at, rows, accumulate):
        i64 = types.int64
        signature = types.void(w, i64, i64, x, i64, c, i64, i64, types.boolean)

        def codegen(context, builder, signature, args):
            b = builder
            w_ptr, x_ptr, c_ptr = (
                context.make_array(signature.args[i])(context, b, args[i]).data for i in (0, 3, 5)
            )
            w_at, stride, x_at, c_at, rows = args[1], args[2], args[4], args[6], args[7]
            accumulate = args[8]
            vector = ir.VectorType(_F32, VECTOR)
            zero = ir.Constant(vector, [_F32(0.0)] * VECTOR)
            w_rows = [b.gep(w_ptr, [b.add(w_at, b.mul(stride, _I64(o)))]) for o in range(outputs)]
            before = b.block
            loop = b.append_basic_block("rows")
            done = b.append_basic_block("rows.done")
            b.branch(loop)
            b.position_at_end(loop)
            k = b.phi(_I64)
            k.add_incoming(_I64(0), before)
            at = b.phi(_I64)
            at.add_incoming(x_at, before)
            sums = [[b.phi(vector) for _ in range(VECTORS)] for _ in range(outputs)]
            xs = [b.load(_vector_at(b, x_ptr, b.add(at, _I64(v * VECTOR))), align=4) for v in range(VECTORS)]
            new = []
            for o in range(outputs):
                weight = _splat(b, b.load(b.gep(w_rows[o], [k])))
                new.append([emit_fma(b, weight, xs[v], sums[o][v]) for v in range(VECTORS)])
            k_next = b.add(k, _I64(1))
            k.add_incoming(k_next, loop)
            at.add_incoming(b.add(at, _I64(WIDTH)), loop)
            for o in range(outputs):
                for v in range(VECTORS):
                    sums[o][v].add_incoming(zero, before)
                    sums[o][v].add_incoming(new[o][v], loop)
            b.cbranch(b.icmp_signed("<", k_next, rows), loop, done)
            b.position_at_end(done)
            for o in range(outputs):
                for v in range(VECTORS):
                    place = _vector_at(b, c_ptr, b.add(c_at, _I64(o * WIDTH + v * VECTOR)))
                    value = b.fadd(b.load(place, align=4), new[o][v])
                    b.store(b.select(accumulate, value, new[o][v]), place, align=4)
            return context.get_dummy_value()

        return signature, codegen

    return product
