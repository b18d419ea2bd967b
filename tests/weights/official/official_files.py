"""Writes files in the layout of official StyleGAN2 repositories, of which it needs neither code nor classes."""

import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dualgan.networks import Network, StyleGAN2Discriminator, StyleGAN2Generator
from dualgan.networks.layers import EqualizedConv2d, EqualizedLinear, ToRGB, fir_kernel
from dualgan.networks.stylegan2.generator import StyledConv
from dualgan.weights.official.pickles import Call, Global

CLASSES = {
    "StyleGAN2Generator": "Generator",
    "StyleGAN2Discriminator": "Discriminator",
    "EqualizedLinear": "FullyConnectedLayer",
    "EqualizedConv2d": "Conv2dLayer",
    "StyledConv": "SynthesisLayer",
    "ToRGB": "ToRGBLayer",
    "MinibatchStd": "MinibatchStdLayer",
}
Change = Callable[[str, dict[str, Any]], None]


def opcodes(value: Any) -> bytes:
    """A pickle's operations for plain values, names and calls; calls are written, never made."""
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        return b"\x8a\x08" + struct.pack("<q", value)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return b"B" + struct.pack("<I", len(value)) + value
    if isinstance(value, tuple):
        return b"(" + b"".join(map(opcodes, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(opcodes, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(opcodes(part) for item in value.items() for part in item) + b"u"
    if isinstance(value, Global):
        module, _, name = value.name.rpartition(".")
        return f"c{module}\n{name}\n".encode()
    assert isinstance(value, Call)
    call = opcodes(Global(value.name)) + opcodes(value.arguments) + b"R"
    return call if value.state is None else call + opcodes(value.state) + b"b"


def as_pickle(value: Any) -> bytes:
    return b"\x80\x04" + opcodes(value) + b"."


def tensor_call(tensor: Tensor) -> Call:
    """As PyTorch pickles a tensor."""
    tensor = tensor.detach().contiguous()
    file = BytesIO()
    storage = tensor._typed_storage()  # type: ignore[no-untyped-call]
    torch.save(storage, file, _use_new_zipfile_serialization=False)
    payload = Call("torch.storage._load_from_bytes", (file.getvalue(),))
    hooks = Call("collections.OrderedDict", ())
    return Call("torch._utils._rebuild_tensor_v2", (payload, 0, tuple(tensor.shape), tensor.stride(), False, hooks))


def parameter_call(tensor: Tensor) -> Call:
    hooks = Call("collections.OrderedDict", ())
    return Call("torch._utils._rebuild_parameter", (tensor_call(tensor), True, hooks))


def numpy_scalar(value: float) -> Call:
    kind = Call("numpy.dtype", ("f8", False, True), (3, "<", None, None, None, -1, -1, 0))
    return Call("numpy.core.multiarray.scalar", (kind, struct.pack("<d", value)))


def module_call(path: str, module: nn.Module, arguments: dict[str, Any], change: Change) -> Call:
    """As the official repositories pickle a module."""
    attributes: dict[str, Any] = {
        "training": False,
        "_parameters": {n: parameter_call(p) for n, p in module.named_parameters(recurse=False)},
        "_buffers": {n: tensor_call(b) for n, b in module.named_buffers(recurse=False) if n != "kernel"},
        "_modules": {
            name: module_call(f"{path}.{name}".lstrip("."), child, {}, change)
            for name, child in module.named_children()
            if child.state_dict() or type(child).__name__ == "MinibatchStd"
        },
        "_forward_hooks": Call("collections.OrderedDict", ()),
        "_init_args": (),
        "_init_kwargs": arguments,
        **layer_attributes(path, module),
    }
    if isinstance(module, StyledConv | EqualizedConv2d):
        attributes["_buffers"]["resample_filter"] = tensor_call(fir_kernel())
    change(path, attributes)
    kind = type(module).__name__
    meta = {
        "type": "class", "version": 6, "module_src": "raise SystemExit('this must never run')",
        "class_name": CLASSES.get(kind, kind), "state": attributes,
    }  # fmt: skip
    return Call("torch_utils.persistence._reconstruct_persistent_obj", (meta,))


def layer_attributes(path: str, module: nn.Module) -> dict[str, Any]:
    """What the layers remember of how they compute."""
    kind = type(module).__name__
    if isinstance(module, EqualizedLinear):
        multiplier = 0.01 if path.startswith("mapping.fc") else 1
        return {"activation": "lrelu" if module.activate else "linear", "bias_gain": multiplier}
    if isinstance(module, StyledConv):
        gain = numpy_scalar(2**0.5)
        return {
            "activation": "lrelu", "use_noise": module.noise_strength is not None, "act_gain": gain,
            "conv_clamp": module.clamp,
        }  # fmt: skip
    if isinstance(module, EqualizedConv2d):
        return {"activation": "lrelu" if module.activate else "linear", "conv_clamp": module.clamp}
    if isinstance(module, ToRGB):
        return {"conv_clamp": module.clamp}
    return {"SynthesisBlock": {"architecture": "skip"}, "DiscriminatorBlock": {"architecture": "resnet"}}.get(kind, {})


def generator_arguments(G: Network) -> dict[str, Any]:
    """As StyleGAN2-ADA nests them."""
    made = G.init_args
    return {
        "c_dim": made["num_classes"], "img_resolution": made["resolution"], "img_channels": made["num_channels"],
        "z_dim": made["z_dim"], "w_dim": made["w_dim"], "mapping_kwargs": {"num_layers": made["mapping_layers"]},
        "synthesis_kwargs": {
            "channel_base": made["channel_base"], "channel_max": made["channel_max"], "num_fp16_res": 0,
            "conv_clamp": made["conv_clamp"],
        },
    }  # fmt: skip


def stylegan3_arguments(G: Network) -> dict[str, Any]:
    """As the StyleGAN3 repository has them: those of the synthesis network at the top."""
    arguments = generator_arguments(G)
    synthesis: dict[str, Any] = arguments.pop("synthesis_kwargs")
    return arguments | synthesis | {"fused_modconv_default": "inference_only"}


def discriminator_arguments(D: Network) -> dict[str, Any]:
    made = D.init_args
    return {
        "c_dim": made["num_classes"], "img_resolution": made["resolution"], "img_channels": made["num_channels"],
        "channel_base": made["channel_base"], "channel_max": made["channel_max"], "num_fp16_res": 0,
        "conv_clamp": made["conv_clamp"], "epilogue_kwargs": {"mbstd_group_size": made["minibatch_std_group"]},
        "mapping_kwargs": {"num_layers": made["mapping_layers"]}, "block_kwargs": {"freeze_layers": 0},
    }  # fmt: skip


def unchanged(path: str, attributes: dict[str, Any]) -> None: ...


def players(
    num_classes: int = 0, conv_clamp: float | None = None, noise: bool = True
) -> tuple[StyleGAN2Generator, StyleGAN2Discriminator]:
    """Random networks in which every tensor matters."""
    torch.manual_seed(0)
    width: dict[str, Any] = {"channel_base": 64, "channel_max": 16, "mapping_layers": 2, "conv_clamp": conv_clamp}
    G = StyleGAN2Generator(8, 3, num_classes, z_dim=8, w_dim=12, noise=noise, **width)
    D = StyleGAN2Discriminator(8, 3, num_classes, minibatch_std_group=2, **width)
    for network in (G, D):
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.randn_like(tensor) * 0.3)
    return G.eval().requires_grad_(False), D.eval().requires_grad_(False)


def official_content(
    G: Network, D: Network, change_g: Change = unchanged, change_d: Change = unchanged, stylegan3: bool = False
) -> dict[str, Any]:
    """The whole dictionary of such a file."""
    arguments = (stylegan3_arguments if stylegan3 else generator_arguments)(G)
    generator = module_call("", G, arguments, change_g)
    return {
        "G": generator,
        "D": module_call("", D, discriminator_arguments(D), change_d),
        "G_ema": generator,
        "training_set_kwargs": {"class_name": "training.dataset.ImageFolderDataset", "path": "data.zip"},
        "augment_pipe": None,
    }


def write_official(path: Path, content: Any) -> Path:
    path.write_bytes(as_pickle(content))
    return path
