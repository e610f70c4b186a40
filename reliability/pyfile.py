"""Objects that a user defines in a Python file: a study, a device law."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import TypeVar

from reliability.errors import UserError

T = TypeVar("T")

_PREFIX = "reliability_user_"


def is_user_module(name: str) -> bool:
    """Whether :func:`load_object` made the module of this name."""
    return name.startswith(_PREFIX)


def load_object(path: Path, name: str, kind: type[T]) -> T:
    """The object ``name`` of type ``kind`` that the Python file defines at its top level.

    Raises
    ------
    UserError
        If the file does not exist, does not run, or does not define such an object.
    """
    if not path.is_file():
        raise UserError(f"file {path} does not exist")
    path = path.resolve()
    # The module's name holds the path: two files of one name stay two modules.
    module_name = f"{_PREFIX}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    module = sys.modules.get(module_name)
    if module is None:
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[module_name]
            if isinstance(error, UserError):
                raise
            raise UserError(f"file {path} does not run: {type(error).__name__}: {error}") from error
    found = getattr(module, name, None)
    if not isinstance(found, kind):
        raise UserError(f"file {path} must define {name} = {kind.__name__}(...), has {found!r}")
    return found
