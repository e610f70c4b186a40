"""Explicit vector code for the innermost loops: the product and the digital end of a layer.

A vector holds one value of as many inputs as the CPU has lanes ("inputs innermost"): activations are
``[row][column][channel][VECTOR]``. Weights stay as they are, ``[output][row]``, because each weight is
broadcast. So one layer's output is the next one's input as it stands, and everything else
vectorises over inputs too.
"""

from __future__ import annotations

from collections import namedtuple

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .intrinsics import HAS_DOT, LANES, emit_fma, emit_unary

_F32 = ir.FloatType()
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)


def _shape() -> tuple[int, int, int]:
    """Lanes of a vector, and vectors and outputs whose products fill this CPU's registers."""
    # AVX-512 has 32 registers, the others 16.
    return LANES, 3, 8 if LANES == 16 else 4


VECTOR, VECTORS, OUTPUTS = _shape()
START, ADD, RESUME = range(3)


def _splat(builder: ir.IRBuilder, scalar: ir.Value) -> ir.Value:
    vector = ir.VectorType(scalar.type, VECTOR)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, _I32(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_I32, VECTOR), [0] * VECTOR))


def _vector_at(builder: ir.IRBuilder, pointer: ir.Value, offset: ir.Value) -> ir.Value:
    return builder.bitcast(builder.gep(pointer, [offset]), ir.VectorType(_F32, VECTOR).as_pointer())


def _load(builder: ir.IRBuilder, pointer: ir.Value, offset: ir.Value) -> ir.Value:
    return builder.load(_vector_at(builder, pointer, offset), align=4)


End = namedtuple(
    "End",
    [
        "y",  # float32; written
        "y_at",  # first channel of the first place
        "y_step",  # to the next place
        "adds",  # whether another input is added
        "other",  # float32
        "other_at",
        "other_step",
        "scales",  # float32, one a channel
        "shifts",  # float32
        "at",  # in scales and shifts
        "factor",  # of all scales
        "lowest",  # result
        "highest",
    ],
)
"""The digital end of a layer: ``y = clip(factor * scale[c] * sum + shift[c] (+ other), lowest, highest)``.

``y`` and ``other`` hold a vector a channel of each place. What is not a number stays so.
"""


class _Ending:
    """Code of an :data:`End`."""

    def __init__(self, context, builder: ir.IRBuilder, kind: types.NamedTuple, end: ir.Value) -> None:
        self.builder = builder
        values = [builder.extract_value(end, i) for i in range(len(End._fields))]
        for i, own in enumerate(kind.types):
            if isinstance(own, types.Array):
                values[i] = context.make_array(own)(context, builder, values[i]).data
        self.end = End(*values)
        self.lowest, self.highest = (_splat(builder, bound) for bound in values[-2:])

    def of_channel(self, channel: ir.Value) -> tuple[ir.Value, ir.Value]:
        """What sums of a channel are multiplied with, and what is added."""
        b, end = self.builder, self.end
        here = b.add(end.at, channel)
        times = b.fmul(end.factor, b.load(b.gep(end.scales, [here])))
        return _splat(b, times), _splat(b, b.load(b.gep(end.shifts, [here])))

    def write(
        self,
        sums: ir.Value,
        coefficients: tuple[ir.Value, ir.Value],
        place: ir.Value,
        channel: ir.Value,
        adds: bool,
    ) -> None:
        """What becomes of a place's sums of a channel; ``adds`` is what ``end.adds`` will say."""
        b, end = self.builder, self.end
        shift = b.mul(channel, _I64(VECTOR))

        def at(first: ir.Value, step: ir.Value) -> ir.Value:
            return b.add(first, b.add(b.mul(place, step), shift))

        times, plus = coefficients
        value = emit_fma(b, times, sums, plus)
        if adds:
            value = b.fadd(value, _load(b, end.other, at(end.other_at, end.other_step)))
        value = b.select(b.fcmp_ordered("<", value, self.lowest), self.lowest, value)
        value = b.select(b.fcmp_ordered(">", value, self.highest), self.highest, value)
        b.store(value, _vector_at(b, end.y, at(end.y_at, end.y_step)), align=4)


