"""`dualgan complexity`: parameters and multiply-adds of a configuration's networks."""

import argparse
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from dualgan.data import ImageDataModule
from dualgan.files.atomic import write_json
from dualgan.files.targets import file_to_write
from dualgan.networks import Discriminator, Generator
from dualgan.networks.base import Network, build_network
from dualgan.networks.cpu import fused
from dualgan.terminal.tables import aligned

EXPLANATION = """\
Multiply-adds are those of one forward pass for one image (with its reference image, where D takes one): convolutions,
FIR filters included, matrix products and the weighted sums of attention. Elementwise operations are left out."""
WITHOUT_CLASSES = """\
Without classes: no data are read, so how many classes use_labels finds is not known. Say it with --num_classes N."""


class Cost(NamedTuple):
    """Trainable numbers, and multiplications, each followed by an addition, of one forward pass for one image."""

    parameters: int
    multiply_adds: int


def total(costs: Mapping[str, Cost]) -> Cost:
    """Sum over all blocks."""
    return Cost(sum(cost.parameters for cost in costs.values()), sum(cost.multiply_adds for cost in costs.values()))


def _accumulated(target: torch.Size, *shapes: Any, out_shape: Any = None, **values: Any) -> int:
    """Operations of `target.addcmul_`: a multiplication and an addition per element."""
    return 2 * math.prod(target)


def _convolved(x: torch.Size, weight: torch.Size, *settings: Any, out_shape: Any = None, **values: Any) -> int:
    """Operations of a convolution that CPUs activate in the same pass; the activation is left out, as others are."""
    return conv_flop_count(list(x), list(weight), list(out_shape))


# Only the weighted sum over a footprint (attention/aggregation.py) accumulates products in place.
EXTRA: dict[Any, Callable[..., int]] = {torch.ops.aten.addcmul_: _accumulated}
if fused.OPERATOR is not None:
    EXTRA[fused.OPERATOR] = _convolved


