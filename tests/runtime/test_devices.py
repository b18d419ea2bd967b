"""Devices: which one is chosen, and that one without float64 meets none."""

import copy
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dualgan.cli.settings import fit_to_machine
from dualgan.data import SyntheticCLEVR
from dualgan.evaluation import evaluate
from dualgan.losses import R1, DualContrastive, PathLength
from dualgan.metrics import attribute_logits, path_lengths, separability
from dualgan.metrics.distances import FeatureDistance
from dualgan.metrics.extractors import EfficientNetLite0
from dualgan.metrics.table import METRICS
from dualgan.networks import StyleGAN2Discriminator, StyleGAN2Generator
from dualgan.networks.attention import SAN, ReferenceAttention
from dualgan.networks.sampling import generate, labels_for
from dualgan.runtime import devices
from dualgan.runtime.devices import in_float64, what_fails_on
from dualgan.studies.attention import compute_maps
from dualgan.studies.direction_sheet import walk_directions
from dualgan.studies.directions import METHODS as WAYS
from dualgan.studies.directions import Method, find_directions
from dualgan.studies.interpolate import interpolate
from dualgan.studies.mixing import mix_styles
from dualgan.studies.neighbors import find_neighbors
from dualgan.studies.project import project
from dualgan.studies.samples import class_sheet, sample_sheet, truncation_sheet
from dualgan.studies.spectra import study_spectra
from dualgan.studies.tsne import study_features
from dualgan.terminal.options import automatic_device, find_device
from tests.apple_gpu import apple_gpu
from tests.commands.test_evaluate import Coarse

WIDTH: dict[str, Any] = {"channel_base": 64, "mapping_layers": 2}


