"""The design of a study: a question, the conditions that answer it, and its figure."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reliability.analysis import Analysis, Setting
from reliability.augmentation import augmented
from reliability.chip import Chip
from reliability.datasets import Dataset, parse_dataset
from reliability.errors import UserError
from reliability.figure import Costs, Curve, Figure
from reliability.montecarlo import MAXIMUM, Progress
from reliability.network import Network, load_network
from reliability.preprocessing import parse_preprocessing
from reliability.pyfile import load_object
from reliability.settings import put, whole
from reliability.simulation import Arithmetic, Simulation

# Images that are made for calibration; more are not asked for.
_AUGMENTED = 1 << 14


@dataclass(frozen=True)
class Study:
    """A question and what answers it.

    Parameters
    ----------
    question : str
    network : str
        Name of a built-in network or an NPZ file.
    dataset : str
        ``NAME`` or ``NAME:FOLDER``.
    chip : Chip
    vary : mapping of str to list
        As in :func:`reliability.simulate`.
    figure : Curve, Points or Costs, optional
        Of a sweep.
    analysis : Analysis, optional
        What answers the question in place of a sweep; it brings its own figure.
    time_s : float
        Evaluation time where it is not varied, seconds.
    chips : int
        Number of chips, unless ``ci_width`` is given.
    ci_width : float, optional
        Go on until each condition's interval over chips is narrower than this.
    max_chips : int
        The most chips that ``ci_width`` may take.
    inputs : int, optional
        Use the first so many test inputs; all of them otherwise.
    preprocessing : str, optional
        What inputs go through before the network, in place of what is stored with it
        (:func:`reliability.preprocessing.parse_preprocessing`).
    seed : int
    metric : str or callable
    arithmetic : {"auto", "int8", "float32"}
        As in :func:`reliability.simulate`.
    augment : int
        Shift calibration images at random by up to so many pixels and mirror half of them, as many networks
        were trained; 0 takes them as they are.
    target : float, optional
        Accuracy that a chip must reach; default: one point below the digital network.
    """

    question: str
    network: str
    dataset: str
    chip: Chip
    vary: MappingType[str, list] = field(default_factory=dict)
    figure: Figure | None = None
    analysis: Analysis | None = None
    time_s: float = 0.0
    chips: int = 1000
    ci_width: float | None = None
    max_chips: int = MAXIMUM
    inputs: int | None = None
    preprocessing: str | None = None
    seed: int = 0
    metric: str | Callable = "top-1"
    arithmetic: Arithmetic = "auto"
    augment: int = 0
    target: float | None = None

    def __post_init__(self) -> None:
        if self.target is not None and not 0 < self.target <= 1:
            raise UserError(f"target = {self.target!r} must be an accuracy above 0 and at most 1")
        if (self.figure is None) == (self.analysis is None):
            raise UserError("a study has either a figure, of a sweep, or an analysis")
        whole("augment", self.augment, 0, 64)
        if self.analysis is not None and (self.vary or self.ci_width is not None):
            raise UserError("a study with an analysis varies nothing and takes no ci_width")
        for name in _fields_of(self.figure):
            if name is not None and name not in self.vary:
                raise UserError(f"figure names {name!r}, which the study does not vary")

    def load(self) -> tuple[Network, Dataset]:
        """The network and the inputs of the study."""
        network = load_network(self.network)
        dataset = parse_dataset(self.dataset)
        if self.preprocessing is not None:
            network = replace(network, preprocessing=parse_preprocessing(self.preprocessing))
        elif self.network.endswith(".onnx") and network.preprocessing.is_none and dataset.x.dtype.kind == "u":
            raise UserError(
                f"network {self.network} does not say how inputs are scaled, and dataset {dataset.name!r} "
                f"holds whole numbers: give --preprocessing none, unit, imagenet, or the numbers"
            )
        return network, dataset if self.inputs is None else dataset.head(self.inputs)

    def simulation(self, network: Network, dataset: Dataset, threads: int | None = None) -> Simulation:
        """The study's sweep, ready to run."""
        return Simulation(
            network,
            dataset,
            self.chip,
            self.vary,
            time_s=self.time_s,
            seed=self.seed,
            metric=self.metric,
            threads=threads,
            arithmetic=self.arithmetic,
            calibration=self.calibration,
        )

    def calibration(self) -> Dataset:
        """Training inputs: of these a chip's calibration takes the first."""
        train = parse_dataset(self.dataset, split="train")
        if not self.augment:
            return train
        return augmented(train.head(min(_AUGMENTED, len(train))), self.augment, self.seed)

    def setting(
        self, network: Network, dataset: Dataset, threads: int | None = None, progress: Progress | None = None
    ) -> Setting:
        """What the study's analysis is given."""
        return Setting(
            network,
            dataset,
            self.chip,
            time_s=self.time_s,
            chips=self.chips,
            seed=self.seed,
            target=self.target,
            metric=self.metric,
            arithmetic=self.arithmetic,
            threads=threads,
            calibration=self.calibration,
            progress=progress,
        )

    def set(self, assignment: str) -> Study:
        """The study with one field replaced, from text such as ``chip.device.sigma=0.1``.

        The value is read as TOML; anything else is text. A device of few levels takes weights in digits
        (:meth:`Chip.fitted`).
        """
        path, equals, text = assignment.partition("=")
        if not equals or not path.strip():
            raise UserError(f"--set {assignment!r} must have the form path=value, such as seed=3")
        try:
            value: Any = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        path = path.strip()
        varied = path.removeprefix("chip.")
        if varied in self.vary:
            raise UserError(f"--set {path}: this study varies {varied}; set its values, vary.{varied}=[...]")
        new: Study = put(self, path, value)
        return replace(new, chip=new.chip.fitted()) if path in ("chip.device", "chip.device.law") else new


def _fields_of(figure: Figure | None) -> tuple[str | None, ...]:
    """Varied fields that a figure shows."""
    if figure is None:
        return ()
    if isinstance(figure, Costs):
        return ("effects",)
    return (figure.x if isinstance(figure, Curve) else figure.y, figure.hue)


def study_folder() -> Path:
    """Folder of the studies that come with the package."""
    import reliability.studies as studies

    return Path(studies.__file__).parent


def list_studies() -> dict[str, str]:
    """Names and questions of the studies that come with the package."""
    names = sorted(path.stem for path in study_folder().glob("*.py") if not path.name.startswith("_"))
    return {name: load_study(name)[1].question for name in names}


def load_study(name: str) -> tuple[str, Study]:
    """A study by its name, or from the path of a Python file that defines ``study``.

    Returns
    -------
    str, Study
        Its short name and the study.
    """
    path = Path(name)
    if path.suffix != ".py":
        path = study_folder() / f"{name}.py"
        if not path.is_file() or name.startswith("_"):
            known = sorted(p.stem for p in study_folder().glob("*.py") if not p.name.startswith("_"))
            raise UserError(f"there is no study {name!r}: known are {', '.join(known)}, or a file FILE.py")
    study = load_object(path, "study", Study)
    return path.stem, study
