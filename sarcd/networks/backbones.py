"""First stages of torchvision's networks, for images other than photographs; parameters keep their names."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from sarcd.optional import require

_STAGES = 4  # of the EfficientNet: one at H / 2 whose output is not used, then H / 2, H / 4 and H / 8

RESNET_WIDTHS = (64, 128, 256, 512)


class Backbone(nn.Module):
    """Part of a torchvision network.

    Attributes
    ----------
    source : str
        Name of the torchvision function that builds the whole network.
    first : str
        Name of the weights applied to the channels of the image.
    """

    source: str
    first: ClassVar[str]


class EfficientNetBackbone(Backbone):
    """The first stages of an EfficientNet.

    Parameters
    ----------
    backbone : {"b4", "b0"}
        Variant of the EfficientNet.
    in_channels : int
        Channels of the input.
    """

    first = "features.0.0.weight"

    def __init__(self, backbone: str, in_channels: int) -> None:
        super().__init__()
        self.source = f"efficientnet_{backbone}"
        require("torchvision")
        from torchvision import models

        with torch.device("meta"):
            whole = getattr(models, self.source)(weights=None)
            self.features = whole.features[:_STAGES]
            self.features[0][0] = _with_channels(self.features[0][0], in_channels)
        _draw_weights(self)
        self.widths = [_width(stage) for stage in self.features]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the input, and the features of all stages but the first."""
        found = [x]
        x = self.features[0](x)  # (B, width_0, H / 2, W / 2)
        for stage in self.features[1:]:
            x = stage(x)  # (B, width_1, H / 2, W / 2), (B, width_2, H / 4, W / 4), (B, width_3, H / 8, W / 8)
            found.append(x)
        return found


class ResNetBackbone(Backbone):
    """ResNet-18 without its classifier.

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    """

    source = "resnet18"
    first = "conv1.weight"

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        require("torchvision")
        from torchvision import models

        with torch.device("meta"):
            whole = models.resnet18(weights=None)
            self.conv1 = _with_channels(whole.conv1, in_channels)
        self.bn1, self.relu, self.maxpool = whole.bn1, whole.relu, whole.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = whole.layer1, whole.layer2, whole.layer3, whole.layer4
        _draw_weights(self)

    def stem(self, x: Tensor) -> Tensor:
        """Return (B, 64, H / 4, W / 4)."""
        y: Tensor = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return y

    def stages(self) -> tuple[nn.Module, ...]:
        """Return the four stages."""
        return self.layer1, self.layer2, self.layer3, self.layer4

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features of each stage: (B, 64, H / 4, W / 4) to (B, 512, H / 32, W / 32)."""
        found = [self.stem(x)]
        for stage in self.stages():
            found.append(stage(found[-1]))
        return found[1:]


def _with_channels(convolution: nn.Conv2d, in_channels: int) -> nn.Conv2d:
    """Return a convolution like another one without bias, for another number of channels."""
    return nn.Conv2d(
        in_channels,
        convolution.out_channels,
        kernel_size=convolution.kernel_size,  # type: ignore[arg-type]
        stride=convolution.stride,  # type: ignore[arg-type]
        padding=convolution.padding,  # type: ignore[arg-type]
        bias=False,
    )


def _draw_weights(backbone: nn.Module) -> None:
    """Allocate a backbone that has no memory, on the default device, and initialise it as torchvision does.

    Drawing the weights of the parts that are not used as well would take seconds.
    """
    backbone.to_empty(device=torch.get_default_device())
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


def _width(stage: nn.Module) -> int:
    return next(module for module in reversed(list(stage.modules())) if isinstance(module, nn.Conv2d)).out_channels
