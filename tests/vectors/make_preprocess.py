"""Write `preprocess.json` and `preprocess.bin`: images and what timm's evaluation transform makes of them.

The last are those of the image processors of transformers, whose crops lie elsewhere.

Both implementations of the preprocessing, Python's and JavaScript's, are tested against these vectors.
Run: python tests/vectors/make_preprocess.py
"""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timm.data import create_transform

FOLDER = Path(__file__).parent
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

# Width, height, size, crop_pct, crop_mode, interpolation, (mean, std): odd sizes, both orientations, larger and
# smaller than the target, unchanged in one or both dimensions, wider than any screen.
CASES = [
    (53, 37, 28, 1.0, "center", "bicubic", HALVES),
    (53, 37, 32, 0.875, "center", "bilinear", IMAGENET),
    (37, 61, 32, 0.9, "center", "bicubic", IMAGENET),
    (37, 61, 31, 0.95, "center", "lanczos", IMAGENET),
    (61, 45, 24, 0.875, "center", "hamming", IMAGENET),
    (61, 45, 24, 0.875, "center", "box", IMAGENET),
    (61, 45, 24, 0.875, "center", "nearest", IMAGENET),
    (17, 23, 32, 0.875, "center", "nearest", HALVES),
    (7, 5, 32, 0.9, "center", "lanczos", IMAGENET),
    (11, 13, 28, 1.0, "center", "bilinear", HALVES),
    (9, 14, 24, 0.7, "center", "hamming", IMAGENET),
    (28, 28, 28, 1.0, "center", "bicubic", HALVES),
    (28, 45, 28, 1.0, "center", "bicubic", HALVES),
    (45, 28, 28, 1.0, "squash", "lanczos", HALVES),
    (63, 29, 32, 1.0, "squash", "bicubic", HALVES),
    (29, 64, 32, 0.9, "squash", "bilinear", IMAGENET),
    (63, 29, 32, 1.0, "border", "bicubic", IMAGENET),
    (29, 64, 30, 0.875, "border", "bilinear", IMAGENET),
    (23, 50, 32, 1.1, "border", "lanczos", HALVES),
    (26, 25, 32, 1.25, "center", "bicubic", IMAGENET),
    (400, 3, 16, 0.875, "center", "bicubic", IMAGENET),
    (1, 1, 16, 0.875, "center", "bicubic", IMAGENET),
]
# As above, by transformers: crops whose offset is 1.5 pixels in one dimension, or both.
ROUNDED_DOWN = [
    (53, 36, 24, 24 / 27, "center", "bilinear", IMAGENET),
    (36, 53, 24, 24 / 27, "center", "bicubic", HALVES),
    (29, 64, 21, 21 / 24, "squash", "bicubic", IMAGENET),
]
RESAMPLE = {"bilinear": 2, "bicubic": 3}


def make_image(width: int, height: int, seed: int) -> np.ndarray:
    """Return a uint8 RGB image with smooth parts, hard edges and noise, so that rounding and clipping both show."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    smooth = np.stack([columns * 255 / max(1, width - 1), rows * 255 / max(1, height - 1), (rows + columns) % 256], -1)
    checks = ((rows // 3 + columns // 2) % 2 * 255)[..., None]
    noise = rng.integers(0, 256, (height, width, 3))
    choice = rng.integers(0, 3, (height, width, 1))
    return np.where(choice == 0, smooth, np.where(choice == 1, checks, noise)).astype(np.uint8)


def expected(image: np.ndarray, preprocess: dict) -> tuple[np.ndarray, np.ndarray]:
    """Return timm's uint8 HWC image before normalisation, and its float32 CHW tensor after."""
    options = {"input_size": (3, preprocess["size"], preprocess["size"]), "is_training": False} | {
        key: preprocess[key] for key in ("crop_pct", "crop_mode", "interpolation", "mean", "std")
    }
    picture = Image.fromarray(image)
    before = create_transform(**options, normalize=False)(picture)
    after = create_transform(**options)(picture)
    assert isinstance(before, torch.Tensor) and isinstance(after, torch.Tensor)
    return before.numpy().transpose(1, 2, 0), after.numpy()


def expected_of_transformers(image: np.ndarray, preprocess: dict) -> tuple[np.ndarray, np.ndarray]:
    """Return what `expected` does, with the pixels of an image processor on Pillow, normalised as timm does it."""
    from torchvision.transforms import functional
    from transformers import ViTImageProcessorPil

    size, scaled = preprocess["size"], math.floor(preprocess["size"] / preprocess["crop_pct"])
    squashed = preprocess["crop_mode"] == "squash"
    processor = ViTImageProcessorPil(
        size={"height": scaled, "width": scaled} if squashed else {"shortest_edge": scaled},
        resample=RESAMPLE[preprocess["interpolation"]],
        do_center_crop=True,
        crop_size={"height": size, "width": size},
        do_rescale=False,
        do_normalize=False,
    )
    before = np.asarray(processor(Image.fromarray(image))["pixel_values"][0]).transpose(1, 2, 0)
    tensor = functional.to_tensor(np.ascontiguousarray(before))
    return before, functional.normalize(tensor, preprocess["mean"], preprocess["std"]).numpy()


def main() -> None:
    """Write both files beside this script."""
    data = bytearray()
    cases = []
    rows = [(row, {}, expected) for row in CASES]
    rows += [(row, {"crop_rounding": "down"}, expected_of_transformers) for row in ROUNDED_DOWN]
    for seed, (row, more, make) in enumerate(rows):
        width, height, size, crop_pct, crop_mode, interpolation, (mean, std) = row
        preprocess = {
            "size": size,
            "crop_pct": crop_pct,
            "crop_mode": crop_mode,
            "interpolation": interpolation,
            "mean": mean,
            "std": std,
            **more,
        }
        image = make_image(width, height, seed)
        before, after = make(image, preprocess)
        tensor = np.ascontiguousarray(after.transpose(1, 2, 0), "<f4")
        case = {"width": width, "height": height, "preprocess": preprocess, "image": len(data)}
        data += image.tobytes()
        case["expected"] = len(data)
        data += np.ascontiguousarray(before).tobytes()
        cases.append(case | {"normalised_sha256": hashlib.sha256(tensor.tobytes()).hexdigest()})
    about = "image, expected: byte offsets in preprocess.bin of uint8 HWC RGB; normalised: float32 little-endian HWC"
    (FOLDER / "preprocess.bin").write_bytes(data)
    (FOLDER / "preprocess.json").write_text(json.dumps({"about": about, "cases": cases}, indent=1) + "\n")
    print(f"{len(cases)} cases, {len(data)} bytes")


if __name__ == "__main__":
    main()
