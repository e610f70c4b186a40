"""Devices by name: laws with their default numbers, presets from tables, and a user's own from files."""

from __future__ import annotations

import functools
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reliability.devices.cmo import CMO
from reliability.devices.device import Device
from reliability.devices.fefet import FeFET
from reliability.devices.four_level import FourLevel
from reliability.devices.gaussian import Gaussian
from reliability.devices.generic import Generic
from reliability.devices.hermes import Hermes
from reliability.devices.ideal import Ideal
from reliability.devices.measured import Measured
from reliability.devices.pcm import PCM
from reliability.devices.pcm_pulses import PCMPulses
from reliability.devices.rram import RRAM
from reliability.devices.sonos import SONOS
from reliability.devices.stt_mram import STTMRAM
from reliability.errors import UserError
from reliability.pyfile import is_user_module, load_object

LAWS: dict[str, Callable[..., Device]] = {
    law.law: law
    for law in (
        *(Ideal, Gaussian, PCM, Hermes, PCMPulses, RRAM, CMO),
        *(Generic, FourLevel, FeFET, STTMRAM, SONOS, Measured),
    )
}

_TEXTS = ("law", "title", "source")
_TABLES = ("numbers", "unverified")


@functools.cache
def presets() -> dict[str, Path]:
    """Tables of built-in devices, by name."""
    import reliability.data as data

    return {path.stem: path for path in sorted((data.folder() / "devices").glob("*.toml"))}


def load_device(name: str) -> Device:
    """A device by the name of its law, with default numbers, by that of a preset, or from a user's file.

    Parameters
    ----------
    name : str
        A key of :data:`LAWS` (``"pcm"``), a preset of ``data/devices`` (``"hermes_2"``), the path of such a
        table ``FILE.toml``, or that of a Python file that ends in ``device = MyDevice(...)``, an instance of
        a subclass of :class:`Device`.

    Raises
    ------
    UserError
        If there is no such device, or the file does not describe one.
    """
    if name in LAWS:
        return LAWS[name]()
    if name in presets():
        return _read_table(presets()[name])
    if name.endswith(".toml"):
        return _read_table(Path(name))
    if name.endswith(".py"):
        return load_object(Path(name), "device", Device)  # type: ignore[type-abstract]
    raise UserError(
        f"there is no device law {name!r}: known are {', '.join(LAWS)}; presets are {', '.join(presets())}; "
        f"or a file FILE.toml, FILE.py"
    )


def law_name(device: Device) -> str:
    """A device's law as a chip file spells it: its name, or the path of the user's file that defines it."""
    module = sys.modules.get(type(device).__module__)
    if is_user_module(type(device).__module__) and module is not None and module.__file__:
        return module.__file__
    return device.law


def _read_table(path: Path) -> Device:
    """The device of a table: ``law``, ``title``, ``source``, ``[numbers]`` and ``[unverified]``."""
    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)
    except FileNotFoundError:
        raise UserError(f"device file {path} does not exist") from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"device file {path} cannot be read: {error}") from None
    try:
        return _device_of(table)
    except UserError as error:
        raise UserError(f"device file {path}: {error}") from None


def _device_of(table: dict[str, Any]) -> Device:
    # Imported here because the settings of a chip need devices.
    from reliability.settings import put_all

    for key in table:
        if key not in (*_TEXTS, *_TABLES):
            raise UserError(f"{key} is not a field; fields are {', '.join((*_TEXTS, *_TABLES))}")
    for key in _TEXTS:
        if not isinstance(table.get(key), str):
            raise UserError(f"{key} = {table.get(key)!r} must be text")
    for key in _TABLES:
        if not isinstance(table.get(key, {}), dict):
            raise UserError(f"{key} = {table[key]!r} must be a table")
    if table["law"] not in LAWS:
        raise UserError(f"law = {table['law']!r} must be {' or '.join(LAWS)}")
    device = put_all(LAWS[table["law"]](), table.get("numbers", {}), "numbers")
    unverified = table.get("unverified", {})
    for name, reason in unverified.items():
        if not hasattr(device, name):
            raise UserError(f"unverified.{name} is not a field of law {device.law!r}")
        if not isinstance(reason, str):
            raise UserError(f"unverified.{name} = {reason!r} must be text")
    note = f"{table['title'].rstrip('.')}. Source: {table['source']}"
    if unverified:
        note += f". Not verified: {'; '.join(f'{name} ({why})' for name, why in unverified.items())}"
    return put_all(device, {"note": note}, "device")
