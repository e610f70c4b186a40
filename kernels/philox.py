"""Philox4x32-10, the counter-based generator of Random123.

J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw, "Parallel random numbers:
as easy as 1, 2, 3", SC'11, doi 10.1145/2063384.2063405. A block of four 32-bit
words is a pure function of a 128-bit counter and a 64-bit key, so a draw has an
address and no history.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .cache import compiled
from .simd import VECTOR

ROUNDS = 10
_M0 = 0xD2511F53
_M1 = 0xCD9E8D57
_W0 = 0x9E3779B9
_W1 = 0xBB67AE85

_HALF = VECTOR // 2
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_WORDS = ir.VectorType(_I32, VECTOR)
_WIDE = ir.VectorType(_I64, _HALF)


def _constant(vector: ir.VectorType, values) -> ir.Constant:
    return ir.Constant(vector, list(values))


_LOW = _constant(_WIDE, [0xFFFFFFFF] * _HALF)
_HIGH_WORDS = _constant(_WORDS, (i | 1 for i in range(VECTOR)))
_LOW_WORDS_OF_TWO = _constant(_WORDS, (i + i % 2 * (VECTOR - 1) for i in range(VECTOR)))


def make_philox(vectors: int, listed: bool = False):
    """Philox4x32-10 in explicit vector code, for ``vectors * VECTOR`` counters at a time.

    The intrinsic takes ``(out, lanes, first, c1, c2, c3, k0, k1)`` and writes to ``out[j * lanes + i]``,
    elements of 32 bits, word ``j`` of counter ``(first + i, c1, c2, c3)`` under key ``(k0, k1)``, for ``i``
    below ``lanes``, a multiple of the counters at a time. Where counters do not follow each other but are
    ``listed``, it takes an array of 32-bit elements in place of ``first``, ``lanes`` of them, which may be
    the place of the first words.

    Words travel in the low halves of 64-bit elements; the high halves carry leftovers that no step reads.
    So a product is one instruction a vector, its high word one shuffle (a shift would compete with the
    product for Intel's first vector port), and the sum with word and key one more. A vector's even and odd
    counters go side by side, and more vectors at a time fill the product's latency, given the registers.
    """

    @intrinsic
    def philox(typingctx, out, lanes, first, c1, c2, c3, k0, k1):
        u32 = types.uint32
        start = first if listed else types.uint64
        signature = types.void(out, types.int64, start, u32, u32, u32, u32, u32)

        def codegen(context, builder, signature, args):
            b = builder

            def splat(x, vector):
                undefined = ir.Constant(vector, ir.Undefined)
                mask = ir.Constant(ir.VectorType(_I32, vector.count), [0] * vector.count)
                return b.shuffle_vector(b.insert_element(undefined, x, _I32(0)), undefined, mask)

            def word(x):
                return b.bitcast(splat(x, _WORDS), _WIDE)

            def key(k, step, r):
                return b.bitcast(b.add(k, _constant(_WORDS, [r * step & 0xFFFFFFFF] * VECTOR)), _WIDE)

            def product(c, m):
                return b.mul(b.and_(c, _LOW), _constant(_WIDE, [m] * _HALF))

            def high(p):
                p = b.bitcast(p, _WORDS)
                return b.bitcast(b.shuffle_vector(p, p, _HIGH_WORDS), _WIDE)

            pointer = context.make_array(signature.args[0])(context, b, args[0]).data
            lanes, first = args[1:3]
            others = [word(c) for c in args[3:6]]
            k0, k1 = (splat(k, _WORDS) for k in args[6:8])
            zero, step = _I64(0), _I64(vectors * VECTOR)
            if listed:
                counters = context.make_array(signature.args[2])(context, b, first).data
            with cgutils.for_range_slice(b, zero, lanes, step) as (i, _):
                blocks = []
                for v in range(vectors):
                    if listed:
                        place = b.gep(counters, [b.add(i, _I64(v * VECTOR))])
                        even = b.bitcast(b.load(b.bitcast(place, _WORDS.as_pointer()), align=4), _WIDE)
                        blocks += [(even, *others), (b.lshr(even, _constant(_WIDE, [32] * _HALF)), *others)]
                        continue
                    start = splat(b.add(first, i), _WIDE)
                    for odd in range(2):
                        c0 = b.add(start, _constant(_WIDE, (v * VECTOR + 2 * n + odd for n in range(_HALF))))
                        blocks.append((c0, *others))
                for r in range(ROUNDS):
                    key0, key1 = key(k0, _W0, r), key(k1, _W1, r)
                    for n, (c0, c1, c2, c3) in enumerate(blocks):
                        p0, p1 = product(c0, _M0), product(c2, _M1)
                        c0 = b.xor(b.xor(high(p1), c1), key0)
                        c2 = b.xor(b.xor(high(p0), c3), key1)
                        blocks[n] = c0, p1, c2, p0
                for v in range(vectors):
                    for j, (even, odd) in enumerate(zip(*blocks[2 * v : 2 * v + 2], strict=True)):
                        both = b.shuffle_vector(
                            b.bitcast(even, _WORDS), b.bitcast(odd, _WORDS), _LOW_WORDS_OF_TWO
                        )
                        at = b.add(b.add(i, b.mul(lanes, _I64(j))), _I64(v * VECTOR))
                        b.store(both, b.bitcast(b.gep(pointer, [at]), _WORDS.as_pointer()), align=4)
            return context.get_dummy_value()

        return signature, codegen

    return philox


philox = make_philox(1)


@compiled(allocates=True)
def philox_words(counters, key):
    """Philox4x32-10 words of given counters, for tests and inspection.

    Parameters
    ----------
    counters : ndarray of uint32, shape (n, 4)
    key : ndarray of uint32, shape (2,)

    Returns
    -------
    ndarray of uint32, shape (n, 4)
    """
    words = np.empty_like(counters)
    lanes = np.empty(4 * VECTOR, np.uint32)
    for i in range(len(counters)):
        c = counters[i]
        philox(lanes, VECTOR, np.uint64(c[0]), c[1], c[2], c[3], key[0], key[1])
        words[i] = lanes[::VECTOR]
    return words
