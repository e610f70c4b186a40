"""Device laws by name: those of the library, and a user's own from a Python file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reliability.devices.device import Device
from reliability.devices.gaussian import Gaussian
from reliability.devices.ideal import Ideal
from reliability.devices.pcm import PCM
from reliability.errors import UserError
from reliability.pyfile import load_object

LAWS: dict[str, Callable[[], Device]] = {law.law: law for law in (Ideal, Gaussian, PCM)}


def load_device(name: str) -> Device:
    """A device by the name of its law, with default numbers, or from a user's Python file.

    Parameters
    ----------
    name : str
        ``"ideal"``, ``"gaussian"``, ``"pcm"``, or the path of a Python file that ends in
        ``device = MyDevice(...)``, an instance of a subclass of :class:`Device`.

    Raises
    ------
    UserError
        If there is no such law or the file does not define ``device``.
    """
    if name in LAWS:
        return LAWS[name]()
    if not name.endswith(".py"):
        raise UserError(f"there is no device law {name!r}: known are {', '.join(LAWS)}, or a file FILE.py")
    return load_object(Path(name), "device", Device)  # type: ignore[type-abstract]
