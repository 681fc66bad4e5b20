"""Options to text and back."""

import math

import pytest

from sarcd.config import (
    AugmentOptions,
    CoherenceOptions,
    IngestOptions,
    LossOptions,
    PredictOptions,
    PseudoOptions,
    TrainOptions,
    Window,
    change,
    from_dict,
    merge,
    read_toml,
    to_dict,
    toml_text,
    write_toml,
)
from sarcd.errors import OptionError


def test_training_options_survive_toml(tmp_path):
    options = TrainOptions(
        network={"widths": (4, 8), "convolutions": 1},
        loss=LossOptions(dice=0.5),
        augment=AugmentOptions(shear=0.25, scale_by="quantile"),
        cache_dir='a "quoted" folder',
    )
    write_toml(options, tmp_path / "o.toml")
    assert read_toml(tmp_path / "o.toml", TrainOptions) == options


def test_single_values_are_changed():
    options = change(
        TrainOptions(network={"bottleneck": 4}), ["network.widths=[4, 8]", "epochs = 3", "sampling=weighted"]
    )
    assert options.network == {"bottleneck": 4, "widths": (4, 8)}
    assert (options.epochs, options.sampling) == (3, "weighted")
    assert to_dict(change(TrainOptions(), [])) == to_dict(TrainOptions())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epoch=3", "unknown key 'epoch'"),
        ("loss.dize=1", "unknown key 'dize'"),
        ("lost.dice=1", "is not KEY=VALUE"),
        ("epochs.more=1", "is not KEY=VALUE"),
        ("epochs", "is not KEY=VALUE"),
        ("epochs=many", "'many' cannot be used"),
        ("augment.shear=2", "shear is 2"),
    ],
)
def test_what_cannot_be_changed_is_refused(setting, message):
    with pytest.raises(OptionError, match=message):
        change(TrainOptions(), [setting])


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        *((TrainOptions, {name: 0}) for name in ("patch", "batch", "epochs", "score_every", "shuffle")),
        *((TrainOptions, {name: -1}) for name in ("micro_batch", "seed", "memory_bytes", "workers")),
        *((TrainOptions, {name: -1}) for name in ("weight_decay", "checkpoint_seconds", "val_fraction")),
        *((TrainOptions, {name: 1}) for name in ("val_fraction", "threshold")),
        *((TrainOptions, {name: 0}) for name in ("threshold", "lr_milestone", "learning_rate")),
        *((TrainOptions, {name: math.nan}) for name in ("threshold", "lr_milestone", "learning_rate", "weight_decay")),
        *((TrainOptions, {"learning_rate": math.inf}), (TrainOptions, {"lr_milestone": 1.1})),
        *((TrainOptions, {name: "other"}) for name in ("statistics", "sampling", "precision", "checkpoint")),
        *((TrainOptions, {name: "other"}) for name in ("schedule", "order", "cache")),
        *((PseudoOptions, {"confidence": value}) for value in (0.49, 1, math.nan)),
        *((PseudoOptions, {"min_confident": value}) for value in (-0.1, 1, math.nan)),
        *((PseudoOptions, {name: 0}) for name in ("max_patches",)),
        *((PseudoOptions, {name: "other"}) for name in ("reading", "choice")),
        (PseudoOptions, {"seed": -1}),
        *((PredictOptions, {"threshold": value}) for value in (0, 1, math.nan)),
        (PredictOptions, {"precision": "int8"}),
        *((CoherenceOptions, {"min_valid": value}) for value in (0, 1.1, math.nan)),
        *((CoherenceOptions, {"window": value}) for value in (1, 4, -3, 2.0, True)),
        (CoherenceOptions, {"estimator": "other"}),
        *((IngestOptions, {name: value}) for name in ("wavelength_m", "looks") for value in (0, math.inf, math.nan)),
        *((IngestOptions, {"spacing_m": value}) for value in ((1.0,), (0.0, 1.0), (1.0, math.inf))),
        *((IngestOptions, {"shard": value}) for value in (-1024, 1500)),
        *((IngestOptions, {name: 0}) for name in ("chunk", "memory_bytes")),
    ],
)
def test_values_without_meaning_are_refused(kind, wrong):
    (name,) = wrong
    with pytest.raises(OptionError) as caught:
        kind(**wrong)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "edge"),
    [
        (TrainOptions, {"val_fraction": 0.0, "lr_milestone": 1.0, "weight_decay": 0.0, "micro_batch": 0, "patch": 1}),
        (PseudoOptions, {"confidence": 0.5, "min_confident": 0.0, "max_patches": 1}),
        (CoherenceOptions, {"min_valid": 1.0, "window": (1, 3)}),
        (AugmentOptions, {"flip_range": 1, "shear": 0, "scale_below": 1, "shear_degrees": 0, "gain_db": 0}),
        (IngestOptions, {"shard": 2048, "chunk": 1024}),
    ],
)
def test_values_at_the_edge_are_taken(kind, edge):
    options = kind(**edge)
    assert from_dict(kind, to_dict(options)) == options