class Networks:
    """Small networks with classes and attention, on a device."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        attention: dict[str, Any] = {"attention": SAN, "attention_resolution": 8}
        seen_beside: dict[str, Any] = {"attention": ReferenceAttention, "attention_resolution": 8}
        self.G = StyleGAN2Generator(8, 3, 3, z_dim=8, w_dim=8, **WIDTH, **attention)
        self.D = StyleGAN2Discriminator(8, 3, 3, **WIDTH, **seen_beside)
        self.distance = FeatureDistance()
        self.data = SyntheticCLEVR(resolution=8, num_images=16, num_val=4)

    def to(self, device: torch.device) -> "Networks":
        for network in (self.G, self.D, self.distance):
            network.to(device)
        return self

    @property
    def device(self) -> torch.device:
        return next(self.G.parameters()).device


def of_interpolation(space: Any, linear: bool) -> Callable[[Networks], Any]:
    return lambda n: interpolate(n.G, [0, 1, 2], 5, space, linear=linear).images


def of_paths(space: Any, sampling: Any) -> Callable[[Networks], Any]:
    counts = torch.tensor([1, 2, 3])
    return lambda n: path_lengths(n.G, n.distance, [1, 2, 3], space, sampling, label_counts=counts)


def of_metrics(n: Networks) -> Any:
    n.data.prepare_data()
    n.data.setup()
    evaluation = evaluate(
        n.G, n.data.reference_set(), EfficientNetLite0(), num_fake=16, metrics=list(METRICS), discriminator=n.D,
        distance=n.distance, device=n.device, noise_mode="const",
    )  # fmt: skip
    return list(evaluation.values.values())


def of_separability(n: Networks) -> Any:
    points, logits = attribute_logits(n.G, lambda images: images.mean(dim=(2, 3)), range(16))
    return separability(points.to(n.device), logits.to(n.device)).cpu()


def of_neighbors(n: Networks) -> Any:
    n.data.prepare_data()
    found = find_neighbors(n.G, n.data, [0, 1], 2, extractor=Coarse())
    return np.stack([found.spaces["pixel"].distances, found.spaces["perceptual"].distances])


def of_features(n: Networks) -> Any:
    n.data.prepare_data()
    return study_features(n.G, n.D, n.data, 8, 4, perplexity=3.0).fddf


def of_directions(method: Method) -> Callable[[Networks], Any]:
    return lambda n: walk_directions(n.G, find_directions(n.G, method, 3), [0, 1], [-1.0, 1.0])


def of_spectra(n: Networks) -> Any:
    n.data.prepare_data()
    return study_spectra(n.G, n.data, 8).fake


def of_projection(n: Networks) -> Any:
    queries = torch.cat(list(generate(n.G, [5]))).cpu().numpy()
    return project(n.G, queries, n.distance, 3, optimize_noise=True).losses


def of_training(n: Networks) -> Any:
    """Gradients of all that a step minimises."""
    source = torch.Generator().manual_seed(0)
    z, real = torch.randn(4, 8, generator=source).to(n.device), torch.rand(4, 3, 8, 8, generator=source).to(n.device)
    labels, direction = torch.tensor([0, 1, 2, 0]).to(n.device), torch.randn(4, 3, 8, 8, generator=source).to(n.device)
    loss, lengths = DualContrastive(), PathLength()
    ws = n.G.mapping(z, labels)
    fake = n.G.synthesis(ws, noise_mode="const")
    real_logits, fake_logits = n.D.pair(real, fake, labels, real)
    terms = [
        loss.discriminator(real_logits, fake_logits), loss.generator(fake_logits, real_logits),
        R1(gamma=1)(lambda images: n.D(images, labels, real), real, None),
        lengths.penalty(lengths.path_lengths(fake, ws, direction), torch.zeros((), device=n.device)),
    ]  # fmt: skip
    total = torch.stack([term.flatten().sum() for term in terms]).sum()
    parameters = [p for network in (n.G, n.D) for p in network.parameters()]
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    return torch.stack([g.norm() for g in gradients if g is not None]).cpu()


WORK: dict[str, Callable[[Networks], Any]] = {
    "generate": lambda n: torch.cat(list(generate(n.G, range(4), truncation_psi=0.7))).cpu(),
    "interpolate in z": of_interpolation("z", False),
    "interpolate in z on lines": of_interpolation("z", True),
    "interpolate in w": of_interpolation("w", False),
    **{f"path lengths {s} {p}": of_paths(s, p) for s in ("w", "z") for p in ("full", "end")},
    "all metrics": of_metrics,
    "separability": of_separability,
    "neighbors": of_neighbors,
    "t-SNE": of_features,
    "projection": of_projection,
    "attention maps": lambda n: compute_maps(n.G, [0, 1]).maps,
    "samples": lambda n: sample_sheet(n.G, 2, 2),
    "rows of classes": lambda n: class_sheet(n.G, 2),
    "style mixing": lambda n: mix_styles(n.G, [0, 1], [2]).images,
    **{f"directions by {method}": of_directions(method) for method in WAYS},
    "spectra": of_spectra,
    "truncation": lambda n: truncation_sheet(n.G, [0.0, 0.5, 1.0], 2),
    "training": of_training,
    "penalty of the probe": lambda n: devices._penalty_gradient(n.device).cpu(),
}


@pytest.mark.parametrize("work", WORK)
def test_a_device_without_float64_gives_the_numbers_of_the_cpu(work: str, caches: None) -> None:
    networks = Networks()
    there = copy.deepcopy(networks)
    expected = WORK[work](networks)
    with apple_gpu() as device:
        found = WORK[work](there.to(device))
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-4, atol=1e-6)


def test_the_stand_in_refuses_float64() -> None:
    wide = torch.zeros(3, dtype=torch.float64)
    with apple_gpu() as device:
        x = torch.zeros(3, device=device)
        attempts: list[Callable[[], Tensor]] = [
            x.double, lambda: wide.to(device), lambda: torch.zeros(3, dtype=torch.float64, device=device),
            lambda: wide.to(device, torch.float32),
        ]  # fmt: skip
        for attempt in attempts:
            with pytest.raises(TypeError, match="doesn't support float64"):
                attempt()
        with pytest.raises(AssertionError, match="some on the CPU"):
            x + torch.zeros(3)
        assert in_float64(x).device.type == "cpu"
    assert in_float64(x.cpu()).dtype == torch.float64


def test_classes_are_drawn_by_counts_on_any_device() -> None:
    counts = torch.tensor([1, 2, 3])
    expected = labels_for(range(9), 3, counts)
    with apple_gpu() as device:
        found = labels_for(range(9), 3, counts.to(device))
    assert expected is not None
    assert found is not None
    assert found.tolist() == expected.tolist()


@pytest.fixture
def fresh() -> Iterator[None]:
    """No device was chosen before, nor is after."""
    for choice in (automatic_device, devices.best_device):
        choice.cache_clear()
    yield
    for choice in (automatic_device, devices.best_device):
        choice.cache_clear()


@pytest.mark.usefixtures("fresh")
class TestAutomatic:
    """What `--device auto` and the trainer's `auto` take."""

    @pytest.fixture
    def machine(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        """A machine with or without the two kinds of GPU."""
        cuda, apple, problem = request.param
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA A")
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
        if problem is not None:
            monkeypatch.setattr(devices, "what_fails_on", lambda device: problem)

    @pytest.mark.parametrize(
        ("machine", "device", "said"),
        [
            ((True, True, ""), "cuda", "Running on cuda (NVIDIA A)."),
            ((False, True, ""), "mps", "Running on mps, this Mac's GPU."),
            ((False, False, None), "cpu", "Running on the CPU: no GPU was found."),
            ((False, True, "no operator"), "cpu", "Mac's GPU does not compute what the networks need (no operator)."),
        ],
        indirect=["machine"],
    )
    def test_takes_the_best_that_works_and_says_it_once(
        self, machine: None, device: str, said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert automatic_device() == automatic_device() == device
        assert capsys.readouterr().err.count(said) == 1
        trainer: Any = SimpleNamespace(accelerator="auto", precision="32-true", devices="auto", num_nodes=1)
        fit_to_machine(trainer)
        assert trainer.accelerator == ("cpu" if "no operator" in said else "auto")

    @pytest.mark.skipif(torch.backends.mps.is_available(), reason="Apple's GPU is here")
    @pytest.mark.parametrize("machine", [(False, True, None)], indirect=True)
    def test_a_gpu_that_only_says_it_is_there_is_not_taken(
        self, machine: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert find_device("auto") == torch.device("cpu")
        assert "does not compute what the networks need" in capsys.readouterr().err

    def test_what_is_named_is_taken_silently(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert find_device("cpu") == torch.device("cpu")
        with pytest.raises(ValueError, match="'gpu7' is not available here: expected auto, cpu, cuda, cuda:1, mps"):
            find_device("gpu7")
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize("machine", [(False, True, ""), (True, False, None)], indirect=True)
    def test_precision_is_that_of_the_device(self, machine: None) -> None:
        cuda = torch.cuda.is_available()
        for accelerator, native in (("auto", cuda), ("gpu", cuda), ("mps", False)):
            trainer: Any = SimpleNamespace(accelerator=accelerator, precision=None, devices="auto", num_nodes=1)
            fit_to_machine(trainer)
            assert trainer.precision == ("bf16-mixed" if native else "32-true"), accelerator


def test_the_probe_finds_what_does_not_work() -> None:
    assert what_fails_on("cpu") == ""
    assert "meta" in what_fails_on("meta")  # holds no numbers
