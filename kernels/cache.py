"""Compilation that is remembered on disk and never out of date.

Numba's own cache looks only at the file of the function it stores, so a kernel
would survive an edit of a helper in another module. Here the stamp of every
cached function covers the sources of all kernels.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core import caching
from numba.core.registry import CPUDispatcher


@functools.cache
def kernel_stamp() -> str:
    """SHA-256 of the sources of all kernels."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class _Stamped:
    def get_source_stamp(self):
        return super().get_source_stamp(), kernel_stamp()


class _UserProvided(_Stamped, caching.UserProvidedCacheLocator):
    pass


class _InTree(_Stamped, caching.InTreeCacheLocator):
    pass


class _UserWide(_Stamped, caching.UserWideCacheLocator):
    pass


class _Implementation(caching.CompileResultCacheImpl):
    _locator_classes = [_UserProvided, _InTree, _UserWide]  # noqa: RUF012


class _KernelCache(caching.FunctionCache):
    _impl_class = _Implementation


class _PythonCache(_KernelCache):
    """Keeps what Python calls apart in the same index."""

    def _index_key(self, sig, codegen):
        return (*super()._index_key(sig, codegen), "python")


class _Kernel(CPUDispatcher):
    """A function that other kernels call.

    Only one that Python calls is compiled with what unpacks Python's arguments, by itself: for a plan that
    takes longer to compile than most functions.
    """

    @functools.cached_property
    def for_python(self) -> CPUDispatcher:
        dispatcher: Any = CPUDispatcher(
            self.py_func, targetoptions=self.targetoptions | {"no_cpython_wrapper": False}
        )
        dispatcher._cache = _PythonCache(self.py_func)
        return dispatcher

    def __call__(self, *args):
        return self.for_python(*args)


def compiled(*, allocates: bool = False, **options) -> Callable[[Callable], Callable]:
    """Decorator: ``numba.njit(error_model="numpy", **options)``, cached with the stamp of all kernels.

    Parameters
    ----------
    allocates : bool
        Whether the function makes arrays. One that does not, and is only called by others like it where it
        returns one, counts no references: on small blocks each count costs as much as the arithmetic.
    options
        Of ``numba.njit``.
    """
    options |= {"nopython": True, "error_model": "numpy", "_nrt": allocates}
    options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

    def decorate(function: Callable) -> Callable:
        dispatcher: Any = _Kernel(function, targetoptions=options)
        dispatcher._cache = _KernelCache(function)
        return dispatcher

    return decorate


def is_cached(dispatcher) -> bool:
    """Whether a function made by :func:`compiled` was compiled before, by this version, for this CPU."""
    # Numba keeps the code for all CPUs in one index; the middle of each key says for which.
    keys = dispatcher._cache._cache_file._load_index()
    cpu = dispatcher.targetctx.codegen().magic_tuple()
    return any(key[1] == cpu for key in keys)
