"""Official StyleGAN2 networks (StyleGAN2-ADA and the StyleGAN2 of the StyleGAN3 repository) as ours."""

import reprlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from dualgan.networks.layers import fir_kernel
from dualgan.networks.mapping import with_means_of_w
from dualgan.weights.building import check_fit, skeleton
from dualgan.weights.official.modules import Record, modules_of, plain, read_official
from dualgan.weights.official.pickles import UnreadablePickleError
from dualgan.weights.official.tensors import StoredTensor

T = TypeVar("T")

# Entries of the file, and what the same network is called in a checkpoint.
GENERATORS = {"G": "generator", "G_ema": "generator_ema"}

# Arguments that change nothing here, or whose effect is checked on the layers themselves.
_OF_LAYERS = {"architecture", "activation", "resample_filter", "use_noise", "conv_clamp", "lr_multiplier"}
# Tensors that only ours have.
_OF_OURS = {"mapping.w_avg_updates", "mapping.w_shift_of_class", "mapping.w_shift_updates"}
_OF_TRAINING = {"num_fp16_res", "fp16_channels_last", "fused_modconv_default", "w_avg_beta", "freeze_layers"}
_LINEAR = {"affine", "out", "embed", "skip"}


class UnsupportedNetworkError(ValueError):
    """A network of an official file that ours cannot be."""


def import_official(path: Path) -> tuple[dict[str, dict[str, Any]], dict[str, Tensor]]:
    """Read the networks of an official .pkl file; nothing in it is executed.

    Returns:
        Class name and arguments of "generator" and, where it could be read, "discriminator", and under "left_out" why a
        network of the file is not there, by its name; and the tensors under "generator.", "generator_ema." and
        "discriminator.", those that the file has.

    Raises:
        ValueError: The file is no such file, is damaged or hostile, or its generator is not a StyleGAN2 that ours can
            be. A discriminator of that kind is left out.
    """
    try:
        return _imported(path)
    except (UnreadablePickleError, UnsupportedNetworkError) as error:
        raise ValueError(
            f"cannot import {path}: {error}. Expected a .pkl file of StyleGAN2-ADA (PyTorch) or of a StyleGAN2 of the "
            f"StyleGAN3 repository"
        ) from error


def _imported(path: Path) -> tuple[dict[str, dict[str, Any]], dict[str, Tensor]]:
    content = read_official(path)
    if content.get("G_ema") is None:
        raise UnreadablePickleError("it holds no averaged generator G_ema")
    descriptions: dict[str, dict[str, Any]] = {}
    state: dict[str, Tensor] = {}
    left_out: dict[str, str] = {}
    for entry, name in GENERATORS.items():
        if content.get(entry) is not None:
            description, tensors = _network(modules_of(content[entry]), _generator, path)
            tensors = with_means_of_w(tensors, description["init_args"]["num_classes"])
            if descriptions.setdefault("generator", description) != description:
                raise UnsupportedNetworkError("its G and G_ema are different networks")
            state |= {f"{name}.{key}": value for key, value in tensors.items()}
    if content.get("D") is not None:
        try:
            description, tensors = _network(modules_of(content["D"]), _discriminator, path)
            descriptions["discriminator"] = description
            state |= {f"discriminator.{key}": value for key, value in tensors.items()}
        except UnsupportedNetworkError as error:
            left_out["discriminator"] = str(error)
    return descriptions | {"left_out": left_out}, state


