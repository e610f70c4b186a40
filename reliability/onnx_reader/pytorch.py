"""PyTorch modules as networks, through ONNX in memory."""

from __future__ import annotations

import inspect
import io
import warnings
from typing import Any

from reliability.errors import UserError
from reliability.network import Network
from reliability.onnx_reader.reader import network_of

_OPSET = 18


def from_torch(module: Any, example: Any) -> Network:
    """The network in a PyTorch module.

    The module is exported to ONNX in memory, in inference mode and with its batch norms kept, and read as a
    file would be; it is left as it was.

    Parameters
    ----------
    module : torch.nn.Module
        Takes one tensor, gives the logits.
    example : torch.Tensor or ndarray
        Inputs of the right shape, (N, ...), preprocessed. Any N: it does not limit later batches.

    Returns
    -------
    Network
        Named after the module's class, with no preprocessing: set it with
        ``dataclasses.replace(network, preprocessing=...)``.

    Raises
    ------
    UserError
        If PyTorch or the package onnx is missing, the module cannot be exported, or holds what no layer of
        this program does.
    """
    try:
        import torch
    except ImportError:
        raise UserError("from_torch needs PyTorch: install it with 'pip install torch'") from None
    where = "PyTorch module"
    if not isinstance(module, torch.nn.Module):
        raise UserError(f"from_torch needs a torch.nn.Module, was given {type(module).__name__}")
    name = type(module).__name__
    try:
        example = torch.as_tensor(example)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"from_torch needs one tensor as its example: {error}") from None
    training = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
        content = _export(torch, module, example, f"{where} {name}")
    finally:
        for part, flag in training:
            part.training = flag
    return network_of(
        content, where=f"{where} {name}", name=name, about=f"from the {where} {name}", folder=None
    )


def _export(torch: Any, module: Any, example: Any, where: str) -> bytes:
    """The module as an ONNX file."""
    # The exporter based on TorchScript first, while PyTorch has it: it needs no further package, takes a
    # fraction of a second, and names nodes after modules.
    known = inspect.signature(torch.onnx.export).parameters
    kept = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    ways: list[dict[str, Any]] = [kept]
    if "dynamo" in known:
        ways = [kept | {"dynamo": False}, {"dynamo": True, "optimize": False, "verbose": False}]
    reasons = []
    for way in ways:
        file = io.BytesIO()
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                torch.onnx.export(module, (example,), file, opset_version=_OPSET, **way)
        # Whatever a module's own code raises, or an exporter that cannot translate it.
        except Exception as error:
            reasons.append(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
            continue
        return file.getvalue()
    raise UserError(f"{where} cannot be exported to ONNX: {reasons[0]}")
