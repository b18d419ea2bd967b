"""Every program in benchmarks/ runs, at a size that takes a moment."""

import importlib.util
import json
import math
import multiprocessing
import os
import re
import runpy
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch.nn import functional

from dualgan.gan import GAN
from dualgan.networks.cpu.fused import activated, added, fuses
from dualgan.networks.cpu.plan import computed_by
from dualgan.networks.geometry import SAME
from dualgan.runtime.devices import cpu_name
from dualgan.weights.checkpoints import read_checkpoint

FOLDER = Path(__file__).parents[1] / "benchmarks"


class Toy(NamedTuple):
    """A small run of a program: its words, what it must print at the end, and how it may exit."""

    words: str
    says: str
    codes: tuple[int, ...] = (0,)


PROGRAMS = {
    "attention": [
        Toy("--channels 8 --resolution 8 --batch 1 --repeats 1 --no-memory", r"ours takes [\d.]+ times the sum"),
        Toy("--channels 8 --resolution 8 --batch 1 --memory-of ours", r"^[\d.]+$"),
    ],
    "attention_step": [Toy("--width toy --repeats 1 --bf16", r"^added +0%")],
    "communication": [Toy("", r"plain step: \d+ calls[\s\S]*mean .*% of a step")],
    "device_check": [
        Toy(
            "--device cpu --toy --out TMP/found",
            r"^left out host waits: 50[\s\S]*ours over the textbook form +ratio[\s\S]*^left out CUDA graphs[\s\S]*"
            r"^measured compiled: 32x32, plain, bf16, compiled +images/s[\s\S]*^All checks passed",
        )
    ],
    "explore": [
        Toy(
            "--resolutions 8 --width toy --moves 1 --starts 1 --ckpt",
            r"cores, load[\s\S]*^8x8 +[\d.]+ +[\d.]+ +psi \d+ \(\d+\), direction \d+ \(\d+\)$",
        )
    ],
    "grouped": [
        Toy("--resolutions 4 --channels 16 --pixels 32 --repeats 1", r"^ +4 +16 +[\d.]+[^%]+%, at the dense speed \d"),
        Toy("--resolutions 8 --channels 8 --pixels 64 --repeats 1 --bf16", r"bfloat16, one[\s\S]*dense speed \d"),
    ],
    "kill_resume": [Toy("--kimg 0.04 --times 0 --operations 0 --no-points", r"whole run: 0.04 kimg.*exit code 0")],
    "limited_data": [Toy("--width toy --resolution 32 --repeats 1 --steps 1 --bf16", r"^fakeclr +[\d.]+")],
    "loading": [Toy("--images 32 --repeats 1 --batches 1", r"loading, 2 workers: JPEG [\d,]+, packed [\d,]+ images/s")],
    "metrics": [Toy("--rows 64 --dims 8 --images 2 --batch 2 --size 8 --repeats 1", r"EfficientNetLite0: [\d.]+ ")],
    "mode_coverage": [
        Toy(
            "--out TMP/study --seeds 0 --methods rpgan_r1_r2 --kimg 0.016 --batch 8 --width 8 --num_fake 32 --scores 1 "
            "--workers 1",
            r"^\| RpGAN \+ R1 \+ R2 \| 0.016 \| 1 \| \d+ \| \d\.\d+ \|[\s\S]*^Nothing is left",
        ),
        Toy("--out TMP/study --seeds 0 --hours 0 --num_fake 32 --workers 1", r"^Left: gan_r1_seed0, rpgan_r1_r2_seed0"),
    ],
    # programs that judge: nothing holds at this size
    "overhead": [Toy("--width toy --resolution 32 --turns 1 --steps 1", r"all, by CPU time +[\d.-]+%", (0, 1))],
    "soak": [Toy("--minutes 0.01 --every 0.1 --images 16", r"pass: Ctrl-C: exit code 130, last.ckpt holds \d+", (1,))],
    "peers": [Toy("--width toy --resolution 32 --repeats 1 --bf16", r"bfloat16, penalties float32[\s\S]*^peak MB")],
    "profile_step": [Toy("--resolution 32 --steps 1", r"^ms +[\d.]+")],
    "render": [Toy("--count 16 --workers 1", r"128x128: [\d.]+ images/s")],
    "sngan": [Toy("--batch 4 --widths 4 4 --n_dis 2 --turns 1", r"^images/s of D +[\d.]+")],
    "train_step": [
        Toy("--width toy --resolution 32 --repeats 1 --no-memory", r"^images/s"),
        Toy("--width toy --resolution 32 --repeats 1 --no-memory --bf16 --channels-last", r"^images/s"),
        Toy("--width toy --resolution 32 --memory-of usual", r"^[\d.]+$"),
        Toy("--width toy --resolution 32 --repeats 1 --precisions", r"^ +float32 +bfloat16 +ratio$[\s\S]*^G and D ms"),
    ],
}  # fmt: skip


