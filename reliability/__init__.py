"""How accurate will analog in-memory chips be, how sure is that, and what is the cheapest cure.

>>> import reliability as rl
>>> trials = rl.simulate(rl.load_network("digits-mlp"), rl.load_dataset("digits"), rl.Chip(),
...                      vary={"time_s": [1, rl.DAY, rl.YEAR]}, chips=1000)   # doctest: +SKIP
>>> rl.summarize(trials)                                                     # doctest: +SKIP
"""

import importlib.abc
import importlib.util
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent


class _BesideFinder(importlib.abc.MetaPathFinder):
    """Finds ``kernels``, ``studies`` and ``data`` beside this folder in a checkout.

    Installed, they are ordinary subpackages. Only these three names are answered: a longer
    ``__path__`` would make every file of the checkout importable under two names.
    """

    _FOLDERS = ("kernels", "studies", "data")

    def find_spec(self, fullname, path=None, target=None):
        package, _, name = fullname.rpartition(".")
        folder = _HERE.parent / name
        if package != __name__ or name not in self._FOLDERS or (_HERE / name).is_dir():
            return None
        return importlib.util.spec_from_file_location(
            fullname, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )


if (_HERE / "Fitters.py").exists():
    raise ImportError(
        "the folder of the package 'reliability' also holds the files of another package of that name "
        "(lifetime data analysis): install crossbar-reliability in an environment without it"
    )

sys.meta_path.insert(0, _BesideFinder())

from reliability import devices, mitigation  # noqa: E402
from reliability.analysis import Analysis, Answer, Setting  # noqa: E402
from reliability.analytic import AnalyticNetwork, predict  # noqa: E402
from reliability.chip import Chip, LayerChip, Mapping, Slices  # noqa: E402
from reliability.curvature import load_second_derivatives, save_second_derivatives, second_derivatives  # noqa: E402
from reliability.datasets import Dataset, load_dataset  # noqa: E402
from reliability.design import Study, load_study  # noqa: E402
from reliability.economy import estimate_mean, estimate_tail  # noqa: E402
from reliability.errors import RunError, UserError  # noqa: E402
from reliability.faults import Faults, stuck_cells  # noqa: E402
from reliability.figure import Costs, Curve, Points  # noqa: E402
from reliability.fitting import fit_device  # noqa: E402
from reliability.latents import draw_latents  # noqa: E402
from reliability.mitigation.recommend import recommend  # noqa: E402
from reliability.montecarlo import simulate  # noqa: E402
from reliability.network import Network, load_network  # noqa: E402
from reliability.onnx_reader import from_torch  # noqa: E402
from reliability.output_errors import OutputErrors, output_errors  # noqa: E402
from reliability.rare import RareFailures, rare_failure  # noqa: E402
from reliability.realisation import chip_weights  # noqa: E402
from reliability.repair import Repair  # noqa: E402
from reliability.sensitivity import measure_sensitivity  # noqa: E402
from reliability.settings import load_chip  # noqa: E402
from reliability.statistics import (  # noqa: E402
    fit_error_distribution,
    simultaneous_intervals,
    summarize,
)
from reliability.telegraph import Telegraph, fluctuating_cell  # noqa: E402
from reliability.tile import ADC, DAC, Tile  # noqa: E402
from reliability.units import DAY, HOUR, MINUTE, MONTH, WEEK, YEAR  # noqa: E402
from reliability.variation import Variation  # noqa: E402
from reliability.wires import Wires  # noqa: E402
from reliability.worst_case import (  # noqa: E402
    Surface,
    attack_curve,
    carlini_wagner,
    projected_gradient,
    uniform_noise,
    weight_deviations,
)
from reliability.write_verify import WriteVerify  # noqa: E402

__version__ = "0.1.0"

__all__ = [
    "ADC",
    "DAC",
    "DAY",
    "HOUR",
    "MINUTE",
    "MONTH",
    "WEEK",
    "YEAR",
    "Analysis",
    "AnalyticNetwork",
    "Answer",
    "Chip",
    "Costs",
    "Curve",
    "Dataset",
    "Faults",
    "LayerChip",
    "Mapping",
    "Network",
    "OutputErrors",
    "Points",
    "RareFailures",
    "Repair",
    "RunError",
    "Setting",
    "Slices",
    "Study",
    "Surface",
    "Telegraph",
    "Tile",
    "UserError",
    "Variation",
    "Wires",
    "WriteVerify",
    "attack_curve",
    "carlini_wagner",
    "chip_weights",
    "devices",
    "draw_latents",
    "estimate_mean",
    "estimate_tail",
    "fit_device",
    "fit_error_distribution",
    "fluctuating_cell",
    "from_torch",
    "load_chip",
    "load_dataset",
    "load_network",
    "load_second_derivatives",
    "load_study",
    "measure_sensitivity",
    "mitigation",
    "output_errors",
    "predict",
    "projected_gradient",
    "rare_failure",
    "recommend",
    "save_second_derivatives",
    "second_derivatives",
    "simulate",
    "simultaneous_intervals",
    "stuck_cells",
    "summarize",
    "uniform_noise",
    "weight_deviations",
]
