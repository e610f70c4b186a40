"""What a result depends on, as plain tables and digests: equal fingerprints, equal results."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from reliability.chip import Chip
from reliability.datasets import Dataset
from reliability.design import Study
from reliability.devices.registry import LAWS, law_name
from reliability.files import sha256_of
from reliability.kernels.cache import kernel_stamp
from reliability.layers import arrays_of, settings_of
from reliability.network import Network
from reliability.settings import as_table

_PROCESS = uuid.uuid4().hex


def study_fingerprint(name: str, study: Study, network: Network, dataset: Dataset) -> dict[str, Any]:
    """Everything that the trials of a study depend on, as plain tables."""
    settings = as_table(study)
    # How the figure looks and what is asked of the trials changes no trial; an analysis may use the target.
    free = ("figure", "question", "target") if study.analysis is None else ("figure", "question")
    for field in free:
        del settings[field]
    return {
        "study": name,
        **settings,
        "network_sha256": network_sha256(network),
        "dataset_sha256": arrays_sha256([dataset.x, dataset.y], dataset.name),
        "device_files": chip_files(settings["chip"]) | law_sources(study.chip),
        "kernels_sha256": kernel_stamp(),
        "reliability": version(),
    }


def network_sha256(network: Network) -> str:
    """Digest of a network's layers, their settings, connections and parameters."""
    return arrays_sha256(
        [array for node in network.nodes for array in arrays_of(node.layer).values()],
        [(node.name, node.layer.kind, node.inputs, settings_of(node.layer)) for node in network.nodes],
    )


def arrays_sha256(arrays: list[np.ndarray], names: Any) -> str:
    """Digest of arrays, their shapes and types, and of what JSON can write."""
    digest = hashlib.sha256(json.dumps(names).encode())
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def chip_files(table: Any) -> dict[str, str]:
    """Checksums of the files in which a user's own laws, and the scores of weights, are written.

    Parameters
    ----------
    table : dict
        A chip as a table, or a part of one.
    """
    if not isinstance(table, dict):
        return {}
    found: dict[str, str] = {}
    for key, ending in (("law", ".py"), ("order", ".npz")):
        name = table.get(key)
        if isinstance(name, str) and name.endswith(ending) and Path(name).is_file():
            found[name] = sha256_of(Path(name))
    for value in table.values():
        found |= chip_files(value)
    return found


def law_sources(chip: Chip) -> dict[str, str]:
    """Digests of what defines the laws, by their names, that are neither built in nor in a file of their own.

    A law without a source, as of an interactive session, has a digest that no other process has.
    """
    found = {}
    for device in (chip.device, *(own.device for own in chip.layers.values())):
        if device is None or LAWS.get(device.law) is type(device) or law_name(device) != device.law:
            continue
        try:
            source = inspect.getsource(inspect.getmodule(type(device)) or type(device))
        except (OSError, TypeError):
            source = _PROCESS
        found[device.law] = hashlib.sha256(source.encode()).hexdigest()
    return found


@functools.cache
def code_sha256() -> str:
    """Digest of all sources of this package."""
    digest = hashlib.sha256(kernel_stamp().encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def version() -> str:
    """Version of this package."""
    import reliability

    return reliability.__version__
