"""Official pickles become our networks, or are refused with the reason."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dualgan import load_generator
from dualgan.networks.mapping import NOT_COUNTED
from dualgan.networks.stylegan2.scaled import Scaled
from dualgan.weights.checkpoints import load_discriminator, read_networks
from dualgan.weights.official.networks import import_official
from tests.weights.official.official_files import (
    Change,
    numpy_scalar,
    official_content,
    players,
    tensor_call,
    write_official,
)

GOLDEN = Path(os.environ.get("DUALGAN_GOLDEN", Path(__file__).parents[3].parent / "shared" / "golden"))


@pytest.mark.parametrize("stylegan3", [False, True], ids=["stylegan2-ada", "stylegan3"])
@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("noise", [True, False], ids=["noise", "no noise"])
def test_networks_come_back_bit_by_bit(stylegan3: bool, num_classes: int, noise: bool, tmp_path: Path) -> None:
    G, D = players(num_classes, conv_clamp=256, noise=noise)
    G.mapping.w_avg_updates.fill_(NOT_COUNTED)  # theirs is taken as it is stored
    if num_classes:  # official networks have one mean w for all
        G.mapping.w_shift_of_class.zero_()
        G.mapping.w_shift_updates.zero_()
    path = write_official(tmp_path / "a.pkl", official_content(G, D, stylegan3=stylegan3))
    for ours, read in ((G, load_generator(path)), (D, load_discriminator(path))):
        assert read.describe() == ours.describe()
        assert not read.training
        for name, value in ours.state_dict().items():
            assert torch.equal(read.state_dict()[name], value), name
    z, labels = torch.randn(4, 8), torch.arange(4) % num_classes if num_classes else None
    images = G(z, labels, noise_mode="const")
    assert torch.equal(load_generator(path)(z, labels, noise_mode="const"), images)
    assert torch.equal(load_discriminator(path)(images, labels), D(images, labels))


@pytest.mark.skipif(
    not (GOLDEN / "stylegan2_ada_tiny.pkl").is_file(),
    reason="needs stylegan2_ada_tiny.pkl of the published implementation, in the folder that DUALGAN_GOLDEN names",
)
def test_images_agree_with_the_published_implementation() -> None:
    G = load_generator(GOLDEN / "stylegan2_ada_tiny.pkl")
    expected = np.load(GOLDEN / "stylegan2_ada_tiny_expected.npz")
    z = torch.from_numpy(expected["z"])
    for truncation_psi, name in ((1.0, "images_const"), (0.7, "images_psi0_7")):
        images = G(z, truncation_psi=truncation_psi, noise_mode="const")
        torch.testing.assert_close(images, torch.from_numpy(expected[name]), rtol=0, atol=1e-4)


def setting(path: str, **values: Any) -> Change:
    """Change attributes of one module."""

    def change(where: str, attributes: dict[str, Any]) -> None:
        if where == path:
            attributes |= values

    return change


def argument(section: str | None, **values: Any) -> Change:
    """Change arguments of the network, or of one of their sections."""

    def change(where: str, attributes: dict[str, Any]) -> None:
        if where == "":
            given = attributes["_init_kwargs"]
            (given if section is None else given.setdefault(section, {})).update(values)

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (setting("synthesis.b8", architecture="resnet"), "synthesis.b8 has architecture 'resnet'"),
        (setting("synthesis.b8.conv0", activation="relu"), "activation 'relu'"),
        (setting("synthesis.b8.conv0", use_noise=False), "use_noise differs between its synthesis.b4.conv1 and"),
        (setting("synthesis.b8.conv0", use_noise=2), "b8.conv0 has use_noise 2: expected true or false"),
        (setting("mapping.fc0", bias_gain=numpy_scalar(0.1)), "bias_gain 0.1, where ours is 0.01"),
        (setting("synthesis.b4.conv1", conv_clamp=64), "conv_clamp differs"),
        (argument("mapping_kwargs", embed_features=7), "embed_features 7"),
        (argument("synthesis_kwargs", spectral_norm=True), "spectral_norm True, which ours has not"),
        (argument(None, img_resolution=48), "resolution 48 is not a power of two"),
        (argument(None, w_dim="wide"), "w_dim 'wide'"),
        (argument(None, z_dim=9), r"mapping.fc0.weight is \(12, 8\)"),
        (argument("mapping_kwargs", num_layers=10**5), "mapping_layers 100000"),
        (setting("synthesis", _modules={}), "alias-free"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_generator_that_ours_cannot_be_is_refused(change: Change, named: str, tmp_path: Path) -> None:
    path = write_official(tmp_path / "a.pkl", official_content(*players(), change_g=change))
    with pytest.raises(ValueError, match=rf"(?s)a\.pkl.*{named}"):
        load_generator(path)


def test_another_low_pass_filter_is_refused(tmp_path: Path) -> None:
    def change(where: str, attributes: dict[str, Any]) -> None:
        if where == "synthesis.b8.conv0":
            attributes["_buffers"]["resample_filter"] = tensor_call(torch.full((4, 4), 1 / 16))

    path = write_official(tmp_path / "a.pkl", official_content(*players(), change_g=change))
    with pytest.raises(ValueError, match=r"b8\.conv0\.resample_filter is not the filter \[1, 3, 3, 1\]"):
        load_generator(path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (setting("b8", architecture="orig"), "architecture 'orig'"),
        (argument("epilogue_kwargs", mbstd_num_channels=0), "mbstd_num_channels 0"),
        (argument("epilogue_kwargs", mbstd_group_size=None), "mbstd_group_size None"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_discriminator_that_ours_cannot_be_is_left_out(change: Change, named: str, tmp_path: Path) -> None:
    path = write_official(tmp_path / "a.pkl", official_content(*players(), change_d=change))
    assert load_generator(path).resolution == 8
    with pytest.raises(ValueError, match=f"holds no discriminator, because .*{named}"):
        load_discriminator(path)


@pytest.mark.parametrize("entry", ["G", "D"])
def test_a_file_need_not_hold_all_networks(entry: str, tmp_path: Path) -> None:
    content = official_content(*players())
    content[entry] = None
    found = read_networks(write_official(tmp_path / "a.pkl", content))
    player = {"G": "generator.", "D": "discriminator."}[entry]
    assert not [name for name in found["state_dict"] if name.startswith(player)]
    assert [name for name in found["state_dict"] if name.startswith("generator_ema.")]


@pytest.mark.parametrize("content", [{}, [1], {"G_ema": 3}, {"G_ema": {"type": "class"}}], ids=str)
def test_other_contents_are_refused(content: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot import .*a\.pkl.*Expected a \.pkl file of StyleGAN2-ADA"):
        import_official(write_official(tmp_path / "a.pkl", content))


def test_bound_on_convolutions_is_applied_where_the_published_networks_have_it() -> None:
    """After the activation's gain, times the residual's, and not in the skip branch."""
    G, D = players(conv_clamp=0.1)
    free = players()
    G_layers, D_layers = ("synthesis.b8.conv0", "synthesis.b8.conv1", "synthesis.b8.torgb"), ("b8.fromrgb", "b8.conv1")
    for network, unbounded, names in ((G, free[0], G_layers), (D, free[1], (*D_layers, "b8.skip", "b4.conv"))):
        for name in names:
            limit = 0.1 / 2**0.5 if name == "b8.conv1" else None if name == "b8.skip" else 0.1
            inputs = layer_inputs(name)
            wild = output(unbounded, name, inputs)
            expected = wild if limit is None else wild.clamp(-limit, limit)
            assert limit is None or wild.abs().max() > limit
            assert torch.equal(output(network, name, inputs), expected), name


def output(network: nn.Module, name: str, inputs: tuple[Any, ...]) -> Tensor:
    made: Tensor | Scaled = network.get_submodule(name)(*inputs)
    return made.map() if isinstance(made, Scaled) else made


def layer_inputs(name: str) -> tuple[Any, ...]:
    torch.manual_seed(1)
    size, style = (4 if name in ("synthesis.b8.conv0", "b4.conv") else 8), torch.randn(2, 12)
    channels = {"synthesis.b8.conv0": 16, "b8.fromrgb": 3, "b4.conv": 17}.get(name, 8)
    x: Tensor = torch.randn(2, channels, size, size)
    if not name.startswith("synthesis"):
        return (x,)
    return (x, style) if name.endswith("torgb") else (Scaled(x), style, "const")


def test_a_bound_must_be_positive() -> None:
    with pytest.raises(ValueError, match="conv_clamp -1 is not positive"):
        players(conv_clamp=-1)
