"""Public vision architectures from model packages, with seeded random weights."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.zoo.model import Input, ZooModel
from benchmarks.zoo.torch_program import random_model

if TYPE_CHECKING:
    from torch import nn


def _image(side: int) -> Sequence[Input]:
    return (Input("x", (1, 3, side, side)),)


def _call(module: str, function: str, *arguments: Any, **options: Any) -> Callable[[], nn.Module]:
    """A builder that imports ``module`` only when it is called."""
    return lambda: getattr(importlib.import_module(module), function)(*arguments, **options)


_pytorchcv = partial(random_model, licence="MIT", package="pytorchcv==0.0.74", requires=("pytorchcv",))
_timm = partial(random_model, licence="Apache-2.0", package="timm==1.0.31", requires=("timm", "torchvision"))
_torchvision = partial(random_model, licence="BSD-3-Clause", package="torchvision==0.28.0", requires=("torchvision",))


def _from_pytorchcv(name: str, family: str, function: str) -> ZooModel:
    build = _call("pytorchcv.model_provider", "get_model", function)
    return _pytorchcv(name, family, inputs=_image(224), build=build)


def _from_timm(name: str, family: str, function: str) -> ZooModel:
    return _timm(name, family, inputs=_image(224), build=_call("timm", "create_model", function, pretrained=False))


class _FieldOf:
    """Builds a module that returns one field of another module's dictionary."""

    def __init__(self, build: Callable[[], nn.Module], field: str) -> None:
        self.build, self.field = build, field

    def __call__(self) -> nn.Module:
        from torch import nn

        inner, field = self.build(), self.field

        class Field(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = inner

            def forward(self, x: Any) -> Any:
                return self.inner(x)[field]

        return Field()


_LRASPP = _call(
    "torchvision.models.segmentation", "lraspp_mobilenet_v3_large", weights=None, weights_backbone=None, num_classes=21
)
_GOOGLENET = _call("torchvision.models", "googlenet", weights=None, aux_logits=False, init_weights=True)
_EFFDET = _call(
    "effdet",
    "create_model",
    "tf_efficientdet_lite0",
    pretrained=False,
    pretrained_backbone=False,
    image_size=(256, 256),
)

MODELS = (
    _from_pytorchcv("nasnet_mobile", "NASNet cells", "nasnet_4a1056"),
    _from_pytorchcv("darts", "DARTS cells", "darts"),
    _from_pytorchcv("hardnet39", "harmonic dense connections", "hardnet39ds"),
    _from_pytorchcv("dla34", "deep layer aggregation", "dla34"),
    _from_pytorchcv("msdnet22", "multi-scale dense connections", "msdnet22"),
    random_model(
        "effdet_lite0",
        "EfficientDet, BiFPN",
        licence="Apache-2.0",
        package="effdet==0.4.1",
        inputs=_image(256),
        build=_EFFDET,
        requires=("effdet", "timm", "torchvision"),
    ),
    random_model(
        "unet_mnv2",
        "U-Net",
        licence="MIT",
        package="segmentation-models-pytorch==0.6.0",
        inputs=_image(128),
        build=_call("segmentation_models_pytorch", "Unet", "mobilenet_v2", encoder_weights=None),
        requires=("segmentation_models_pytorch", "timm", "torchvision"),
    ),
    _from_timm("efficientnet_b0", "EfficientNet", "efficientnet_b0"),
    _from_timm("res2net50", "Res2Net", "res2net50_14w_8s"),
    _from_timm("mobilenetv3s", "MobileNetV3", "mobilenetv3_small_100"),
    _torchvision("lraspp", "MobileNetV3 + LR-ASPP", inputs=_image(224), build=_FieldOf(_LRASPP, "out")),
    _torchvision("googlenet", "GoogLeNet", inputs=_image(224), build=_GOOGLENET),
)