def complexity(network: Network) -> dict[str, Cost]:
    """Cost of every block, the mapping network first; their sum is the network's.

    Args:
        network: On the meta device (neither memory nor time, at any resolution) or on any other.
    """
    # Under the tracker every module is known by its path from the network's class name.
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=EXTRA) as counter:
        network(*_example(network))
    operations = {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}
    return {
        name: Cost(sum(p.numel() for p in block.parameters()), _operations(block, path, operations) // 2)
        for name, path, block in _blocks(network)
    }


def _example(network: Network) -> tuple[Tensor | None, ...]:
    """Arguments for one image: latents, or the image and a reference image, and labels where there are classes."""
    assert isinstance(network, Generator | Discriminator)
    device = next(network.parameters()).device
    labels = torch.zeros(1, dtype=torch.int64, device=device) if network.num_classes else None
    if isinstance(network, Generator):
        return torch.zeros(1, network.z_dim, device=device), labels
    image = torch.zeros(1, network.num_channels, network.resolution, network.resolution, device=device)
    return image, labels, image if network.takes_reference else None


def _blocks(network: Network) -> Iterator[tuple[str, str, nn.Module]]:
    """Name, path and module of every block; the synthesis network's blocks stand for it."""
    root = type(network).__name__
    for name, child in sorted(network.named_children(), key=lambda child: child[0] != "mapping"):
        if isinstance(network, Generator) and child is network.synthesis:
            yield from ((inner, f"{root}.{name}.{inner}", block) for inner, block in child.named_children())
        else:
            yield name, f"{root}.{name}", child


def _operations(module: nn.Module, path: str, counted: Mapping[str, int]) -> int:
    """Operations of a module; one whose parts are called one by one has those of its parts."""
    if path in counted:
        return counted[path]
    return sum(_operations(child, f"{path}.{name}", counted) for name, child in module.named_children())


def classes_in(data: Any) -> int | None:
    """Number of classes that the networks of a parsed data section have; None where only the data say."""
    if not data.init_args.get("use_labels"):
        return 0
    return ImageDataModule.registry[data.class_path.rpartition(".")[2]].usual_classes


def build(config: Any, num_classes: int | None = None) -> dict[str, Network]:
    """Networks of a parsed configuration on the meta device, without reading any data.

    Colours are those that the data's settings name; otherwise 3.

    Args:
        config: What `dualgan fit` would train with; growing networks are grown up.
        num_classes: Number of classes; by default those that the data are known to have, none where that is not known.

    Raises:
        ValueError: A network cannot be built like that.
    """
    data = config.data.init_args
    colours = data.get("num_channels") or 3
    classes = (classes_in(config.data) or 0) if num_classes is None else num_classes
    images = {"resolution": data.resolution, "num_channels": colours, "num_classes": classes}
    networks = {}
    for player in ("generator", "discriminator"):
        description = _description(config.model[player])
        with torch.device("meta"):
            network = build_network(description | {"init_args": images | description["init_args"]})
        if network.growing is not None:
            network.growing.grow_up()
        networks[player] = network
    return networks


def _description(chosen: Any) -> dict[str, Any]:
    """A parsed class and its arguments as `build_network` takes them, attention inside included."""
    arguments = vars(chosen.get("init_args") or argparse.Namespace())
    return {
        "class_name": chosen.class_path.rpartition(".")[2],
        "init_args": {
            name: _description(value) if hasattr(value, "class_path") else value for name, value in arguments.items()
        },
    }


def table(costs: Mapping[str, Mapping[str, Cost]]) -> str:
    """Aligned text: the blocks of every network, its total, and the total of all."""
    rows = [("network", "block", "parameters", "multiply-adds")]
    for network, blocks in costs.items():
        rows += [_row(network, name, cost) for name, cost in (*blocks.items(), ("total", total(blocks)))]
    rows.append(_row("both", "total", total({network: total(blocks) for network, blocks in costs.items()})))
    return aligned(rows, left=2)


def _row(network: str, block: str, cost: Cost) -> tuple[str, str, str, str]:
    return network, block, f"{cost.parameters:,}", f"{cost.multiply_adds:,}"


def _as_dict(blocks: Mapping[str, Cost]) -> dict[str, Any]:
    return {"total": total(blocks)._asdict(), "blocks": {name: cost._asdict() for name, cost in blocks.items()}}


class _Words(argparse.ArgumentParser):
    """Splits this command's options from those of `fit`."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}. '--help' lists every option.")


def main(args: list[str], parse_fit: Callable[[list[str]], Any]) -> None:
    """Run the command with the words of the command line; `parse_fit` reads those that it shares with `fit`."""
    parser = _Words(
        prog="dualgan complexity",
        usage="dualgan complexity --config FILE [--num_classes N] [--json FILE] [any option of fit]",
        description="Print parameters and multiply-adds of G and D, block by block, and in all. Takes a configuration "
        "and every option of 'dualgan fit'; builds nothing, reads no data.",
        epilog=EXPLANATION,
        allow_abbrev=False,
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="Also write the numbers to this file.")
    parser.add_argument(
        "--num_classes", metavar="N", type=int, help="Number of classes; else that of the data, where it is known."
    )
    own, rest = parser.parse_known_args(args)
    if own.num_classes is not None and own.num_classes < 0:
        raise ValueError(f"--num_classes {own.num_classes} is out of range: expected 0, which is without, or more")
    if own.json is not None:
        file_to_write(own.json, [".json"], "json")
    config = parse_fit(rest)
    networks = build(config, own.num_classes)
    costs = {player: complexity(network) for player, network in networks.items()}
    print(table(costs))
    if own.num_classes is None and classes_in(config.data) is None:
        print(f"\n{WITHOUT_CLASSES}")
    print(f"\n{EXPLANATION}")
    if own.json is not None:
        write_json(own.json, {player: _as_dict(blocks) for player, blocks in costs.items()})