@pytest.mark.parametrize("kind", [TrainOptions, PredictOptions, CoherenceOptions, IngestOptions])
def test_defaults_survive_toml(kind, tmp_path):
    write_toml(kind(), tmp_path / "o.toml")
    assert read_toml(tmp_path / "o.toml", kind) == kind()


def test_text_with_quotes_and_backslashes_survives_toml(tmp_path):
    options = TrainOptions(cache_dir=r'C:\new\"data"', backbone="naïve.pth")
    write_toml(options, tmp_path / "o.toml")
    assert read_toml(tmp_path / "o.toml", TrainOptions) == options


def test_any_text_and_any_key_survive_toml(tmp_path):
    """TOML has its own escapes for unprintable characters, and quoted keys."""
    options = TrainOptions(cache_dir="a\tb\n\x07", network={"two words": "c\rd", "nested": {"x": (1, 2)}})
    write_toml(options, tmp_path / "o.toml")
    found = read_toml(tmp_path / "o.toml", TrainOptions)
    assert found.cache_dir == options.cache_dir
    assert found.network == {"two words": "c\rd", "nested": {"x": [1, 2]}}


def test_every_key_is_explained_and_what_is_unset_stays_a_comment():
    lines = toml_text(TrainOptions()).splitlines()
    at = lines.index("# max_patches =")
    assert lines[at - 1] == "# maximum number of patches (N); empty: as many as the model was trained on"
    keys = [number for number, line in enumerate(lines) if "=" in line and not line.startswith("#")]
    assert all(lines[number - 1].startswith("# ") for number in keys)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": True}, "epochs: True cannot be used"),
        ({"epochs": 3.0}, r"epochs: 3.0 cannot be used[.] It must be int"),
        ({"learning_rate": True}, "learning_rate: True"),
        ({"learning_rate": "fast"}, "learning_rate: 'fast'"),
        ({"calibrate": 1}, "calibrate: 1 cannot"),
        ({"seed": None}, "seed: None"),
        ({"sampling": "none"}, "sampling: 'none'"),
        ({"loss": 3}, "LossOptions must be a table"),
        ({"loss": {"mse": 1}}, "unknown key 'mse'[.] Known are bce, dice"),
        ({"network": [1]}, "network"),
        ({"pseudo": {"max_patches": "many"}}, "max_patches: 'many'"),
        ({"coherence": {"window": [3, 5, 7]}}, "window"),
    ],
)
def test_values_of_a_wrong_type_are_refused(values, message):
    with pytest.raises(OptionError, match=message):
        from_dict(TrainOptions, values)


def test_whole_numbers_pass_for_fractions_and_lists_for_tuples():
    options = from_dict(TrainOptions, {"learning_rate": 1, "network": {"widths": [4, 8]}, "pseudo": {"max_patches": 3}})
    assert isinstance(options.learning_rate, float)
    assert options.network == {"widths": (4, 8)}
    assert options.pseudo.max_patches == 3
    assert from_dict(CoherenceOptions, {"window": {"y": 7, "x": 5}}).window == Window(7, 5)
    assert from_dict(CoherenceOptions, {"window": 7}).window == Window(7, 7)


def test_what_is_given_beside_a_file_wins_unless_it_is_nothing(tmp_path):
    (tmp_path / "o.toml").write_text("epochs = 7\nbatch = 3\n")
    options = read_toml(tmp_path / "o.toml", TrainOptions, epochs=2, batch=None, val_fraction=0.0)
    assert (options.epochs, options.batch) == (2, 3)
    assert merge(options, epochs=None) is options


def test_changing_leaves_the_options_as_they_were():
    options = TrainOptions(network={"widths": (4, 8)})
    change(options, ["network.widths=[1]", "loss.dice=1"])
    assert options == TrainOptions(network={"widths": (4, 8)})


@pytest.mark.parametrize(("text", "message"), [("epochs = ", "not a TOML file"), (b"\xff\xfe", "not a TOML file")])
def test_files_that_cannot_be_read(tmp_path, text, message):
    path = tmp_path / "o.toml"
    with pytest.raises(OptionError, match=r"o.toml: cannot read"):
        read_toml(path, TrainOptions)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(OptionError, match=message):
        read_toml(path, TrainOptions)
