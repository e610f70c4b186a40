"""From the network's graph to the kernels' operations on buffers of activations.

A ReLU that alone follows a layer with weights is computed with that layer's digital end. What does
not differ between compensations (the first layer's products) is computed once for all of them.
"""

from __future__ import annotations

import numpy as np

from reliability.errors import UserError
from reliability.kernels import layout
from reliability.kernels.simd import WIDTH
from reliability.layers import Flatten, Linear, ReLU, Softmax
from reliability.network import INPUT, Network


class Graph:
    """Operations on buffers of activations that compute a network.

    Attributes
    ----------
    operations, buffers : list of tuple
        Records of ``layout.OPERATION`` and ``layout.BUFFER``.
    ones : list of int
        Where the arena holds the unit input behind each buffer's features.
    size : int
        Floats of the arena.
    """

    def __init__(self, network: Network, layer_names: list[str], variants: int) -> None:
        self.network, self.layer_names, self.variants = network, layer_names, variants
        self.operations: list[tuple] = []
        self.buffers: list[tuple[int, int]] = []
        self.ones: list[int] = []
        self.size = 0
        # Where each node's output stands: its buffer, and whether variants differ in it.
        places: dict[str, tuple[int, bool]] = {INPUT: (layout.INPUTS, False)}
        users: dict[str, int] = {}
        for node in network.nodes:
            for name in node.inputs:
                users[name] = users.get(name, 0) + 1
        fused: set[str] = set()
        nodes = network.nodes
        for position, node in enumerate(nodes):
            source, varies = places[node.inputs[0]]
            features = int(np.prod(network.shapes[node.name]))
            if isinstance(node.layer, Linear):
                layer = layer_names.index(node.name)
                sums = self._buffer(features, varies)
                self._operation(layout.PRODUCT, layer, source, sums, features, varies)
                follower = nodes[position + 1] if position + 1 < len(nodes) else None
                relu = (
                    follower is not None
                    and isinstance(follower.layer, ReLU)
                    and follower.inputs == (node.name,)
                    and users[node.name] == 1
                )
                result = self._buffer(features, True)
                self._operation(layout.FINISH, layer, sums, result, features, True, relu)
                places[node.name] = (result, True)
                if relu and follower is not None:
                    fused.add(follower.name)
            elif isinstance(node.layer, ReLU) and node.name not in fused:
                result = self._buffer(features, varies)
                self._operation(layout.RELU, 0, source, result, features, varies)
                places[node.name] = (result, varies)
            elif isinstance(node.layer, Softmax) and node is not nodes[-1]:
                raise UserError(f"node {node.name!r}: softmax can only end a network")
            elif isinstance(node.layer, Flatten | Softmax | ReLU):
                # Flatten keeps the order of features, a last softmax keeps the order of classes.
                places[node.name] = (source, varies)
            else:
                raise UserError(f"node {node.name!r}: a chip cannot run a {node.layer.kind} layer yet")
        if not self.operations or places[nodes[-1].name][0] != self.operations[-1][3]:
            raise UserError(f"network {network.name!r} has no layer with weights before its logits")

    def _buffer(self, features: int, varies: bool) -> int:
        copies = self.variants if varies else 1
        step = (features + 1) * WIDTH
        self.buffers.append((self.size, step if varies else 0))
        self.ones += [self.size + i * step + features * WIDTH for i in range(copies)]
        self.size += copies * step
        return len(self.buffers) - 1

    def _operation(
        self,
        kind: int,
        layer: int,
        source: int,
        target: int,
        features: int,
        varies: bool,
        relu: bool = False,
    ) -> None:
        variants = self.variants if varies else 1
        self.operations.append((kind, layer, source, target, features, variants, int(relu)))