def is_program(path: Path) -> bool:
    return '__name__ == "__main__"' in path.read_text()


def all_toys() -> list[tuple[str, Toy | None]]:
    names = sorted(path.stem for path in FOLDER.glob("*.py") if is_program(path))
    return [(name, toy) for name in names for toy in PROGRAMS.get(name, [None])]


def run_program(name: str, words: list[str], output: Path) -> None:
    """Body of a process that is this program."""
    out = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.argv = [str(FOLDER / f"{name}.py"), *words]
    sys.path.insert(0, str(FOLDER))
    runpy.run_path(sys.argv[0], run_name="__main__")


# Programs start from a process that has imported what most of them import: half of their time otherwise.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["dualgan.cli.lightning", "dualgan.callbacks"])


@pytest.mark.skipif(sys.platform != "linux", reason="forks its processes, and some programs read /proc")
@pytest.mark.parametrize(("name", "toy"), all_toys())
def test_program(name: str, toy: Toy | None, tmp_path: Path, caches: None) -> None:
    assert toy is not None, f"benchmarks/{name}.py has no toy size: give it one in PROGRAMS"
    said = run(name, toy.words, tmp_path, toy.codes)
    assert re.search(toy.says, said, re.MULTILINE), said
    assert cpu_name() in said or "--memory-of" in toy.words


def run(name: str, words: str, folder: Path, codes: tuple[int, ...] = (0,)) -> str:
    """What a program prints."""
    output = folder / "output.txt"
    process = processes.Process(target=run_program, args=(name, words.replace("TMP", str(folder)).split(), output))
    process.start()
    process.join(timeout=300)
    if process.exitcode is None:
        process.kill()
    said = output.read_text()
    assert process.exitcode in codes, said
    return said


def test_what_has_no_effect_is_refused(tmp_path: Path) -> None:
    assert "leave --bf16 and --channels-last out" in run("train_step", "--precisions --bf16", tmp_path, codes=(2,))


def test_every_toy_has_its_program() -> None:
    assert {name for name, _ in all_toys()} == PROGRAMS.keys()


def test_helpers_are_used() -> None:
    sources = {path: path.read_text() for path in FOLDER.glob("*.py")}
    for helper in sources:
        if not is_program(helper):
            imported = [
                p for p, text in sources.items() if re.search(rf"^from {helper.stem} import", text, re.MULTILINE)
            ]
            assert imported, f"{helper.name} is neither a program nor imported by one"


@pytest.fixture
def benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