def make_product(outputs: int, vectors: int):
    """A micro-kernel ``C (+)= W X`` for a given number of outputs and vectors.

    The intrinsic takes ``(w, w_at, stride, x, x_at, x_step, c, c_at, c_step, offsets, runs, first, count,
    how, finishes, end, place, channel)``. Vector ``v`` of row ``k`` of ``X`` stands at ``x_at + v * x_step``
    plus the place of the row: rows come in ``count`` segments from ``first`` on, segment ``s`` holding
    ``runs[s]`` rows of ``VECTOR`` floats that follow each other from ``offsets[s]`` on. Output ``o`` of
    vector ``v`` is written to ``c_at + v * c_step + o * VECTOR``; its weights stand at ``w_at + o * stride``,
    one a row.

    Each sum runs over the rows in order, one fused multiply-add a term, whatever the lanes. ``how`` is
    ``START`` (write the sums), ``ADD`` (at its end add each to what ``c`` holds, as a digital adder behind a
    tile does) or ``RESUME`` (go on from what ``c`` holds, as if the rows before had been part of this call).
    Sums that it ``finishes`` go through the ``end`` of a layer instead, while they are in the registers: as
    those of the places from ``place`` on and the channels from ``channel`` on.
    """

    @intrinsic
    def product(
        typingctx, w, w_at, stride, x, x_at, x_step, c, c_at, c_step, offsets, runs, first, count, how,
        finishes, end, place, channel,
    ):  # fmt: skip
        i64 = types.int64
        signature = types.void(
            w, i64, i64, x, i64, i64, c, i64, i64, offsets, runs, i64, i64, i64, types.boolean, end, i64, i64
        )

        def codegen(context, builder, signature, args):
            b = builder

            def data(i):
                return context.make_array(signature.args[i])(context, b, args[i]).data

            w_ptr, x_ptr, c_ptr, offsets_ptr, runs_ptr = (data(i) for i in (0, 3, 6, 9, 10))
            w_at, stride, x_at, x_step, c_at, c_step = (args[i] for i in (1, 2, 4, 5, 7, 8))
            first, count, how, finishes = args[11:15]
            place, channel = args[16:18]
            vector = ir.VectorType(_F32, VECTOR)
            zero = ir.Constant(vector, [_F32(0.0)] * VECTOR)
            cells = [(o, v) for o in range(outputs) for v in range(vectors)]
            w_rows = [b.gep(w_ptr, [b.add(w_at, b.mul(stride, _I64(o)))]) for o in range(outputs)]
            x_rows = [b.gep(x_ptr, [b.add(x_at, b.mul(x_step, _I64(v)))]) for v in range(vectors)]
            places = {(o, v): b.add(c_at, b.add(b.mul(c_step, _I64(v)), _I64(o * VECTOR))) for o, v in cells}
            last = b.add(first, count)
            before = b.block
            resume = b.append_basic_block("resume")
            segment = b.append_basic_block("segment")
            row = b.append_basic_block("row")
            end = b.append_basic_block("segment.end")
            done = b.append_basic_block("done")
            add = b.append_basic_block("add")
            complete = b.append_basic_block("complete")
            finish = b.append_basic_block("finish")
            finish_plain = b.append_basic_block("finish.plain")
            finish_add = b.append_basic_block("finish.add")
            write = b.append_basic_block("write")
            finished = b.append_basic_block("finished")
            b.cbranch(b.icmp_signed("==", how, _I64(RESUME)), resume, segment)

            b.position_at_end(resume)
            resumed = {cell: _load(b, c_ptr, places[cell]) for cell in cells}
            b.branch(segment)

            b.position_at_end(segment)
            s = b.phi(_I64)
            k0 = b.phi(_I64)
            so_far = {cell: b.phi(vector) for cell in cells}
            offset = b.load(b.gep(offsets_ptr, [s]))
            stop = b.add(k0, b.load(b.gep(runs_ptr, [s])))
            b.branch(row)

            b.position_at_end(row)
            k = b.phi(_I64)
            at = b.phi(_I64)
            sums = {cell: b.phi(vector) for cell in cells}
            xs = [_load(b, x_rows[v], at) for v in range(vectors)]
            new = {}
            for o in range(outputs):
                weight = _splat(b, b.load(b.gep(w_rows[o], [k])))
                for v in range(vectors):
                    new[o, v] = emit_fma(b, weight, xs[v], sums[o, v])
            k_next = b.add(k, _I64(1))
            at_next = b.add(at, _I64(VECTOR))
            b.cbranch(b.icmp_signed("<", k_next, stop), row, end)

            b.position_at_end(end)
            s_next = b.add(s, _I64(1))
            b.cbranch(b.icmp_signed("<", s_next, last), segment, done)

            for origin in (before, resume):
                s.add_incoming(first, origin)
                k0.add_incoming(_I64(0), origin)
            s.add_incoming(s_next, end)
            k0.add_incoming(k_next, end)
            k.add_incoming(k0, segment)
            k.add_incoming(k_next, row)
            at.add_incoming(offset, segment)
            at.add_incoming(at_next, row)
            for cell in cells:
                so_far[cell].add_incoming(zero, before)
                so_far[cell].add_incoming(resumed[cell], resume)
                so_far[cell].add_incoming(new[cell], end)
                sums[cell].add_incoming(so_far[cell], segment)
                sums[cell].add_incoming(new[cell], row)

            # One branch, where LLVM would make one of every select.
            b.position_at_end(done)
            b.cbranch(b.icmp_signed("==", how, _I64(ADD)), add, complete)
            b.position_at_end(add)
            added = {cell: b.fadd(_load(b, c_ptr, places[cell]), new[cell]) for cell in cells}
            b.branch(complete)
            b.position_at_end(complete)
            total = {cell: b.phi(vector) for cell in cells}
            for cell in cells:
                total[cell].add_incoming(new[cell], done)
                total[cell].add_incoming(added[cell], add)
            b.cbranch(finishes, finish, write)
            b.position_at_end(finish)
            ending = _Ending(context, b, signature.args[15], args[15])
            b.cbranch(ending.end.adds, finish_add, finish_plain)
            for block, adds in ((finish_plain, False), (finish_add, True)):
                b.position_at_end(block)
                for o in range(outputs):
                    own = b.add(channel, _I64(o))
                    coefficients = ending.of_channel(own)
                    for v in range(vectors):
                        ending.write(total[o, v], coefficients, b.add(place, _I64(v)), own, adds)
                b.branch(finished)
            b.position_at_end(write)
            for cell in cells:
                b.store(total[cell], _vector_at(b, c_ptr, places[cell]), align=4)
            b.branch(finished)
            b.position_at_end(finished)
            return context.get_dummy_value()

        return signature, codegen

    return product