def _network(
    modules: list[Record], describe: Callable[[list[Record]], dict[str, Any]], path: Path
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Description and tensors of a network of a file."""
    description = describe(modules)
    _check_layers(modules)
    stored = {name: tensor for module in modules for name, tensor in module.tensors()}
    if sum(len(tensor.payload) for tensor in stored.values()) > path.stat().st_size:
        raise UnreadablePickleError("its tensors together are larger than the file")
    _check_filters(stored)
    stored = {name: tensor for name, tensor in stored.items() if not _is_filter(name)}
    ours = skeleton(description, str(path))
    wanted = ours.state_dict()
    added = {name: wanted.pop(name).shape for name in _OF_OURS & wanted.keys()}
    check_fit({name: tensor.size for name, tensor in stored.items()} | added, ours, str(path))
    return description, {name: stored[name].read().to(value.dtype) for name, value in wanted.items()}


def _is_filter(name: str) -> bool:
    return name.rpartition(".")[2] == "resample_filter"


def _check_filters(stored: Mapping[str, StoredTensor]) -> None:
    """Match the low-pass filters with ours, which have no place in a state dict."""
    for name, tensor in stored.items():
        if _is_filter(name) and (tensor.size != (4, 4) or not torch.allclose(tensor.read().float(), fir_kernel())):
            raise UnsupportedNetworkError(f"its {name} is not the filter [1, 3, 3, 1], the only one of ours")


# ---- what the constructor's arguments and the layers say ---------------------------------------------------------


def _generator(modules: list[Record]) -> dict[str, Any]:
    network = modules[0]
    _check_class(network, "Generator")
    if not any(module.path == "synthesis.b4" for module in modules):
        raise UnsupportedNetworkError(
            "its generator has no block synthesis.b4, so it is no StyleGAN2 but perhaps an alias-free StyleGAN3"
        )
    names = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs", "synthesis_kwargs")
    given = _made_with(network, names)
    others = {name: value for name, value in given.values.items() if name not in names}
    synthesis = _Arguments(given.values.pop("synthesis_kwargs", {}) | others, "synthesis_kwargs")
    w_dim = given.integer("w_dim")
    arguments = {
        "resolution": given.integer("img_resolution"),
        "num_channels": given.integer("img_channels"),
        "num_classes": given.integer("c_dim", lowest=0),
        "z_dim": given.integer("z_dim"),
        "w_dim": w_dim,
        "mapping_layers": _mapping_layers(given, w_dim),
        **_widths(synthesis),
        "attention": None,
        "attention_resolution": None,
        "conv_clamp": _conv_clamp(modules),
        "noise": _has_noise(modules),
    }
    synthesis.refuse_others()
    return {"class_name": "StyleGAN2Generator", "init_args": arguments}


def _discriminator(modules: list[Record]) -> dict[str, Any]:
    network = modules[0]
    _check_class(network, "Discriminator")
    given = _made_with(network, ("c_dim", "img_resolution", "img_channels"))
    resolution, num_classes = given.integer("img_resolution"), given.integer("c_dim", lowest=0)
    widths = _widths(given)
    embed_dim = min(widths["channel_base"] // 4, widths["channel_max"])
    given.only("cmap_dim", (None, embed_dim) if num_classes else (given.values.get("cmap_dim"),))
    epilogue = given.section("epilogue_kwargs")
    group = epilogue.integer("mbstd_group_size", 4)
    epilogue.only("mbstd_num_channels", (None, 1))
    block = given.section("block_kwargs")
    arguments = {
        "resolution": resolution,
        "num_channels": given.integer("img_channels"),
        "num_classes": num_classes,
        **widths,
        "mapping_layers": _mapping_layers(given, embed_dim),
        "minibatch_std_group": group,
        "attention": None,
        "attention_resolution": None,
        "conv_clamp": _conv_clamp(modules),
    }
    for section in (given, epilogue, block):
        section.refuse_others()
    return {"class_name": "StyleGAN2Discriminator", "init_args": arguments}


def _check_class(network: Record, expected: str) -> None:
    if network.class_name != expected:
        raise UnsupportedNetworkError(f"it has a {reprlib.repr(network.class_name)} where a {expected} belongs")


def _mapping_layers(given: "_Arguments", width: int) -> int:
    mapping = given.section("mapping_kwargs")
    layers = mapping.integer("num_layers", 8)
    for name in ("embed_features", "layer_features"):
        mapping.only(name, (None, width))
    mapping.refuse_others()
    return layers


def _widths(given: "_Arguments") -> dict[str, int]:
    return {name: given.integer(name, default) for name, default in (("channel_base", 32768), ("channel_max", 512))}


def _check_layers(modules: list[Record]) -> None:
    """Match what the layers do with ours."""
    for module in modules:
        for attribute, expected in _expected(module).items():
            value = plain(module.attributes.get(attribute, expected))
            if value != expected:
                raise UnsupportedNetworkError(
                    f"its {module.path} has {attribute} {reprlib.repr(value)}, where ours is {expected!r}"
                )


def _conv_clamp(modules: list[Record]) -> float | None:
    """The bound on convolutions."""
    layers = [module for module in modules if "conv_clamp" in module.attributes and module.name != "skip"]

    def fits(v: Any) -> bool:
        return v is None or (isinstance(v, int | float) and 0 < v < 1e9)

    return _only_one(layers, "conv_clamp", None, fits, "a positive number")


def _has_noise(modules: list[Record]) -> bool:
    """Whether the layers add noise."""
    layers = [module for module in modules if module.class_name == "SynthesisLayer"]
    return _only_one(layers, "use_noise", True, lambda value: isinstance(value, bool), "true or false")


def _only_one(layers: list[Record], name: str, default: T, fits: Callable[[Any], bool], expected: str) -> T:
    """The value of a setting that ours has once per network, and these have per layer."""
    found: dict[T, str] = {}
    for layer in layers:
        value = plain(layer.attributes.get(name, default))
        if not fits(value):
            raise UnsupportedNetworkError(f"its {layer.path} has {name} {reprlib.repr(value)}: expected {expected}")
        found.setdefault(value, layer.path)
    if len(found) > 1:
        raise UnsupportedNetworkError(f"{name} differs between its {' and '.join(list(found.values())[:2])}")
    return next(iter(found), default)


def _expected(module: Record) -> Mapping[str, Any]:
    """Attributes that decide what a layer computes, with the values that ours have."""
    linear = "linear" if module.name in _LINEAR else "lrelu"
    expected: dict[str, dict[str, Any]] = {
        "SynthesisBlock": {"architecture": "skip"},
        "DiscriminatorBlock": {"architecture": "resnet"},
        "DiscriminatorEpilogue": {"architecture": "resnet"},
        "SynthesisLayer": {"activation": "lrelu"},
        "Conv2dLayer": {"activation": linear},
        "FullyConnectedLayer": {"activation": linear, "bias_gain": 0.01 if module.path.startswith("mapping.fc") else 1},
    }
    return expected.get(module.class_name, {})


class _Arguments:
    """Arguments of a constructor. What is asked for is taken out; `refuse_others` names the rest."""

    def __init__(self, values: Any, owner: str) -> None:
        if not isinstance(values, dict):
            raise UnreadablePickleError(f"its {owner} are no dictionary")
        self.values = {str(name)[:100]: plain(value) for name, value in values.items()}
        self.owner = owner

    def section(self, name: str) -> "_Arguments":
        """Arguments that are passed on."""
        return _Arguments(self.values.pop(name, None) or {}, name)

    def integer(self, name: str, default: int | None = None, lowest: int = 1) -> int:
        """A number of something."""
        value = self.values.pop(name, default)
        if not isinstance(value, int) or not lowest <= value < 2**20:
            raise UnsupportedNetworkError(f"its {self.owner} has {name} {reprlib.repr(value)}, which is no such number")
        return value

    def only(self, name: str, accepted: tuple[Any, ...]) -> None:
        """An argument that ours have no choice of."""
        value = self.values.pop(name, None)
        if value not in accepted:
            raise UnsupportedNetworkError(
                f"its {self.owner} has {name} {reprlib.repr(value)}, where ours is {accepted[-1]!r}"
            )

    def refuse_others(self) -> None:
        """Name an argument that nobody asked for."""
        if others := sorted(self.values.keys() - _OF_LAYERS - _OF_TRAINING):
            value = self.values[others[0]]
            raise UnsupportedNetworkError(f"its {self.owner} has {others[0]} {reprlib.repr(value)}, which ours has not")


def _made_with(network: Record, names: tuple[str, ...]) -> _Arguments:
    """The arguments of a network, positional ones under their `names`."""
    positional, given = network.attributes.get("_init_args", ()), network.attributes.get("_init_kwargs")
    if not isinstance(positional, tuple) or not isinstance(given, dict) or len(positional) > len(names):
        raise UnreadablePickleError(f"its {network.class_name} does not say how it was made")
    return _Arguments(dict(zip(names, positional, strict=False)) | given, network.class_name)
