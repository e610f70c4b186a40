"""A user's own measured device: from a table of readings to a device law with intervals."""

from reliability.fitting.fit import fit_device
from reliability.fitting.result import DeviceFit

__all__ = ["DeviceFit", "fit_device"]
