"""Which repair regains what stuck cells cost?

1.75 % of the cells are stuck at low and 9.04 % at high resistance (C.-Y. Chen et al. 2015, as quoted by
L. Chen et al., DATE 2017). The map of every chip is known after test. On the same chips and inputs,
programming errors and all, the accuracy with healthy cells, with broken ones and after each repair is
compared: the healthy device of a pair set anew, the rows of every tile remapped, spare rows and spare
columns of 5, 10 and 20 %, the largest errors stored and added digitally, and what goes together. A share
regained is (repaired - broken) / (healthy - broken), with Fieller's interval over common chips. Errors
count times the mean square of their input on training inputs. Fault-aware training is not simulated.
"""

from reliability import Chip, Study, Tile, devices, stuck_cells
from reliability.analyses.repair_comparison import RepairComparison

study = Study(
    question="Which repair regains what stuck cells cost?",
    network="digits-mlp",
    dataset="digits",
    chip=Chip(device=devices.gaussian(sigma=0.02), faults=stuck_cells(), tile=Tile(rows=64, columns=64)),
    chips=200,
    analysis=RepairComparison(),
)
