"""Label-preserving random augmentation of batches; labels are transformed together with the images.

Which patches are augmented, and with which parameters, is sampled on the CPU, so that all devices augment alike.
Per-pixel noise is sampled on the device of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from sarcd.config import AugmentOptions
from sarcd.estimation.channels import FILL
from sarcd.estimation.kernels.normalize import SATURATION, SCALE
from sarcd.training.patches import IGNORE

_LARGEST = 1 - 2**-23  # largest normalised amplitude that can be inverted: 1 is saturated


def augment(
    x: Tensor,
    target: Tensor,
    channels: Sequence[str],
    options: AugmentOptions,
    generator: torch.Generator,
    *,
    brightness: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Augment a batch; each augmentation is applied to its own random subset of the patches.

    Parameters
    ----------
    x : (B, C, H, W) float32
        Features in [0, 1], invalid pixels filled.
    target : (B, H, W) uint8
        Labels: 1 change, 0 no change, 255 ignored.
    channels : sequence of C str
        Names of the features.
    options : AugmentOptions
        Probabilities and strengths.
    generator : torch.Generator
        Generator on the CPU.
    brightness : (B, 2) float32, optional
        Ratio of median to MAD of the amplitudes of both dates of each patch. Required by `speckle` and `gain`.

    Returns
    -------
    x : (B, C, H, W) float32
        Augmented features.
    target : (B, H, W) uint8
        Labels after the same geometric transforms.

    Raises
    ------
    ValueError
        If `speckle` or `gain` is enabled without `brightness`.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, section 2.4.
    """
    count = len(x)

    def chosen(probability: float) -> Tensor:
        """Sample which patches are augmented, also for disabled options: they must not affect the other options."""
        return (torch.rand(count, generator=generator) < probability).to(x.device)

    who = {name: chosen(getattr(options, name)) for name in ("speckle", "gain", "scale_coherence", "cut_mix")}
    who |= {name: chosen(getattr(options, name)) for name in ("swap_dates", "flip_azimuth", "flip_range", "shear")}
    gains = 10 ** (options.gain_db / 20 * torch.randn(count, 2, generator=generator))
    depths = torch.rand(count, generator=generator)
    partners = torch.randperm(count, generator=generator)
    boxes = torch.rand(count, 3, generator=generator)
    degrees = options.shear_degrees * (2 * torch.rand(count, generator=generator) - 1)
    noise = torch.Generator(x.device).manual_seed(int(torch.randint(2**62, (), generator=generator)))

    if options.speckle or options.gain:
        if brightness is None:
            raise ValueError("speckle and gain change linear amplitudes, which takes their brightness")
        factors = torch.where(who["gain"][:, None], gains.to(x.device), 1)[..., None, None]  # (B, 2, 1, 1)
        if options.speckle:
            speckled = speckle((count, 2, *x.shape[-2:]), options.speckle_looks, noise)
            factors = factors * torch.where(_along_batch(who["speckle"], speckled), speckled, 1)
        x = scale_amplitudes(x, target, channels, factors, brightness.to(x.device))
    if options.scale_coherence and "coherence" in channels:
        depth = _along_batch(depths.to(x.device), target)  # (B, 1, 1), or (B, H, W) if sampled per pixel
        if options.scale_per == "pixel":
            depth = torch.rand(target.shape, generator=noise, device=x.device)
        below = low_coherence(x, target, channels, options)
        x = scale_coherence(x, target, channels, depth, below, who["scale_coherence"])
    if options.cut_mix:
        x, target = cut_mix(x, target, partners.to(x.device), boxes.to(x.device), who["cut_mix"])
    x = swap_dates(x, channels, who["swap_dates"])
    x, target = flip_azimuth(x, target, who["flip_azimuth"])
    x, target = flip_range(x, target, who["flip_range"])
    if options.shear:
        x, target = shear(x, target, channels, degrees, who["shear"])
    return x, target


