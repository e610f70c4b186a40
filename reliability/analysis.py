"""What a study does that one sweep does not answer: what it is given, and what it gives.

A sweep's question is answered by its trials table and their summary. Some questions (how rare is failure,
which layer is to blame) need several simulations that depend on each other; such a study has an
:class:`Analysis`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from reliability.checks import check_kind
from reliability.chip import Chip
from reliability.datasets import Dataset, as_dataset
from reliability.errors import UserError
from reliability.latents import Role, Seeds
from reliability.metrics import Metric
from reliability.montecarlo import Progress
from reliability.network import Network
from reliability.settings import whole
from reliability.simulation import Arithmetic, Simulation
from reliability.training_inputs import Calibration, labelled_inputs

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@dataclass(frozen=True, eq=False)
class Setting:
    """Network, inputs and chip that an analysis is asked about, and how to simulate them.

    Attributes
    ----------
    network : Network
    dataset : Dataset, or pair of arrays (x, y)
        Test inputs; a pair becomes a dataset.
    chip : Chip
    time_s : float
        Evaluation time, seconds.
    chips : int
        Number of chips that the user asked for; what an analysis does with them, it says.
    seed : int
    target : float, optional
        Accuracy that a chip must reach; None stands for one point below the digital network.
    metric, arithmetic
        As in :func:`reliability.simulate`.
    threads : int, optional
    calibration : Dataset, arrays or callable, optional
        Training inputs, or what loads them.
    progress : callable, optional
    """

    network: Network
    dataset: Dataset
    chip: Chip
    time_s: float = 0.0
    chips: int = 1000
    seed: int = 0
    target: float | None = None
    metric: str | Metric | Callable = "top-1"
    arithmetic: Arithmetic = "auto"
    threads: int | None = None
    calibration: Calibration | Callable[[], Dataset] | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        check_kind("network", self.network, Network)
        check_kind("chip", self.chip, Chip)
        object.__setattr__(self, "dataset", as_dataset("inputs", self.dataset))
        whole("chips", self.chips, 1, 2**31)

    def simulation(
        self,
        *,
        chip: Chip | None = None,
        dataset: Dataset | None = None,
        vary: Mapping[str, Sequence[Any]] | None = None,
        metric: str | Metric | Callable | None = None,
        role: Role = "certify",
        seeds: Seeds | None = None,
    ) -> Simulation:
        """A sweep of this setting, with another chip, inputs, metric or seeds where they are given."""
        return Simulation(
            self.network,
            dataset or self.dataset,
            chip or self.chip,
            vary,
            time_s=self.time_s,
            seed=self.seed,
            role=role,
            metric=metric or self.metric,
            threads=self.threads,
            seeds=seeds,
            arithmetic=self.arithmetic,
            calibration=self.calibration,
        )

    def training_set(self, use: str) -> Dataset:
        """Training inputs with their labels.

        Parameters
        ----------
        use : str
            What is done with them, as an error begins that says that there are none.

        Raises
        ------
        UserError
            If there are none, or they have no labels.
        """
        found = labelled_inputs(self.calibration)
        if found is None:
            raise UserError(
                f"{use} training inputs with their labels: give calibration a dataset or a pair (x, y)"
            )
        return found


@dataclass(frozen=True, eq=False)
class Answer:
    """What an analysis found.

    Attributes
    ----------
    tables : mapping of str to DataFrame
        Written as ``NAME.csv``.
    text : str
        What is printed, on at most 100 columns.
    draw : callable
        Gives the figure.
    files : mapping of str to bytes
        What else is written, by file name, such as a chip's description.
    """

    tables: Mapping[str, pd.DataFrame]
    text: str
    draw: Callable[[], Drawing]
    files: Mapping[str, bytes] = field(default_factory=dict)


class Analysis(ABC):
    """What a study does in place of one sweep.

    A frozen dataclass, whose fields are the ``analysis.NAME`` that ``--set`` sets.
    """

    @abstractmethod
    def plan(self, setting: Setting) -> str:
        """What will be done and what it costs, in a few words, without doing it."""

    @abstractmethod
    def answer(self, setting: Setting) -> Answer:
        """Do it.

        Raises
        ------
        UserError
            If the question makes no sense for this setting.
        """
