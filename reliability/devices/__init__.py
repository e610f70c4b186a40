"""Device laws, one a file, all with the same verbs.

``pcm()``, ``gaussian()`` and the others make a device of a law with its default numbers or with those given;
``load_device("hermes_2")`` makes a preset, whose numbers and source stand in ``data/devices``; a law of your
own is a Python file (see :func:`load_device`).
"""

from reliability.devices.cmo import CMO as cmo
from reliability.devices.device import NORMAL, UNIFORM, Device, Latent
from reliability.devices.fefet import FeFET as fefet
from reliability.devices.four_level import FourLevel as four_level
from reliability.devices.gaussian import Gaussian as gaussian
from reliability.devices.generic import Generic as generic
from reliability.devices.hermes import Hermes as hermes
from reliability.devices.ideal import Ideal as ideal
from reliability.devices.measured import Measured as measured
from reliability.devices.pcm import PCM as pcm
from reliability.devices.pcm_pulses import PCMPulses as pcm_pulses
from reliability.devices.registry import LAWS, load_device, presets
from reliability.devices.rram import RRAM as rram
from reliability.devices.sonos import SONOS as sonos
from reliability.devices.stt_mram import STTMRAM as stt_mram

__all__ = [
    "LAWS",
    "NORMAL",
    "UNIFORM",
    "Device",
    "Latent",
    "cmo",
    "fefet",
    "four_level",
    "gaussian",
    "generic",
    "hermes",
    "ideal",
    "load_device",
    "measured",
    "pcm",
    "pcm_pulses",
    "presets",
    "rram",
    "sonos",
    "stt_mram",
]