def make_finish(add: bool):
    """:data:`End` of sums in memory.

    The intrinsic takes ``(end, sums, at, step, places, channels)``: sums stand from ``at`` on, a vector a
    channel, and those of the next place ``step`` behind. ``add`` is what ``end.adds`` says.
    """

    @intrinsic
    def finish(typingctx, end, sums, at, step, places, channels):
        i64 = types.int64
        signature = types.void(end, sums, i64, i64, i64, i64)

        def codegen(context, builder, signature, args):
            b = builder
            ending = _Ending(context, b, signature.args[0], args[0])
            sums_ptr = context.make_array(signature.args[1])(context, b, args[1]).data
            at, step, places, channels = args[2:]
            with cgutils.for_range(b, places) as outer, cgutils.for_range(b, channels) as inner:
                place = b.add(b.mul(outer.index, step), b.mul(inner.index, _I64(VECTOR)))
                value = _load(b, sums_ptr, b.add(at, place))
                ending.write(value, ending.of_channel(inner.index), outer.index, inner.index, add)
            return context.get_dummy_value()

        return signature, codegen

    return finish


def _code(
    builder: ir.IRBuilder, value: ir.Value, inverse: ir.Value, lowest: ir.Value, highest: ir.Value
) -> tuple[ir.Value, ir.Value]:
    """The code that a converter gives a value, and 1 where it had to be clipped."""
    b = builder
    code = emit_unary(b, "rint", b.fmul(value, inverse))
    held = b.select(b.fcmp_ordered("<", code, lowest), lowest, code)
    held = b.select(b.fcmp_ordered(">", held, highest), highest, held)
    return held, b.zext(b.fcmp_ordered("!=", held, code), ir.VectorType(_I32, VECTOR))