def flip_azimuth(x: Tensor, target: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Flip the chosen patches along y (azimuth); the look direction of the radar is unchanged."""
    return _flip(x, chosen, -2), _flip(target, chosen, -2)


def flip_range(x: Tensor, target: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Flip the chosen patches along x (range), as if the radar looked from the opposite side."""
    return _flip(x, chosen, -1), _flip(target, chosen, -1)


def swap_dates(x: Tensor, channels: Sequence[str], chosen: Tensor) -> Tensor:
    """Swap the two dates of the chosen patches; coherence is symmetric and does not change."""
    order = list(range(len(channels)))
    before, after = list(channels).index("before"), list(channels).index("after")
    order[before], order[after] = after, before
    return torch.where(_along_batch(chosen, x), x[:, order], x)


def shear(x: Tensor, target: Tensor, channels: Sequence[str], degrees: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Shear the chosen patches along azimuth about their centre, y' = y + x tan(angle).

    Features are interpolated bilinearly, labels by nearest neighbour. Pixels from outside the patch are filled and
    have no label.

    Parameters
    ----------
    x, target, channels
        As in `augment`.
    degrees : (B,) float32
        Shear angle of each patch, in degrees.
    chosen : (B,) bool
        Patches to shear.
    """
    which = chosen.nonzero()[:, 0]
    if not len(which):
        return x, target
    height, width = x.shape[-2:]
    # The inverse transform, in coordinates from -1 to 1 between the edges of the patch.
    slopes = torch.tan(torch.deg2rad(degrees.to(x.device)[which])) * (width / height)
    inverse = torch.eye(2, 3, device=x.device).repeat(len(which), 1, 1)
    inverse[:, 1, 0] = -slopes
    grid = affine_grid(inverse, [len(which), 1, height, width], align_corners=False)
    fill = torch.tensor([FILL[name] for name in channels], device=x.device)[:, None, None]
    # grid_sample pads with 0, so shift the data such that the padding value is 0.
    images = grid_sample(x[which] - fill, grid, align_corners=False) + fill
    labels = (IGNORE - target[which].float())[:, None]
    labels = grid_sample(labels, grid, mode="nearest", align_corners=False)
    x, target = x.clone(), target.clone()
    x[which] = images
    target[which] = (IGNORE - labels[:, 0]).round().to(torch.uint8)
    return x, target


def low_coherence(x: Tensor, target: Tensor, channels: Sequence[str], options: AugmentOptions) -> Tensor:
    """Return the threshold of low coherence, tau of Eq. 9, (1 or B, 1, 1): a constant or a quantile of each patch."""
    if options.scale_by == "value":
        return torch.full((1, 1, 1), options.scale_below, device=x.device)
    coherence = x[:, list(channels).index("coherence")]
    labelled = torch.where(target != IGNORE, coherence, math.nan).flatten(1)
    quantiles = torch.nanquantile(labelled, options.scale_below, dim=1)  # NaN without labels: no value is below NaN
    return quantiles[:, None, None]


def scale_coherence(
    x: Tensor, target: Tensor, channels: Sequence[str], depth: Tensor, below: Tensor, chosen: Tensor
) -> Tensor:
    """Scale low coherence of unchanged pixels to rho u, where y = 0 and rho < tau (Eq. 9 of [1]_).

    Parameters
    ----------
    x, target, channels
        As in `augment`.
    depth : broadcasts to (B, H, W)
        Scale factor u, in [0, 1].
    below : broadcasts to (B, H, W)
        Coherence threshold tau.
    chosen : (B,) bool
        Patches to augment.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664.
    """
    index = list(channels).index("coherence")
    coherence = x[:, index]
    where = (target == 0) & (coherence < below) & _along_batch(chosen, target)
    x = x.clone()
    x[:, index] = torch.where(where, coherence * depth, coherence)
    return x


def scale_amplitudes(x: Tensor, target: Tensor, channels: Sequence[str], factors: Tensor, brightness: Tensor) -> Tensor:
    """Multiply the linear amplitudes by factors.

    The normalisation (Eq. 3 and 4 of [1]_) is inverted before and applied again after.

    Parameters
    ----------
    x, target, channels
        As in `augment`.
    factors : broadcasts to (B, 2, H, W)
        Factors of the amplitudes before and after.
    brightness : (B, 2) float32
        Ratio of median to MAD of the amplitudes of each date.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664.
    """
    dates = [list(channels).index("before"), list(channels).index("after")]
    amplitudes = x[:, dates]  # (B, 2, H, W)
    scores = SATURATION * torch.atanh(2 * amplitudes.clamp(1 - _LARGEST, _LARGEST) - 1)
    middle = brightness[..., None, None]
    linear = (middle + scores / SCALE).clamp(min=0)  # in units of the MAD
    changed = (torch.tanh(SCALE * (factors * linear - middle) / SATURATION) + 1) / 2
    holes = ((amplitudes == FILL["before"]).all(dim=1) & (target == IGNORE))[:, None]
    x = x.clone()
    x[:, dates] = torch.where(holes | (factors == 1), amplitudes, changed)
    return x


def speckle(shape: tuple[int, ...], looks: float, generator: torch.Generator) -> Tensor:
    """Sample multiplicative amplitude speckle: the square root of a gamma-distributed intensity with mean 1.

    The gamma variable is approximated by the cube of a normal variable [1]_, which is fast on every device.

    Parameters
    ----------
    shape : tuple of int
        Shape of the result.
    looks : float
        Equivalent number of looks, positive.
    generator : torch.Generator
        Generator on the device of the result.

    Returns
    -------
    Tensor of float32
        Factors of the amplitude, dimensionless.

    References
    ----------
    .. [1] Wilson and Hilferty 1931, doi:10.1073/pnas.17.12.684.
    """
    normal = torch.randn(shape, generator=generator, device=generator.device)
    intensity = (1 - 1 / (9 * looks) + normal / (3 * math.sqrt(looks))).clamp(min=0) ** 3
    return intensity.sqrt()


def cut_mix(x: Tensor, target: Tensor, partners: Tensor, boxes: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Paste a rectangle of another patch and its labels into the chosen patches, at the same position (CutMix [1]_).

    Parameters
    ----------
    x, target
        As in `augment`.
    partners : (B,) int64
        Source patch of each patch.
    boxes : (B, 3) float32 in [0, 1]
        Fraction of the patch area, and y and x of the centre relative to the patch size.
    chosen : (B,) bool
        Patches to augment.

    References
    ----------
    .. [1] Yun et al. 2019, doi:10.1109/ICCV.2019.00612.
    """
    half = boxes[:, :1].sqrt() / 2
    height, width = x.shape[-2:]
    y = (torch.arange(height, device=x.device) + 0.5) / height
    across = (torch.arange(width, device=x.device) + 0.5) / width
    rows, columns = (y - boxes[:, 1:2]).abs() < half, (across - boxes[:, 2:3]).abs() < half  # (B, H), (B, W)
    inside = rows[:, :, None] & columns[:, None, :] & _along_batch(chosen, target)
    return torch.where(inside[:, None], x[partners], x), torch.where(inside, target[partners], target)


def _flip(values: Tensor, chosen: Tensor, axis: int) -> Tensor:
    return torch.where(_along_batch(chosen, values), values.flip(axis), values)


def _along_batch(chosen: Tensor, values: Tensor) -> Tensor:
    return chosen.reshape(-1, *[1] * (values.ndim - 1))
