"""Random changes to a batch of pictures, computed where the model is trained."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma
SHARPEN_OR_BLUR = 0.4  # share of batches whose sharpness changes, either way
RATIO = math.log(4 / 3)  # aspect ratios of crops: timm's 3/4 to 4/3


def random_crop(images: Tensor, size: int, crop_min: float) -> Tensor:
    """Return random crops, half of them mirrored; `uint8 [n, side, side, 3]` → `float32 [n, 3, size, size]` in 0..1.

    A crop covers `crop_min` to 1 of the picture's area and lies within it, as timm's random resized crop has it; it is
    sampled bilinearly.
    """
    count, device = len(images), images.device
    pixels = images.permute(0, 3, 1, 2).float().div_(255)
    area = torch.empty(count, device=device).uniform_(crop_min, 1)
    ratio = torch.empty(count, device=device).uniform_(-RATIO, RATIO).exp()
    width, height = (area * ratio).sqrt().clamp_(max=1), (area / ratio).sqrt().clamp_(max=1)
    centre_x = torch.empty(count, device=device).uniform_(-1, 1) * (1 - width)
    centre_y = torch.empty(count, device=device).uniform_(-1, 1) * (1 - height)
    mirrored = torch.randint(0, 2, (count,), device=device) * 2 - 1
    zero = torch.zeros_like(width)
    theta = torch.stack(
        [torch.stack([width * mirrored, zero, centre_x], 1), torch.stack([zero, height, centre_y], 1)], 1
    )
    grid = F.affine_grid(theta, [count, 3, size, size], align_corners=False)
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def centre_crop(images: Tensor, size: int, crop_pct: float) -> Tensor:
    """Return the middle of pictures; `uint8 [n, side, side, 3]` → `float32 [n, 3, size, size]` in 0..1.

    It is `crop_pct` of the picture's side, and scaled bilinearly.
    """
    side = images.shape[1]
    kept = max(1, round(side * crop_pct))
    start = (side - kept) // 2
    pixels = images[:, start : start + kept, start : start + kept].permute(0, 3, 1, 2).float().div_(255)
    return F.interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)


def change_colours(pixels: Tensor, strength: float) -> Tensor:
    """Change brightness, contrast and saturation by up to `strength`, and make a tenth of the pictures grey."""
    count, device = len(pixels), pixels.device

    def factor() -> Tensor:
        return torch.empty(count, 1, 1, 1, device=device).uniform_(1 - strength, 1 + strength)

    weights = torch.tensor(GREY, device=device)[None, :, None, None]
    pixels = pixels * factor()
    mean = (pixels * weights).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    pixels = mean + (pixels - mean) * factor()
    grey = (pixels * weights).sum(1, keepdim=True)
    saturation = torch.where(torch.rand(count, 1, 1, 1, device=device) < 0.1, torch.zeros_like(factor()), factor())
    return (grey + (pixels - grey) * saturation).clamp_(0, 1)


def change_sharpness(pixels: Tensor) -> Tensor:
    """Blur or sharpen a batch in 40 % of cases, so that pictures scaled by any filter are recognised."""
    if torch.rand(()).item() >= SHARPEN_OR_BLUR:
        return pixels
    amount = float(torch.empty(()).uniform_(-1, 1))
    kernel = torch.tensor([1.0, 2.0, 1.0], device=pixels.device) / 4
    padded = F.pad(pixels, (1, 1, 1, 1), mode="reflect")
    blurred = F.conv2d(padded.flatten(0, 1)[:, None], kernel[None, None, :, None] * kernel[None, None, None, :])
    return torch.lerp(pixels, blurred.view_as(pixels), amount).clamp_(0, 1)


def erase(pixels: Tensor, probability: float) -> Tensor:
    """Replace a random rectangle of 2 to 25 % of some pictures by noise (random erasing, arXiv 1708.04896)."""
    count, _, height, width = pixels.shape
    device = pixels.device
    area = torch.empty(count, 1, 1, device=device).uniform_(0.02, 0.25)
    ratio = torch.empty(count, 1, 1, device=device).uniform_(-math.log(3), math.log(3)).exp()
    half_height, half_width = (area * ratio).sqrt() * height / 2, (area / ratio).sqrt() * width / 2
    y = (torch.arange(height, device=device)[None, :, None] - torch.rand(count, 1, 1, device=device) * height).abs()
    x = (torch.arange(width, device=device)[None, None, :] - torch.rand(count, 1, 1, device=device) * width).abs()
    chosen = torch.rand(count, 1, 1, device=device) < probability
    inside = (y < half_height) & (x < half_width) & chosen
    return torch.where(inside[:, None], torch.rand_like(pixels), pixels)


def mix(pixels: Tensor, targets: Tensor, mixup: float, cutmix: float) -> tuple[Tensor, Tensor]:
    """Mix each picture with another of the batch, and `targets` `[n, K]` alike.

    By weight (mixup, arXiv 1710.09412) or by a rectangle (CutMix, arXiv 1905.04899), in equal shares where both are
    asked for; one draw a batch, as timm's `Mixup` in batch mode.
    """
    kinds = [kind for kind, alpha in (("mixup", mixup), ("cutmix", cutmix)) if alpha > 0]
    if not kinds:
        return pixels, targets
    kind = kinds[int(torch.randint(len(kinds), ()))]
    alpha = mixup if kind == "mixup" else cutmix
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    other, other_targets = pixels.roll(1, 0), targets.roll(1, 0)
    if kind == "mixup":
        mixed = torch.lerp(other, pixels, share)
    else:
        mixed, share = _paste(pixels, other, share)
    return mixed, torch.lerp(other_targets, targets, share)


def _paste(pixels: Tensor, other: Tensor, share: float) -> tuple[Tensor, float]:
    """Put a rectangle of `other` over the pictures; return them with the share of pixels that is still theirs."""
    height, width = pixels.shape[2:]
    cut_height, cut_width = (round(side * math.sqrt(1 - share)) for side in (height, width))
    top, left = int(torch.randint(height, ())) - cut_height // 2, int(torch.randint(width, ())) - cut_width // 2
    rows = slice(max(0, top), min(height, top + cut_height))
    columns = slice(max(0, left), min(width, left + cut_width))
    mixed = pixels.clone()
    mixed[:, :, rows, columns] = other[:, :, rows, columns]
    covered = max(0, rows.stop - rows.start) * max(0, columns.stop - columns.start)
    return mixed, 1 - covered / (height * width)
