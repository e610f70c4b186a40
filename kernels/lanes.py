"""Vectors of ``LANES`` numbers, float32 or float64, as values of compiled functions.

LLVM unrolls a loop over so few elements before it would vectorise it. Named vector operations leave it no
choice, and loops over them read like scalar ones.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

from . import intrinsics

LANES = 16
ROWS = 8 if intrinsics.LANES == LANES else 4
"""Rows of :func:`add_products`, whose sums fill this CPU's registers."""

_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_FLOAT = ir.FloatType()
# Fused where the CPU can, without a call where it cannot.
_FUSED = ("contract",)


class _Vector(types.Type):
    def __init__(self, number):
        self.number = number
        super().__init__(name=f"vector({LANES} x {number})")


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        number = manager.lookup(vector.number).get_value_type()
        super().__init__(manager, vector, ir.VectorType(number, LANES))


def _data(context, builder, signature, args, i):
    return context.make_array(signature.args[i])(context, builder, args[i]).data


def _splat(builder: ir.IRBuilder, scalar: ir.Value) -> ir.Value:
    undefined = ir.Constant(ir.VectorType(scalar.type, LANES), ir.Undefined)
    first = builder.insert_element(undefined, scalar, _I32(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))


def _place(builder: ir.IRBuilder, pointer: ir.Value, at: ir.Value) -> tuple[ir.Value, int]:
    """Where a vector stands in an array, and the alignment that is certain."""
    number = pointer.type.pointee
    place = builder.bitcast(builder.gep(pointer, [at]), ir.VectorType(number, LANES).as_pointer())
    return place, 4 if number == _FLOAT else 8


def _load(builder: ir.IRBuilder, pointer: ir.Value, at: ir.Value) -> ir.Value:
    place, align = _place(builder, pointer, at)
    return builder.load(place, align=align)


def _store(builder: ir.IRBuilder, value: ir.Value, pointer: ir.Value, at: ir.Value) -> None:
    place, align = _place(builder, pointer, at)
    builder.store(value, place, align=align)


def _multiply_add(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    return builder.fadd(builder.fmul(x, y, flags=_FUSED), z, flags=_FUSED)


@intrinsic
def load(typingctx, array, at):
    """The vector that starts at element ``at``."""
    signature = _Vector(array.dtype)(array, types.int64)
    return signature, lambda c, b, s, a: _load(b, _data(c, b, s, a, 0), a[1])


@intrinsic
def store(typingctx, array, at, x):
    """Write a vector from element ``at`` on."""

    def codegen(c, b, s, a):
        _store(b, a[2], _data(c, b, s, a, 0), a[1])
        return c.get_dummy_value()

    return types.void(array, types.int64, x), codegen


@intrinsic
def splat(typingctx, number):
    """A vector of copies of a number."""
    return _Vector(number)(number), lambda c, b, s, a: _splat(b, a[0])


@intrinsic
def zeros(typingctx, array):
    """A vector of zeros of the type of an array's elements."""
    return _Vector(array.dtype)(array), lambda c, b, s, a: ir.Constant(c.get_value_type(s.return_type), None)


@intrinsic
def add(typingctx, x, y):
    """``x + y``."""
    return x(x, x), lambda c, b, s, a: b.fadd(*a)


@intrinsic
def multiply(typingctx, x, y):
    """``x * y``."""
    return x(x, x), lambda c, b, s, a: b.fmul(*a)


@intrinsic
def multiply_add(typingctx, x, y, z):
    """``x * y + z``."""
    return x(x, x, x), lambda c, b, s, a: _multiply_add(b, *a)


@intrinsic
def inverse(typingctx, x):
    """``1 / x``."""

    def codegen(c, b, s, a):
        return b.fdiv(_splat(b, a[0].type.element(1.0)), a[0])

    return x(x), codegen


@intrinsic
def total(typingctx, x):
    """Sum of a vector's elements."""

    def codegen(c, b, s, a):
        number = a[0].type.element
        name = f"llvm.vector.reduce.fadd.v{LANES}{'f32' if number == _FLOAT else 'f64'}"
        fnty = ir.FunctionType(number, [number, a[0].type])
        reduce = cgutils.get_or_insert_function(b.module, fnty, name)
        return b.call(reduce, [number(0.0), a[0]], fastmath=("reassoc",))

    return x.number(x), codegen


@intrinsic
def head(typingctx, x, count):
    """The first ``count`` elements of a vector, and zeros behind them."""

    def codegen(c, b, s, a):
        places = ir.Constant(ir.VectorType(_I64, LANES), list(range(LANES)))
        inside = b.icmp_signed("<", places, _splat(b, a[1]))
        return b.select(inside, a[0], ir.Constant(a[0].type, None))

    return x(x, types.int64), codegen


@intrinsic
def add_products(typingctx, y, y_at, y_step, w, w_at, w_step, x, x_at, x_step, terms, vectors):
    """Add a product to ``ROWS`` rows: ``y[r] += sum over k of w[k, r] * x[k]``.

    Row ``r`` of ``y`` stands at ``y_at + r * y_step`` and is so many ``vectors`` long; ``w[k, r]`` stands at
    ``w_at + k * w_step + r`` and row ``k`` of ``x`` at ``x_at + k * x_step``. The sum over the ``terms``, of
    which there is at least one, is formed before it is added.
    """
    i64 = types.int64
    signature = types.void(y, i64, i64, w, i64, i64, x, i64, i64, i64, i64)

    def codegen(context, builder, signature, args):
        b = builder
        y_ptr, w_ptr, x_ptr = (_data(context, b, signature, args, i) for i in (0, 3, 6))
        y_at, y_step, w_at, w_step, x_at, x_step, terms, vectors = (
            args[i] for i in (1, 2, 4, 5, 7, 8, 9, 10)
        )
        nothing = ir.Constant(ir.VectorType(x_ptr.type.pointee, LANES), None)
        with cgutils.for_range(b, vectors) as outer:
            shift = b.mul(outer.index, _I64(LANES))
            places = [b.add(b.add(y_at, shift), b.mul(y_step, _I64(r))) for r in range(ROWS)]
            held = [_load(b, y_ptr, place) for place in places]
            before, loop, done = b.block, b.append_basic_block("term"), b.append_basic_block("done")
            b.branch(loop)
            b.position_at_end(loop)
            k = b.phi(_I64)
            sums = [b.phi(nothing.type) for _ in places]
            vector = _load(b, x_ptr, b.add(b.add(x_at, shift), b.mul(x_step, k)))
            weights = b.gep(w_ptr, [b.add(w_at, b.mul(w_step, k))])
            new = []
            for r in range(ROWS):
                weight = _splat(b, b.load(b.gep(weights, [_I64(r)])))
                new.append(_multiply_add(b, weight, vector, sums[r]))
            following = b.add(k, _I64(1))
            b.cbranch(b.icmp_signed("<", following, terms), loop, done)
            k.add_incoming(_I64(0), before)
            k.add_incoming(following, loop)
            for r in range(ROWS):
                sums[r].add_incoming(nothing, before)
                sums[r].add_incoming(new[r], loop)
            b.position_at_end(done)
            for r in range(ROWS):
                _store(b, b.fadd(held[r], new[r]), y_ptr, places[r])
        return context.get_dummy_value()

    return signature, codegen
