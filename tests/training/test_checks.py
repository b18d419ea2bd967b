import copy

import pytest
import torch
from pytorch_lightning.plugins.precision import MixedPrecision

from dualgan.training.averaging import DEFAULT_HALF_LIFE, follow_, half_life_decay
from dualgan.training.checks import check_batch, check_precision
from tests.tiny import tiny_gan, train


def test_precisions() -> None:
    for fine in ("32-true", "bf16-mixed", "64-true", 64, None):
        check_precision(fine)
    reasons = {
        "16-mixed": "it scales losses up, and the gradients of two players that alternate are not scaled back",
        "16-true": "weights in half precision lose most steps of their moving average to rounding",
        "bf16-true": "weights in half precision lose most steps of their moving average to rounding",
        "transformer-engine": "the networks have none of the layers that it replaces",
        "8-true": "there is no such precision",
    }
    for precision, reason in reasons.items():
        with pytest.raises(ValueError, match=rf"'{precision}' is not supported: {reason}.* --trainer.precision bf16-m"):
            check_precision(precision)


def test_what_is_said_of_float16_with_a_loss_scale_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dualgan.training.two_players.check_precision", lambda precision: None)
    full, mixed = (
        train(tiny_gan(d_reg_interval=1), 1, plugins=plugins).callback_metrics
        for plugins in ([], [MixedPrecision("16-mixed", "cpu")])
    )
    assert float(mixed["loss/r1"]) == pytest.approx(float(full["loss/r1"]), rel=0.01)  # penalties do not overflow
    scale = float(mixed["gradient_norm/discriminator"] / full["gradient_norm/discriminator"])
    assert scale == pytest.approx(2**16, rel=0.1)


@pytest.mark.parametrize(("kind", "lost"), [(torch.float16, True), (torch.bfloat16, True), (torch.float32, False)])
def test_what_is_said_of_weights_in_half_precision_is_true(kind: torch.dtype, lost: bool) -> None:
    source = torch.Generator().manual_seed(0)
    average = torch.nn.Linear(64, 64).to(kind)
    network = copy.deepcopy(average)
    with torch.no_grad():
        network.weight *= 1 + 0.1 * torch.randn(64, 64, generator=source).to(kind)
    before = average.weight.clone()
    follow_(average, network, half_life_decay(32, 10**6, DEFAULT_HALF_LIFE, None))
    stayed = float((average.weight == before).float().mean())
    assert (stayed > 0.5) == lost


def test_batches_must_divide() -> None:
    check_batch(32, 4, 8, 4)
    with pytest.raises(ValueError, match=r"batch_size 32 is not divisible by 3 devices = 3: choose a multiple of 3"):
        check_batch(32, 3, None, 4)
    with pytest.raises(ValueError, match=r"2 devices x micro_batch 12 = 24"):
        check_batch(32, 2, 12, 4)


def test_groups_of_the_discriminator_stay_whole() -> None:
    check_batch(2, 1, None, 4)  # one group of two
    check_batch(8, 4, 2, 2)
    check_batch(6, 2, 1, 1)
    with pytest.raises(
        ValueError, match=r"micro_batch 2 gives the discriminator 2 images .* groups of 4: .*_std_group"
    ):
        check_batch(16, 2, 2, 4)
    with pytest.raises(ValueError, match=r"batch_size 8 over 4 devices gives the discriminator 2 images"):
        check_batch(8, 4, None, 4)
    with pytest.raises(ValueError, match="choose a multiple of 4"):
        check_batch(6, 1, None, 4)
