import json

import pytest
import torch

from dualgan.networks import StyleGAN2Discriminator, StyleGAN2Generator, build_network
from dualgan.networks.base import Network, check_labels, check_resolution, one_hot

SMALL_G = StyleGAN2Generator(
    16, num_channels=1, num_classes=3, z_dim=8, w_dim=12, mapping_layers=2, channel_base=128, channel_max=8
)
SMALL_D = StyleGAN2Discriminator(16, channel_base=128, channel_max=8, minibatch_std_group=2)


@pytest.mark.parametrize("network", [SMALL_G, SMALL_D], ids=["generator", "discriminator"])
def test_a_description_survives_json_and_rebuilds_the_network(network: Network) -> None:
    twin = build_network(json.loads(json.dumps(network.describe())))
    assert type(twin) is type(network)
    assert twin.describe() == network.describe()
    twin.load_state_dict(network.state_dict())


def test_a_description_names_every_argument_even_those_left_at_their_default() -> None:
    assert SMALL_G.describe() == {
        "class_name": "StyleGAN2Generator",
        "init_args": {
            "resolution": 16,
            "num_channels": 1,
            "num_classes": 3,
            "z_dim": 8,
            "w_dim": 12,
            "mapping_layers": 2,
            "channel_base": 128,
            "channel_max": 8,
            "attention": None,
            "attention_resolution": None,
            "conv_clamp": None,
            "noise": True,
        },
    }


def test_an_unknown_network_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'StyleGAN9'.*StyleGAN2Discriminator.*StyleGAN2Generator"):
        build_network({"class_name": "StyleGAN9", "init_args": {}})


@pytest.mark.parametrize("resolution", [0, 4, 12, 200, 2048])
def test_a_resolution_that_cannot_be_doubled_up_to_is_refused_with_those_that_can(resolution: int) -> None:
    with pytest.raises(ValueError, match=rf"resolution {resolution} .*8, 16, \.\.\., 1024"):
        check_resolution(resolution)


def test_mismatched_labels_say_what_was_expected() -> None:
    labels = torch.zeros(4, dtype=torch.long)
    with pytest.raises(ValueError, match="unconditional"):
        check_labels(labels, num_classes=0, count=4)
    with pytest.raises(ValueError, match="3 classes needs labels"):
        check_labels(None, num_classes=3, count=4)
    with pytest.raises(ValueError, match=r"\(4,\) for 5 samples: expected class indices \[5\]"):
        check_labels(labels, num_classes=3, count=5)
    with pytest.raises(ValueError, match=r"\(4, 3\) for 4 samples"):
        check_labels(one_hot(labels, 3), num_classes=3, count=4)


def test_fitting_labels_pass() -> None:
    check_labels(None, num_classes=0, count=4)
    check_labels(torch.tensor([0, 2, 1]), num_classes=3, count=3)


def test_one_hot_is_float_and_takes_any_integer_type() -> None:
    expected = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    for dtype in (torch.int32, torch.int64, torch.uint8):
        encoded = one_hot(torch.tensor([1, 0], dtype=dtype), 3)
        assert encoded.dtype == torch.float32
        assert torch.equal(encoded, expected)
