"""Device laws, one a file, all with the same verbs.

``pcm()``, ``gaussian()`` and ``ideal()`` make a device with its default numbers or with
those given; a law of your own is a Python file (see :func:`load_device`).
"""

from reliability.devices.device import NORMAL, UNIFORM, Device, Latent
from reliability.devices.gaussian import Gaussian as gaussian
from reliability.devices.ideal import Ideal as ideal
from reliability.devices.pcm import PCM as pcm
from reliability.devices.registry import LAWS, load_device

__all__ = ["LAWS", "NORMAL", "UNIFORM", "Device", "Latent", "gaussian", "ideal", "load_device", "pcm"]
