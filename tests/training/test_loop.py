"""The training loop: gradient clipping, weight averaging, and fixed batch norm statistics."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import nn

from sarcd.config import LossOptions, TrainOptions
from sarcd.errors import TrainingError
from sarcd.networks import create_model
from sarcd.training.distributed import ProcessGroup
from sarcd.training.loop import Batch, StepOptions, TrainingLoop, new_state

ALONE = ProcessGroup(0, 1, torch.device("cpu"))
CHANNELS = 7


def constant(optimizer):
    return torch.optim.lr_scheduler.MultiStepLR(optimizer, [1000])


def new(seed=0, learning_rate=0.01, **options):
    torch.manual_seed(seed)
    network = create_model("unet", CHANNELS, widths=(4, 8))
    return new_state(network, constant, learning_rate=learning_rate, weight_decay=0.0, **options)


def batches(count, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for step in range(count):
        x = torch.randn(3, CHANNELS, 16, 16, generator=generator)
        target = (x[:, 2] > 0.5).to(torch.uint8)
        target[:, :2] = 255
        yield Batch(x, target, partial("step {}".format, step))


def weights(state):
    return {name: value.clone() for name, value in state.network.state_dict().items()}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=0, atol=0, msg=name)


def test_seven_channels_are_learnt_from():
    loop = TrainingLoop(new(), StepOptions(), ALONE)
    losses = [loop.run(batches(20, seed)) for seed in range(4)]
    assert losses[-1] < 0.7 * losses[0]


def test_the_mean_loss_counts_each_pixel_once():
    one = next(batches(1))
    half = one._replace(target=torch.where(torch.arange(16) < 8, one.target, 255).to(torch.uint8))
    loop = TrainingLoop(new(learning_rate=0.0), StepOptions(norm_statistics=False), ALONE)
    a, b = loop.run([one]), loop.run([half])
    assert a != b
    assert [loop.step(*batch[:2])[1] for batch in (one, half)] == [3 * 14 * 16, 3 * 14 * 8]
    assert loop.run([one, half]) == pytest.approx((2 * a + b) / 3, rel=1e-6)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_gradients_are_clipped_before_the_step(precision):
    """The true gradient is clipped even if the loss is scaled."""
    state = new(precision=precision)
    if precision == "float16":
        state.scaler.load_state_dict({**state.scaler.state_dict(), "scale": 64.0})
    x, target, _ = next(batches(1))
    seen = []
    state.optimizer.register_step_pre_hook(
        lambda optimizer, *_: seen.append([value.grad.clone() for value in state.network.parameters()])
    )
    free = copy.deepcopy(state.network)
    loss = nn.functional.binary_cross_entropy_with_logits(free(x)[:, 0][target != 255], target[target != 255].float())
    true = torch.autograd.grad(loss, list(free.parameters()))
    norm = math.sqrt(sum(float(value.square().sum()) for value in true))
    TrainingLoop(state, StepOptions(max_norm=norm / 4), ALONE).step(x, target)
    for one, other in zip(true, seen[0], strict=True):
        torch.testing.assert_close(other, one / 4, rtol=1e-3, atol=1e-6)


def test_gradients_within_the_norm_stay():
    states = [new(), new()]
    for state, norm in zip(states, (None, 1e6), strict=True):
        TrainingLoop(state, StepOptions(max_norm=norm), ALONE).run(batches(2))
    assert_equal(*map(weights, states))


def test_the_average_is_the_recursion_by_hand():
    """After each step ``decay * mean + (1 - decay) * weights``, starting from the first step's weights; norms too."""
    state, decay = new(average=0.6), 0.6
    loop, mean = TrainingLoop(state, StepOptions(), ALONE), None
    for batch in batches(4):
        loop.run([batch])
        now = weights(state)
        mean = (
            now
            if mean is None
            else {
                name: decay * mean[name] + (1 - decay) * value if value.is_floating_point() else value
                for name, value in now.items()
            }
        )
    last = weights(state)
    state.use_average()
    found = weights(state)
    for name, value in mean.items():
        if value.is_floating_point():
            torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6, msg=name)
    assert not torch.equal(found["head.weight"], last["head.weight"])


def test_an_average_resumes(tmp_path):
    whole, torn, other = new(average=0.5), new(average=0.5), new(seed=3, average=0.5)
    every = list(batches(5))
    TrainingLoop(whole, StepOptions(), ALONE).run(every)
    TrainingLoop(torn, StepOptions(), ALONE).run(every[:3])
    torn.save(tmp_path, {})
    other.load(tmp_path)
    TrainingLoop(other, StepOptions(), ALONE).run(every[3:])
    for state in (whole, other):
        state.use_average()
    assert_equal(weights(whole), weights(other))


def test_without_an_average_the_weights_are_used():
    state = new()
    TrainingLoop(state, StepOptions(), ALONE).run(batches(1))
    before = weights(state)
    state.use_average()
    assert_equal(before, weights(state))


@pytest.mark.parametrize("estimated", [True, False])
def test_batch_norms_that_keep_their_statistics(estimated):
    state = new()
    before = weights(state)
    TrainingLoop(state, StepOptions(norm_statistics=estimated), ALONE).run(batches(2))
    now = weights(state)
    moved = {name for name in before if not torch.equal(before[name], now[name])}
    assert any("running_mean" in name for name in moved) == estimated
    assert "head.weight" in moved  # all other weights are trained


def test_a_loss_that_is_not_finite_leaves_the_weights():
    state = new(average=0.5)
    before = weights(state)
    x, target, describe = next(batches(1))
    broken = Batch(torch.full_like(x, math.nan), target, describe)
    with pytest.raises(TrainingError, match=r"loss is nan in step 0[.] Lower the learning rate"):
        TrainingLoop(state, StepOptions(norm_statistics=False), ALONE).run([broken])
    assert_equal(before, weights(state))
    state.use_average()
    assert_equal(before, weights(state))


def test_options_of_a_training():
    options = TrainOptions(loss=LossOptions(dice=1.0), precision="bfloat16", micro_batch=3)
    assert StepOptions.of(options) == StepOptions(LossOptions(dice=1.0), "bfloat16", 3)
