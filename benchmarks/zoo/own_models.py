"""Networks that no package provides, defined in this folder, with seeded random weights."""

from __future__ import annotations

from functools import partial

from benchmarks.zoo import dagnet, randwire
from benchmarks.zoo.model import Input
from benchmarks.zoo.torch_program import random_model

_IMAGE = Input("x", (1, 3, 96, 96))
_own = partial(random_model, licence="Apache-2.0", package="torch==2.13.0", inputs=(_IMAGE,))

MODELS = (
    _own("randwire", "random small-world wiring", build=partial(randwire.build, nodes=16)),
    _own("randwire_n32", "random small-world wiring", build=partial(randwire.build, nodes=32)),
    _own("dagnet", "irregular concatenations", build=partial(dagnet.build, seed=0)),
)
