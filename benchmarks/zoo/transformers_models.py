"""Small transformer architectures from the transformers package, with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.zoo.model import Input, ZooModel
from benchmarks.zoo.torch_program import random_model

if TYPE_CHECKING:
    from torch import nn

_VOCABULARY = 1000
_MASKED = -1e4
_IDS = Input("input_ids", (1, 64), "int64", "integers", 0, _VOCABULARY)


def build_network(model: str, config: str, options: dict[str, Any], field: str, part: str | None = None) -> nn.Module:
    """``transformers.<model>(<config>(**options))``, eager attention, returning one field of its output.

    ``part`` takes a submodule (an encoder) instead of the whole.
    """
    import transformers
    from torch import nn

    network = getattr(transformers, model)(
        getattr(transformers, config)(**options, attn_implementation="eager", use_cache=False)
    )

    class Field(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = getattr(network, part) if part else network

        def forward(self, x: Any) -> Any:
            return getattr(self.network(x), field)

    return Field()


def build_decoder(options: dict[str, Any], length: int) -> nn.Module:
    """GPT-2 with a causal mask of floats: the library's own boolean mask does not pass LLVM code generation."""
    import torch
    import transformers
    from torch import nn

    config = transformers.GPT2Config(**options, attn_implementation="eager", use_cache=False)

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = transformers.GPT2LMHeadModel(config)
            self.register_buffer("mask", torch.triu(torch.full((1, 1, length, length), _MASKED), 1))

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.network(ids, attention_mask=self.mask).logits

    return Decoder()


def _model(name: str, family: str, item: Input, build: Callable[[], nn.Module], extra: Sequence[str] = ()) -> ZooModel:
    return random_model(
        name,
        family,
        licence="Apache-2.0",
        package="transformers==5.23.0",
        inputs=(item,),
        build=build,
        requires=("transformers", *extra),
    )


def _image(side: int) -> Input:
    return Input("pixel_values", (1, 3, side, side))


_BERT = {
    "vocab_size": _VOCABULARY,
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "max_position_embeddings": 64,
}
_GPT2 = {"vocab_size": _VOCABULARY, "n_embd": 192, "n_layer": 4, "n_head": 4, "n_positions": 64}
_VIT = {
    "hidden_size": 192,
    "num_hidden_layers": 6,
    "num_attention_heads": 3,
    "intermediate_size": 768,
    "image_size": 96,
    "num_labels": 10,
}
_SWIN = {"image_size": 128, "embed_dim": 48, "window_size": 4, "depths": [2, 2, 2, 2]}
_CONVNEXT = {"hidden_sizes": [40, 80, 160, 320], "depths": [2, 2, 6, 2]}
_T5 = {
    "vocab_size": _VOCABULARY,
    "d_model": 128,
    "d_kv": 32,
    "d_ff": 256,
    "num_layers": 3,
    "num_heads": 4,
}
_WAV2VEC2 = {
    "hidden_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "conv_dim": (64,) * 7,
    "vocab_size": 32,
}
_STATES = "last_hidden_state"

MODELS = (
    _model("bert_tiny", "BERT", _IDS, partial(build_network, "BertModel", "BertConfig", _BERT, _STATES)),
    _model("gpt2_small", "GPT-2", _IDS, partial(build_decoder, _GPT2, 64)),
    _model(
        "vit_tiny",
        "ViT",
        _image(96),
        partial(build_network, "ViTForImageClassification", "ViTConfig", _VIT, "logits"),
        ("torchvision",),
    ),
    _model(
        "swin", "Swin", _image(128), partial(build_network, "SwinModel", "SwinConfig", _SWIN, _STATES), ("torchvision",)
    ),
    _model(
        "segformer_b0",
        "SegFormer",
        _image(128),
        partial(build_network, "SegformerForSemanticSegmentation", "SegformerConfig", {}, "logits"),
        ("torchvision",),
    ),
    _model(
        "mobilevit",
        "MobileViT",
        _image(128),
        partial(build_network, "MobileViTModel", "MobileViTConfig", {}, _STATES),
        ("torchvision",),
    ),
    _model(
        "convnext",
        "ConvNeXt",
        _image(128),
        partial(build_network, "ConvNextModel", "ConvNextConfig", _CONVNEXT, _STATES),
        ("torchvision",),
    ),
    _model(
        "whisper_enc",
        "Whisper encoder",
        Input("input_features", (1, 80, 400)),
        partial(build_network, "WhisperModel", "WhisperConfig", {"max_source_positions": 200}, _STATES, "encoder"),
    ),
    _model(
        "t5_enc",
        "T5 encoder",
        _IDS,
        partial(build_network, "T5EncoderModel", "T5Config", _T5, _STATES),
    ),
    _model(
        "wav2vec2",
        "wav2vec 2.0",
        Input("input_values", (1, 8000)),
        partial(build_network, "Wav2Vec2Model", "Wav2Vec2Config", _WAV2VEC2, _STATES),
    ),
)
