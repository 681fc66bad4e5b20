"""Options as text and back."""

import pytest

from sarcd.config import AugmentOptions, LossOptions, TrainOptions, change, read_toml, to_dict, write_toml
from sarcd.errors import OptionError


def test_training_options_survive_toml(tmp_path):
    options = TrainOptions(
        network={"widths": (4, 8), "convolutions": 1},
        loss=LossOptions(dice=0.5),
        augment=AugmentOptions(shear=0.25, scale_by="quantile"),
        cache_folder='a "quoted" folder',
    )
    write_toml(options, tmp_path / "o.toml")
    assert read_toml(tmp_path / "o.toml", TrainOptions) == options


def test_single_values_are_changed():
    options = change(TrainOptions(network={"bottleneck": 4}), ["network.widths=[4, 8]", "epochs = 3", "draw=weighted"])
    assert options.network == {"bottleneck": 4, "widths": (4, 8)}
    assert (options.epochs, options.draw) == (3, "weighted")
    assert to_dict(change(TrainOptions(), [])) == to_dict(TrainOptions())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epoch=3", "unknown key 'epoch'"),
        ("loss.dize=1", "unknown key 'dize'"),
        ("lost.dice=1", "no KEY=VALUE"),
        ("epochs.more=1", "no KEY=VALUE"),
        ("epochs", "no KEY=VALUE"),
        ("epochs=many", "'many' cannot be used"),
        ("augment.shear=2", "shear is 2"),
    ],
)
def test_what_cannot_be_changed_is_refused(setting, message):
    with pytest.raises(OptionError, match=message):
        change(TrainOptions(), [setting])
