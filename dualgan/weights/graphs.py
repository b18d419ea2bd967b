"""The generator as one graph, for ONNX and torch.export, checked by running what was written."""

import io
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from dualgan.files.atomic import write_whole
from dualgan.networks import Generator, Latents
from dualgan.networks.mapping import MappingNetwork

NOISES = ("const", "none", "input")
TOLERANCE = 1e-3
_METADATA = "dualgan"
_CHECKS = ((1, 1.0), (3, 0.7))  # batch and truncation psi


class GeneratorGraph(nn.Module):
    """Mapping and synthesis in one call, with everything that varies as a tensor.

    Without a mapping network there is no truncation, and styles are the generator's own.

    Args:
        generator: In eval mode.
        noise: "const" is the noise maps of the generator, "none" leaves noise out, "input" takes one map per sample
            and layer as a further argument each.

    Raises:
        ValueError: Unknown noise, or one other than "const" where the generator has no layer with noise.
    """

    mean_w: Tensor

    def __init__(self, generator: Generator, noise: str) -> None:
        super().__init__()
        if noise not in NOISES:
            raise ValueError(f"unknown noise {noise!r}: expected one of {', '.join(NOISES)}")
        if noise != "const" and not generator.has_noise:
            raise ValueError(f"noise {noise!r} has no effect: this generator has no layers with noise, leave it out")
        self.generator, self.noise = generator, noise
        if generator.has_mapping:
            assert isinstance(generator.mapping, MappingNetwork)
            classes = torch.arange(generator.num_classes) if generator.num_classes else None
            self.register_buffer("mean_w", generator.mapping.mean_w(classes))  # [w_dim], or [classes, w_dim]
        buffers = dict(generator.synthesis.named_buffers())
        self.maps = {k: v.shape for k, v in buffers.items() if k.endswith("noise_const")} if noise == "input" else {}

    @property
    def input_names(self) -> list[str]:
        """The arguments in their order: z, labels where there are classes, truncation_psi, noise maps."""
        labels = ["labels"] if self.generator.num_classes else []
        truncation = ["truncation_psi"] if self.generator.has_mapping else []
        maps = [f"noise_{name.removesuffix('.noise_const').replace('.', '_')}" for name in self.maps]
        return ["z", *labels, *truncation, *maps]

    def inputs(self, count: int, truncation_psi: float) -> tuple[Tensor, ...]:
        """Random inputs for `count` samples."""
        z = torch.randn(count, self.generator.z_dim)
        classes = self.generator.num_classes
        labels = (torch.randint(classes, (count,)),) if classes else ()
        truncation = (torch.tensor(truncation_psi),) if self.generator.has_mapping else ()
        maps = tuple(torch.randn(count, 1, *shape) for shape in self.maps.values())
        return z, *labels, *truncation, *maps

    def forward(self, z: Tensor, *others: Tensor) -> Tensor:
        """z [N, z_dim], labels [N] int64, truncation_psi [], maps [N, 1, R, R] -> images [N, C, R, R]."""
        labels, others = (others[0], others[1:]) if self.generator.num_classes else (None, others)
        if self.generator.has_mapping:
            styles, maps = self.truncated(z, labels, others[0]), others[1:]
        else:
            styles, maps = self.generator.styles(Latents(z), labels), others
        mode = "none" if self.noise == "none" else "const"
        replaced = dict(zip(self.maps, maps, strict=True))
        images: Tensor = torch.func.functional_call(self.generator.synthesis, replaced, (styles,), {"noise_mode": mode})
        return images

    # StyleGAN, appendix B, with psi as an input: w' = w_avg + psi (w - w_avg)
    def truncated(self, z: Tensor, labels: Tensor | None, truncation_psi: Tensor) -> Tensor:
        """Ws [N, num_ws, w_dim] moved towards their mean."""
        mean = (self.mean_w if labels is None else self.mean_w[labels]).unsqueeze(-2)  # [1, w_dim] or [N, 1, w_dim]
        ws: Tensor = mean + truncation_psi * (self.generator.mapping(z, labels) - mean)
        return ws


@dataclass(frozen=True)
class WrittenGraph:
    """What was written: every input's shape, "N" being the batch, and the largest difference from the generator."""

    inputs: dict[str, list[int | str]]
    difference: float


