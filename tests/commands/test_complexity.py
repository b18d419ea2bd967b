"""`dualgan complexity`."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dualgan.commands.complexity import EXTRA, complexity, total
from dualgan.networks import StyleGAN2Discriminator, StyleGAN2Generator
from dualgan.networks.attention import DFN, SAGAN, SAN, VT, ReferenceAttention
from dualgan.networks.base import Network
from tests.conftest import RunCLI, words

C, W = 16, 8  # channels of all layers, width of z and w
DOCUMENT = Path(__file__).parents[2] / "docs" / "complexity.md"
WIDTH: dict[str, Any] = {"channel_max": C, "mapping_layers": 2}


def generator(resolution: int = 8, **settings: Any) -> StyleGAN2Generator:
    with torch.device("meta"):
        return StyleGAN2Generator(resolution, z_dim=W, w_dim=W, **WIDTH, **settings)


def discriminator(resolution: int = 8, **settings: Any) -> StyleGAN2Discriminator:
    with torch.device("meta"):
        return StyleGAN2Discriminator(resolution, **WIDTH, **settings)


def attended(attention: Any) -> dict[str, Any]:
    return {"attention": attention, "attention_resolution": 8}


def test_generator_by_hand() -> None:
    style, demodulation = W * C, C * C
    torgb = {size: style + size**2 * C * 3 for size in (4, 8)}
    expected = {
        "mapping": 2 * W * W,
        "b4": style + 4**2 * 9 * C * C + demodulation + torgb[4],
        # zero insertion costs nothing: the transposed convolution has as many products as the map below has pixels
        "b8": 2 * (style + demodulation)
        + 4**2 * 9 * C * C
        + 8**2 * 16 * C
        + 8**2 * 9 * C * C
        + torgb[8]
        + 4**2 * 16 * 3,
    }
    assert {name: cost.multiply_adds for name, cost in complexity(generator()).items()} == expected


def test_discriminator_by_hand() -> None:
    conv1 = 9**2 * 16 * C + 4**2 * 9 * C * C  # the low-pass keeps a border for the convolution
    skip = 4**2 * 16 * C + 4**2 * C * C
    expected = {
        "b8": 8**2 * 3 * C + 8**2 * 9 * C * C + conv1 + skip,
        "b4": 4**2 * 9 * (C + 1) * C + 16 * C * C + C,
    }
    assert {name: cost.multiply_adds for name, cost in complexity(discriminator()).items()} == expected


def test_patchwise_attention_by_hand() -> None:
    m, s, pixels = C // 4, 5, 8**2
    projections = C * m + C * m + C * C  # keys, queries, values
    # Eq. 4: keys are padded after their projection
    weights = (s * s + 1) * m * m + m * s * s * m
    aggregation = s * s * C
    demodulation = projections
    found = complexity(generator(**attended(partial(SAN, footprint=s))))["b8"].multiply_adds
    plain = complexity(generator())["b8"].multiply_adds - pixels * 9 * C * C - C * C
    assert found - plain == pixels * (projections + weights + aggregation) + demodulation


def test_reference_images_pass_the_layers_above_attention() -> None:
    plain, attending = complexity(discriminator(16)), complexity(discriminator(16, **attended(ReferenceAttention)))
    assert attending["b16"].multiply_adds == 2 * plain["b16"].multiply_adds
    assert attending["b16"].parameters == plain["b16"].parameters
    assert attending["b4"] == plain["b4"]


NETWORKS_OF_ALL_KINDS = [
    generator(),
    generator(num_classes=3),
    *(generator(**attended(module)) for module in (SAN, SAGAN, DFN, VT)),
    discriminator(),
    discriminator(num_channels=1, num_classes=3),
    *(discriminator(**attended(module)) for module in (SAN, ReferenceAttention)),
]


def arguments(network: Network) -> tuple[torch.Tensor | None, ...]:
    labels = torch.zeros(1, dtype=torch.int64, device="meta") if network.init_args["num_classes"] else None
    if isinstance(network, StyleGAN2Generator):
        return torch.zeros(1, W, device="meta"), labels
    image = torch.zeros(1, network.init_args["num_channels"], 8, 8, device="meta")
    return image, labels, image if getattr(network, "takes_reference", False) else None


@pytest.mark.parametrize("network", NETWORKS_OF_ALL_KINDS, ids=lambda network: type(network).__name__)
def test_blocks_add_up_to_the_whole_network(network: Network) -> None:
    found = total(complexity(network))
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=EXTRA) as counter:
        network(*arguments(network))
    assert found.parameters == sum(p.numel() for p in network.parameters())
    assert 2 * found.multiply_adds == counter.get_total_flops() > 0


def test_a_network_with_numbers_costs_what_one_without_does() -> None:
    network = discriminator()
    assert complexity(network.to_empty(device="cpu")) == complexity(discriminator())


def test_largest_images_cost_no_memory() -> None:
    with torch.device("meta"):
        costs = complexity(StyleGAN2Generator(1024))
    assert list(costs) == ["mapping", *(f"b{2**k}" for k in range(2, 11))]


@pytest.mark.parametrize("module", [None, DFN, VT, SAGAN, SAN])
def test_documented_numbers_are_those_of_the_command(module: Any) -> None:
    with torch.device("meta"):
        G = StyleGAN2Generator(256, attention=module, attention_resolution=module and 32)
        D = StyleGAN2Discriminator(256)
    costs = [total(complexity(network)) for network in (G, D)]
    label = f"+ {module.__name__}" if module else "StyleGAN2"
    (row,) = (line for line in DOCUMENT.read_text().split("\n") if line.startswith(f"| {label} |"))
    expected = [f"{sum(c.parameters for c in costs):,}", *(f"{c.multiply_adds / 1e9:.2f} G" for c in costs)]
    assert [cell.strip() for cell in row.split("|")[2:5]] == expected


def numbers(line: str) -> list[int]:
    return [int(word.replace(",", "")) for word in line.split() if word[0].isdigit()]


def test_needs_no_data_and_writes_the_printed_numbers(run_cli: RunCLI, in_empty_folder: Path) -> None:
    out = run_cli.succeeds("complexity", "--config", "church.yaml", "--json", "out/costs.json")
    lines = [line for line in out.split("\n") if line.startswith(("generator", "discriminator", "both"))]
    written = json.loads(Path("out/costs.json").read_text())
    for line in lines[:-1]:
        player, block = line.split()[:2]
        cost = written[player]["total"] if block == "total" else written[player]["blocks"][block]
        assert numbers(line) == [cost["parameters"], cost["multiply_adds"]], line
    totals = [written[player]["total"] for player in ("generator", "discriminator")]
    assert numbers(lines[-1]) == [sum(t[key] for t in totals) for key in ("parameters", "multiply_adds")]
    assert {len(line) for line in lines} == {len(lines[0])}  # aligned


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("--config nowhere.yaml", ["nowhere.yaml", "church.yaml"]),
        ("", ["no data", "--config"]),
        ("--config church.yaml --jsn x", ["jsn"]),
        ("--config church.yaml --json", ["--json"]),
        ("--config church.yaml --data.resolution 200", ["200", "power of two"]),
        ("--config church.yaml --model.generator.attention SAN", ["attention_resolution"]),
    ],
)
def test_mistakes(given: str, expected: list[str], run_cli: RunCLI) -> None:
    error = run_cli.fails("complexity", *words(given))
    for text in expected:
        assert text in error


def test_networks_have_the_classes_of_the_data(run_cli: RunCLI) -> None:
    """Published: BigGAN of CIFAR-10 has 4,304,387 and 4,207,361 parameters."""
    out = run_cli.succeeds("complexity", "--config", "biggan_cifar10.yaml")
    totals = [numbers(line)[0] for line in out.split("\n") if line.split()[1:2] == ["total"]]
    assert totals[:2] == [4_304_387, 4_207_361]
    assert "--num_classes" not in out
    assert "--num_classes -1 is out of range" in run_cli.fails(
        "complexity", "--config", "biggan_cifar10.yaml", "--num_classes", "-1"
    )


def test_classes_that_only_the_data_know_are_asked_for(run_cli: RunCLI) -> None:
    given = words("--config animal_face_128.yaml --data.use_labels true")
    assert "Without classes: no data are read" in run_cli.succeeds("complexity", *given)
    out = run_cli.succeeds("complexity", *given, "--num_classes", "7")
    assert "Without classes" not in out
    (embedding,) = (numbers(line)[0] for line in out.split("\n") if line.startswith("generator") and " mapping" in line)
    (without,) = (
        numbers(line)[0]
        for line in run_cli.succeeds("complexity", *given, "--num_classes", "0").split("\n")
        if line.startswith("generator") and " mapping" in line
    )
    assert embedding > without