def make_quantise(add: bool):
    """A converter: values to the nearest of equally spaced levels within its range.

    The intrinsic takes ``(x, x_at, y, y_at, count, inverse, step, lowest, highest, lanes)`` and writes, or
    with ``add`` adds, ``step * clip(round(x * inverse), lowest, highest)`` for ``count`` vectors; halves go
    to even codes. ``lanes``, int32, counts what was clipped in each lane. What is not a number stays so.
    """

    @intrinsic
    def quantise(typingctx, x, x_at, y, y_at, count, inverse, step, lowest, highest, lanes):
        i64, f32 = types.int64, types.float32
        signature = types.void(x, i64, y, i64, i64, f32, f32, f32, f32, lanes)

        def codegen(context, builder, signature, args):
            b = builder
            x_ptr, y_ptr, lanes_ptr = (
                context.make_array(signature.args[i])(context, b, args[i]).data for i in (0, 2, 9)
            )
            x_at, y_at, count = args[1], args[3], args[4]
            inverse, step, lowest, highest = (_splat(b, args[i]) for i in range(5, 9))
            counters = ir.VectorType(_I32, VECTOR)
            counted = b.bitcast(lanes_ptr, counters.as_pointer())
            clipped = cgutils.alloca_once_value(b, b.load(counted, align=4))
            with cgutils.for_range(b, count) as loop:
                place = b.mul(loop.index, _I64(VECTOR))
                value = _load(b, x_ptr, b.add(x_at, place))
                held, beyond = _code(b, value, inverse, lowest, highest)
                b.store(b.add(b.load(clipped), beyond), clipped)
                target = _vector_at(b, y_ptr, b.add(y_at, place))
                before = b.load(target, align=4)
                b.store(emit_fma(b, held, step, before) if add else b.fmul(held, step), target, align=4)
            b.store(b.load(clipped), counted, align=4)
            return context.get_dummy_value()

        return signature, codegen

    return quantise


def _dot(builder: ir.IRBuilder, sums: ir.Value, codes: ir.Value, deltas: ir.Value) -> ir.Value:
    """Add to each lane the dot product of its four unsigned bytes with the four signed ones of ``deltas``."""
    vector = ir.VectorType(_I32, VECTOR)
    if HAS_DOT:
        bytes_ = ir.VectorType(ir.IntType(8), 4 * VECTOR)
        fnty = ir.FunctionType(vector, [vector, bytes_, bytes_])
        dot = cgutils.get_or_insert_function(builder.module, fnty, "llvm.x86.avx512.vpdpbusd.512")
        return builder.call(
            dot, [sums, builder.bitcast(codes, bytes_), builder.bitcast(_splat(builder, deltas), bytes_)]
        )
    for byte in range(4):
        own = builder.ashr(builder.shl(deltas, _I32(24 - 8 * byte)), _I32(24))
        code = builder.lshr(codes, ir.Constant(vector, [8 * byte] * VECTOR))
        code = builder.and_(code, ir.Constant(vector, [255] * VECTOR))
        sums = builder.add(sums, builder.mul(code, _splat(builder, own)))
    return sums


def _prefetch(builder: ir.IRBuilder, pointer: ir.Value) -> None:
    """Fetch what will be read."""
    byte = ir.IntType(8).as_pointer()
    fnty = ir.FunctionType(ir.VoidType(), [byte, _I32, _I32, _I32])
    fetch = cgutils.get_or_insert_function(builder.module, fnty, "llvm.prefetch.p0")
    builder.call(fetch, [builder.bitcast(pointer, byte), _I32(0), _I32(3), _I32(1)])