class TestPeers:
    """The benchmark beside other packages, which need not be there."""

    PEERS = ("stylegan2-torch", "stylegan2-pytorch")

    @pytest.mark.skipif(sys.platform != "linux", reason="forks its processes")
    def test_says_what_to_install(self, tmp_path: Path, caches: None) -> None:
        said = run("peers", "--width toy --resolution 32 --repeats 1 --no-memory", tmp_path)
        for name in self.PEERS:
            missing = importlib.util.find_spec(name.replace("-", "_")) is None
            assert bool(re.search(rf"^{name} is left out: .*\. pip install {name}$", said, re.MULTILINE)) == missing
            header = next(line for line in said.splitlines() if line.split()[:1] == ["dualgan"])
            assert (name in header) != missing

    def test_a_package_without_what_it_needs_is_left_out(
        self,
        tmp_path: Path,
        benchmarks_on_path: None,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        import peers

        (tmp_path / "stylegan2_pytorch").mkdir()
        (tmp_path / "stylegan2_pytorch" / "stylegan2_pytorch.py").write_text("import needed_and_not_there")
        monkeypatch.syspath_prepend(tmp_path)
        for name in ("stylegan2_pytorch", "stylegan2_pytorch.stylegan2_pytorch"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        assert "stylegan2-pytorch" not in peers.installed()
        assert "stylegan2-pytorch is left out: No module named 'needed_and_not_there'." in capsys.readouterr().out

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    @pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2)])
    def test_filter_takes_maps_of_any_precision(
        self, dtype: torch.dtype, up: int, down: int, benchmarks_on_path: None
    ) -> None:
        import peers

        kernel = torch.tensor([[1.0, 2.0], [3.0, 4.0]]) / 10
        x = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        out = peers.upfirdn2d(x.to(dtype), kernel, up, up, down, down, 1, 1, 1, 1)
        wide = torch.zeros(3, 1, 4 * up, 4 * up)
        wide[:, :, ::up, ::up] = x
        expected = functional.conv2d(functional.pad(wide, (1, 1, 1, 1)), kernel.flip(0, 1)[None, None], stride=down)
        assert out.dtype == dtype
        torch.testing.assert_close(out.float(), expected, rtol=0.02, atol=0.02)