def write_graph(
    generator: Generator, path: Path, metadata: Mapping[str, Any], noise: str = "const", batch_size: int | None = None
) -> WrittenGraph:
    """Write the generator's graph, load it again and run it.

    Args:
        generator: In eval mode on the CPU.
        path: File to write: .onnx, which runs in ONNX Runtime, or .pt2 of torch.export.
        metadata: Plain data to keep in the file.
        noise: See `GeneratorGraph`.
        batch_size: Samples per call; None for any number.

    Raises:
        ValueError: A package is missing, the generator has no such graph, or the file's images differ by more than
            `TOLERANCE`.
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size {batch_size} is too small: give 1 or more")
    write, runner = (_write_onnx, _onnx_runner) if path.suffix == ".onnx" else (write_program, _program_runner)
    if write is _write_onnx:
        _check_onnx(generator, batch_size)
    graph = GeneratorGraph(generator, noise).eval()
    names = graph.input_names
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")  # the libraries look at the ending
    try:
        write(_trace(graph, batch_size), names, partial, json.dumps(metadata))
        difference = _largest_difference(graph, runner(partial, names), batch_size)
        if not difference <= TOLERANCE:
            raise ValueError(
                f"the images of {path} differ from the generator's by {difference:.3g}, more than {TOLERANCE:g}: the "
                f"file was not kept"
            )
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    first = "N" if batch_size is None else batch_size
    examples = zip(names, graph.inputs(2, 1.0), strict=True)
    shapes = {name: [first, *value.shape[1:]] if value.dim() else [] for name, value in examples}
    return WrittenGraph(shapes, difference)


def _check_onnx(generator: Generator, batch_size: int | None) -> None:
    """Look for the packages that write and run ONNX, and for what ONNX cannot say.

    Raises:
        ValueError: One is missing; or the batch of a generator with DFN is open, a convolution of as many groups as
            samples, and ONNX wants to know how many groups.
    """
    try:
        for package in ("onnx", "onnxruntime", "onnxscript"):
            import_module(package)
    except ImportError as error:
        raise ValueError(f"ONNX needs the package {error.name}: install it with pip install 'dualgan[onnx]'") from error
    attention = getattr(generator, "init_args", {}).get("attention") or {}
    if batch_size is None and attention.get("class_name") == "DFN":
        raise ValueError(
            "a generator with DFN has as many filters as samples, which ONNX cannot leave open: pass --batch_size, "
            "for instance 1"
        )


def _write_onnx(program: ExportedProgram, names: list[str], path: Path, metadata: str) -> None:
    logger = logging.getLogger("onnxscript")
    level = logger.level
    logger.setLevel(logging.ERROR)  # its optimizer reports of its own workings
    try:
        onnx = torch.onnx.export(  # its optimizer drops epsilons of 1e-8; ONNX Runtime has one of its own
            program, dynamo=True, optimize=False, verbose=False, input_names=names, output_names=["images"],
            external_data=False,
        )  # fmt: skip
    finally:
        logger.setLevel(level)
    assert onnx is not None
    onnx.model.metadata_props[_METADATA] = metadata
    onnx.save(path)


def write_program(program: ExportedProgram, names: list[str], path: Path, metadata: str) -> None:
    """Write a torch.export program, whole or not at all; the names of its inputs are in it already."""
    content = io.BytesIO()  # torch ends the process where it cannot complete a file of its own
    torch.export.save(program, content, extra_files={_METADATA: metadata})
    write_whole(path, content.getvalue())


Runner = Callable[..., Tensor]


@torch.no_grad()
def _trace(graph: GeneratorGraph, batch_size: int | None) -> ExportedProgram:
    example = graph.inputs(batch_size or 2, 0.5)
    batch = Dim("batch")
    dynamic = tuple({0: batch} if value.dim() and batch_size is None else None for value in example)
    shapes = (dynamic[0], dynamic[1:]) if len(example) > 1 else dynamic
    return torch.export.export(graph, example, dynamic_shapes=shapes)


@torch.no_grad()
def _largest_difference(graph: GeneratorGraph, run: Runner, batch_size: int | None) -> float:
    differences = []
    for count, truncation_psi in _CHECKS:
        inputs = graph.inputs(batch_size or count, truncation_psi)
        differences.append((run(*inputs) - graph(*inputs)).abs().max())
    return torch.stack(differences).max().item()  # NaN wherever one is


def _onnx_runner(path: Path, names: list[str]) -> Runner:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    known = {value.name for value in session.get_inputs()}  # the graph drops what has no effect

    def run(*inputs: Tensor) -> Tensor:
        given = {name: value.numpy() for name, value in zip(names, inputs, strict=True) if name in known}
        return torch.from_numpy(session.run(["images"], given)[0])

    return run


def _program_runner(path: Path, names: list[str]) -> Runner:
    return torch.export.load(path).module()