def make_response(outputs: int, vectors: int, read: bool):
    """A micro-kernel for what small changes of the weights add to column sums, in 8-bit integers.

    The intrinsic takes ``(deltas, d_at, stride, starts, scales, j, codes, x_at, x_step, quads, base,
    base_at, base_step, c, c_at, c_step, inverse, step, lowest, highest, begins, lanes)``. Rows come four at
    a time: ``deltas``, int8, holds those of output ``o`` from byte ``d_at + o * stride`` on; ``codes``,
    uint8, holds vector ``v`` from byte ``x_at + v * x_step`` on, lane after lane. Output ``o`` of vector
    ``v`` is written to ``c_at + v * c_step + o * VECTOR``: ``base + scales[j + o] * (starts[j + o] + sum of
    codes * deltas)``, with ``base`` laid out as ``c``. The integer sums are exact. With ``read`` the sums
    pass a converter as in :func:`make_quantise`, with ``VECTOR`` counters a vector in ``lanes``, and are
    added to ``c``, or written where it ``begins``.
    """

    @intrinsic
    def response(
        typingctx, deltas, d_at, stride, starts, scales, j, codes, x_at, x_step, quads,
        base, base_at, base_step, c, c_at, c_step, inverse, step, lowest, highest, begins, lanes,
    ):  # fmt: skip
        i64, f32 = types.int64, types.float32
        signature = types.void(
            deltas, i64, i64, starts, scales, i64, codes, i64, i64, i64,
            base, i64, i64, c, i64, i64, f32, f32, f32, f32, types.boolean, lanes,
        )  # fmt: skip

        def codegen(context, builder, signature, args):
            b = builder

            def data(i):
                return context.make_array(signature.args[i])(context, b, args[i]).data

            deltas_ptr, starts_ptr, scales_ptr, codes_ptr, base_ptr, c_ptr, lanes_ptr = (
                data(i) for i in (0, 3, 4, 6, 10, 13, 21)
            )
            d_at, stride, j, x_at, x_step, quads = (args[i] for i in (1, 2, 5, 7, 8, 9))
            base_at, base_step, c_at, c_step = (args[i] for i in (11, 12, 14, 15))
            integers = ir.VectorType(_I32, VECTOR)
            cells = [(o, v) for o in range(outputs) for v in range(vectors)]

            def of_output(pointer, o):
                return b.load(b.gep(pointer, [b.add(j, _I64(o))]))

            def words(pointer, at, kind):
                return b.bitcast(b.gep(pointer, [at]), kind.as_pointer())

            rows = [words(deltas_ptr, b.add(d_at, b.mul(stride, _I64(o))), _I32) for o in range(outputs)]
            xs = [words(codes_ptr, b.add(x_at, b.mul(x_step, _I64(v))), integers) for v in range(vectors)]
            start = [_splat(b, of_output(starts_ptr, o)) for o in range(outputs)]
            # The exact sums come from far; they are there when the integers have been added up.
            beside = {
                (o, v): b.add(base_at, b.add(b.mul(base_step, _I64(v)), _I64(o * VECTOR))) for o, v in cells
            }
            for cell in cells:
                _prefetch(b, b.gep(base_ptr, [beside[cell]]))
            before, loop, done = b.block, b.append_basic_block("quad"), b.append_basic_block("done")
            b.branch(loop)
            b.position_at_end(loop)
            q = b.phi(_I64)
            sums = {cell: b.phi(integers) for cell in cells}
            inputs = [b.load(b.gep(x, [q]), align=4) for x in xs]
            new = {}
            for o in range(outputs):
                own = b.load(b.gep(rows[o], [q]), align=4)
                for v in range(vectors):
                    new[o, v] = _dot(b, sums[o, v], inputs[v], own)
            following = b.add(q, _I64(1))
            b.cbranch(b.icmp_signed("<", following, quads), loop, done)
            q.add_incoming(_I64(0), before)
            q.add_incoming(following, loop)
            for o, v in cells:
                sums[o, v].add_incoming(start[o], before)
                sums[o, v].add_incoming(new[o, v], loop)
            b.position_at_end(done)
            if read:
                inverse, step, lowest, highest = (_splat(b, args[i]) for i in range(16, 20))
                nothing = ir.Constant(step.type, [_F32(0.0)] * VECTOR)
                counters = [words(lanes_ptr, _I64(v * VECTOR), integers) for v in range(vectors)]
                clipped = [b.load(counter, align=4) for counter in counters]
            for o, v in cells:
                exact = _load(b, base_ptr, beside[o, v])
                scale = _splat(b, of_output(scales_ptr, o))
                value = emit_fma(b, b.sitofp(new[o, v], exact.type), scale, exact)
                place = b.add(c_at, b.add(b.mul(c_step, _I64(v)), _I64(o * VECTOR)))
                target = _vector_at(b, c_ptr, place)
                if read:
                    held, beyond = _code(b, value, inverse, lowest, highest)
                    clipped[v] = b.add(clipped[v], beyond)
                    before = b.select(args[20], nothing, b.load(target, align=4))
                    value = emit_fma(b, held, step, before)
                b.store(value, target, align=4)
            if read:
                for counter, count in zip(counters, clipped, strict=True):
                    b.store(count, counter, align=4)
            return context.get_dummy_value()

        return signature, codegen

    return response