class TestModes:
    """Scores of stacked digits, on images whose modes are known."""

    def test_images_show_the_digits_they_were_stacked_from(self, benchmarks_on_path: None) -> None:
        import mode_coverage

        images = mode_coverage.Stacked(200)
        labels = mode_coverage.digits()[1][images.chosen]
        found = mode_coverage.modes(images.read(np.arange(200)))
        assert (found == labels @ [100, 10, 1]).mean() > 0.95  # the classifier errs now and then
        assert mode_coverage.classifier()[1] > 0.98

    def test_coverage_of_known_modes(self, benchmarks_on_path: None) -> None:
        from mode_coverage import coverage

        assert coverage(np.arange(1000).repeat(3)) == {"modes": 1000, "kl": pytest.approx(0)}
        assert coverage(np.full(50, 7)) == {"modes": 1, "kl": pytest.approx(math.log(1000))}
        half = coverage(np.arange(500))
        assert half == {"modes": 500, "kl": pytest.approx(math.log(2))}

    def test_a_run_that_was_stopped_ends_with_the_bits_of_one_that_was_not(
        self, benchmarks_on_path: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import mode_coverage

        settings = mode_coverage.Settings(0.032, 8, 8, 1e-3, 1.0, 16, 2)
        run, score = mode_coverage.Run("contrast_r1_r2", 0), mode_coverage.score

        def stop_at_the_second(gan: GAN, num_fake: int) -> dict[str, float]:
            if gan.clock == 32:
                raise KeyboardInterrupt
            return score(gan, num_fake)

        whole, stopped = tmp_path / "whole", tmp_path / "stopped"
        for folder in (whole, stopped):
            folder.mkdir()
        monkeypatch.setattr(mode_coverage, "score", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            mode_coverage.train(run, settings, stopped, math.inf)
        monkeypatch.setattr(mode_coverage, "score", score)
        for folder in (whole, stopped):
            rows = mode_coverage.train(run, settings, folder, math.inf)
            assert [row["kimg"] for row in rows] == [0.016, 0.032]
        one, other = (read_checkpoint(folder / f"{run.name}.ckpt")["state_dict"] for folder in (whole, stopped))
        assert one.keys() == other.keys()
        assert all(torch.equal(value, other[name]) for name, value in one.items())


class TestSNGAN:
    """The benchmark beside torch-mimicry, which need not be there."""

    MISSING = importlib.util.find_spec("torch_mimicry") is None

    @pytest.mark.skipif(sys.platform != "linux", reason="forks its processes")
    def test_says_what_to_install(self, tmp_path: Path, caches: None) -> None:
        said = run("sngan", "--batch 4 --widths 4 4 --n_dis 1 --turns 1", tmp_path)
        sentence = "torch-mimicry is not installed and left out: pip install --no-deps torch-mimicry"
        assert (sentence in said) == self.MISSING
        assert ("ours is faster by" in said) != self.MISSING

    def test_times_one_step_at_a_time(self, benchmarks_on_path: None) -> None:
        from sngan import Turns

        events: list[str] = []
        turns = Turns(torch.zeros(1), n_dis=2, turns=2, peer=lambda: events.append("peer"))
        batches = iter(turns)
        next(batches)  # as Lightning fetches them
        for _ in batches:
            events.append("step")
        # the first turn, which warms up, is a step short; the last step is after the last turn
        assert events == ["peer", "step", "peer", "step", "step", "peer", "step", "step", "step"]
        assert len(turns.ours) == len(turns.theirs) == 3


def test_operations_are_counted(benchmarks_on_path: None) -> None:
    from flops import count_flops

    x, weight = torch.ones(2, 3, 8, 8), torch.ones(5, 3, 3, 3, requires_grad=True)
    once = 2 * (2 * 8 * 8) * (5 * 3 * 3 * 3)  # a multiplication and an addition per position and weight
    assert count_flops(lambda: functional.conv2d(x, weight, padding=1)) == once
    assert count_flops(lambda: torch.autograd.backward(functional.conv2d(x, weight, padding=1).sum())) == 2 * once


@pytest.mark.skipif(not fuses(torch.float32), reason="this PyTorch has no oneDNN")
def test_operations_of_one_pass_are_counted(benchmarks_on_path: None) -> None:
    from flops import count_flops

    x, weight = torch.ones(2, 3, 8, 8), torch.ones(5, 3, 3, 3)
    once = 2 * (2 * 8 * 8) * (5 * 3 * 3 * 3)
    assert count_flops(lambda: activated(x, weight, None, SAME, 0.2)) == once
    assert count_flops(lambda: added(x, weight, SAME, torch.ones(2, 5, 8, 8))) == once


class TestDeviceCheck:
    """What runs on a GPU alone, as far as it shows without one."""

    @pytest.mark.parametrize("variant", ["plain", "SAN", "reference"])
    def test_operations_are_counted_on_the_meta_device(self, variant: str, benchmarks_on_path: None) -> None:
        from device_speed import VARIANTS, flops_of
        from flops import count_flops
        from step_settings import SETTINGS
        from train_step import Step

        setting = SETTINGS["toy"][32]
        counted = flops_of(32, setting, variant)
        step = Step(32, setting, False, True, **VARIANTS[variant])
        for phase, run in step.phases.items():
            with step.prepared("ours"), computed_by(None):  # as on GPUs, for which it counts
                assert counted[phase] == count_flops(run) > 0, phase

    def test_waits_are_errors_for_fifty_steps(self, benchmarks_on_path: None, monkeypatch: pytest.MonkeyPatch) -> None:
        import device_numerics

        from tests.tiny import tiny_gan

        modes: list[str] = []
        monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
        monkeypatch.setattr(device_numerics, "WARM_STEPS", 2)
        monkeypatch.setattr(device_numerics, "on", lambda device: {"accelerator": "cpu", "devices": 1})
        assert device_numerics._waited(torch.device("cpu"), tiny_gan) == 0
        assert modes == ["error", "default", "default"]

    def test_what_fails_or_takes_too_long_is_a_line(self, benchmarks_on_path: None, tmp_path: Path) -> None:
        import threading

        from device_report import Part, Report, checked

        forever, report = threading.Event(), Report(tmp_path, {"device": "none"}, 60)
        assert report.run([Part("good", 5, lambda: [checked("a", lambda: 0.1, 0.2)])])
        far = Part("far", 5, lambda: [checked("a", lambda: 0.3, 0.2), checked("b", lambda: 1 / 0, 0.2)])
        slow = Part("slow", 0.05, lambda: [checked("a", lambda: forever.wait(5) * 1.0, 0.2)])
        assert not report.run([far, slow])
        assert [row.status for row in report.rows] == ["pass", "FAIL", "FAIL", "left out"]
        assert "ZeroDivisionError" in (tmp_path / "device_check.md").read_text()
        assert len(json.loads((tmp_path / "device_check.json").read_text())["rows"]) == 4
