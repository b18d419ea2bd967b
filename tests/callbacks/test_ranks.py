"""Hashes and comparisons; tests/test_distributed.py lets two ranks really drift."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dualgan.callbacks.provenance import conditions, warn_if_changed
from dualgan.callbacks.ranks import (
    RankConsistency,
    bit_hash,
    check_state,
    different_premises,
    premises,
    ranks_in,
    shared_state,
)
from tests.tiny import tiny_gan, train

TENSORS = [
    torch.randn(3, 4), torch.randn(5, dtype=torch.float64), torch.randn(4).bfloat16(), torch.tensor(7),
    torch.tensor([True, False]),
]  # fmt: skip


@pytest.mark.parametrize("value", TENSORS, ids=lambda value: str(value.dtype))
def test_a_hash_sees_every_element_and_their_order(value: torch.Tensor) -> None:
    before = value.clone()
    hashes = {int(bit_hash(value))}
    assert torch.equal(value, before)
    assert int(bit_hash(before)) in hashes
    flat = value.flatten()
    for i in range(len(flat)):
        other = flat.clone()
        other[i] = ~other[i] if other.dtype == torch.bool else -other[i]
        hashes.add(int(bit_hash(other)))
    if len(flat) > 1:
        hashes.add(int(bit_hash(flat.roll(1))))
    assert len(hashes) >= len(flat) + 1


def test_equal_numbers_in_another_layout_are_equal() -> None:
    images = torch.randn(2, 3, 4, 4)
    assert bit_hash(images) == bit_hash(images.contiguous(memory_format=torch.channels_last))


def test_everything_that_ranks_share_is_compared() -> None:
    gan = tiny_gan()
    trainer = train(gan, 2)
    names = {name for name, _ in shared_state(trainer, gan)}
    assert set(gan.state_dict()) <= names
    assert {"clock", "global_step", "path_length_mean", "generator_ema.mapping.w_avg"} <= names
    moments = [name for name in names if name.startswith("exp_avg_sq of ")]
    assert len(moments) == sum(parameter.requires_grad for parameter in gan.parameters())


def test_one_process_has_nothing_to_compare() -> None:
    gan = tiny_gan()
    check_state(train(gan, 1, callbacks=[RankConsistency(0.001)]), gan)


def test_messages_name_values_and_ranks() -> None:
    everyone = [{"the seed": "0", "size": "9"}, {"the seed": "0", "size": "9"}, {"the seed": "3", "more": "1"}]
    assert different_premises(everyone).split("), ") == [
        "the seed (0 on rank 0, 3 on rank 2",
        "size (9 on rank 0, none on rank 2",
        "more (none on rank 0, 1 on rank 2)",
    ]
    assert different_premises(everyone[:2]) == ""
    assert ranks_in(torch.tensor([False, True, False, True])) == "ranks 1, 3"


def test_labels_are_compared_between_ranks_and_when_resuming() -> None:
    data = SimpleNamespace(dataset_size=4, fingerprint="images", label_fingerprint="classes", batch_size=4)
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    trainer: Any = SimpleNamespace(datamodule=data, ckpt_path=None, world_size=1, precision="32", strategy=strategy)
    gan = tiny_gan()
    mine = premises(trainer, gan, {})
    now = conditions(trainer, gan)
    data.label_fingerprint = "others"
    assert different_premises([mine, premises(trainer, gan, {})]) == (
        "the labels of the data set (classes on rank 0, others on rank 1)"
    )
    with pytest.warns(UserWarning, match="the fingerprint of the data's labels was classes and is others"):
        warn_if_changed(now, conditions(trainer, gan))
