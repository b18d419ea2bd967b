"""Evaluation: numbers do not depend on ranks, batches or the cache, and each carries where it comes from."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from dualgan.evaluation import SEEDS_PER_RUN, Evaluation, evaluate, evaluate_images
from dualgan.evaluation.features import Progress, real_chunks, together
from dualgan.evaluation.images import GeneratedImages, class_counts, images_of
from dualgan.metrics import FeatureExtractor, functional
from dualgan.metrics.moments import Moments
from dualgan.metrics.table import spec_of
from dualgan.networks.classes import ImageClass
from dualgan.networks.sampling import generate
from dualgan.pictures.pixels import to_uint8
from dualgan.version import __version__

ALL = ("frechet", "kernel", "precision", "recall", "density", "coverage")


class TinyExtractor(FeatureExtractor):
    """Coarse pixels as features; counts what it sees."""

    name = "tiny"
    dim = 12
    weight_hash = "0123456789abcdef"

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def features(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        return nn.functional.adaptive_avg_pool2d(images.float() / 255, 2).flatten(1)


class TinyGenerator(nn.Module):
    """A linear map of z with the project's interface."""

    z_dim, num_classes = 12, 0

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(12, 48, generator=torch.Generator().manual_seed(0)) * 0.2)

    def forward(self, z: Tensor, labels: Tensor | None, truncation_psi: float, noise_mode: str) -> Tensor:
        return (z * truncation_psi @ self.weight).view(-1, 3, 4, 4)


@dataclass
class Batch:
    images: Tensor


class Photos:
    """A reference set of random images."""

    resize_filter = "box"
    mirrored, whole = False, True
    class_names: tuple[str, ...] = ()

    def __init__(self, size: int = 90, fingerprint: str = "photos-1", as_tuple: bool = False) -> None:
        noise = torch.randn(size, 3, 4, 4, generator=torch.Generator().manual_seed(size)) * 0.4 + 0.1
        self.images, self.fingerprint, self.dataset_size, self.as_tuple = to_uint8(noise), fingerprint, size, as_tuple
        self.label_counts: Tensor | None = None

    def reference_dataloader(
        self, num: int | None, *, batches: Sequence[range]
    ) -> Iterator[Batch | tuple[Tensor, None]]:
        for batch in batches:
            images = self.images[:num][batch.start : batch.stop]
            yield (images, None) if self.as_tuple else Batch(images)


def extract(batches: Iterable[Tensor], extractor: FeatureExtractor) -> Tensor:
    return torch.cat([extractor(images) for images in batches])


def real_features(
    reference: Photos, extractor: FeatureExtractor, num: int | None, cache: Path | None = None, **settings: Any
) -> Tensor:
    return torch.cat(list(real_chunks(reference, extractor, num or reference.dataset_size, cache, **settings)))


def run(cache: Path, extractor: FeatureExtractor | None = None, metrics: tuple[str, ...] = ALL) -> Evaluation:
    extractor = extractor or TinyExtractor()
    return evaluate(
        TinyGenerator(), Photos(), extractor, num_fake=70, batch_size=16, seed=3, metrics=metrics, cache_dir=cache
    )


def test_values_are_the_formulas_on_the_named_seeds(tmp_path: Path) -> None:
    extractor = TinyExtractor()
    seeds = range(3 * SEEDS_PER_RUN, 3 * SEEDS_PER_RUN + 70)
    fake = extract(generate(TinyGenerator(), seeds), extractor)
    real = extract([Photos().images], extractor)
    values = run(tmp_path).values
    assert list(values) == [extractor.metric_name(kind) for kind in ALL]
    assert values["fd_tiny"] == pytest.approx(float(functional.frechet_distance(real, fake)), rel=1e-9)
    assert values["kd_tiny"] == pytest.approx(float(functional.kernel_distance(real, fake, 70, seed=3)), rel=1e-9)
    pairs = (*functional.precision_recall(real, fake), *functional.density_coverage(real, fake))
    assert [values[f"{kind}_tiny"] for kind in ALL[2:]] == [float(value) for value in pairs]


def test_only_wanted_metrics_are_made(tmp_path: Path) -> None:
    assert list(run(tmp_path, metrics=("coverage", "frechet")).values) == ["coverage_tiny", "fd_tiny"]


def test_provenance_says_where_the_numbers_come_from(tmp_path: Path) -> None:
    result = evaluate(
        TinyGenerator(), Photos(), TinyExtractor(), num_fake=40, num_real=50, truncation_psi=0.7, ema=True, seed=1,
        cache_dir=tmp_path,
    )  # fmt: skip
    assert result.provenance == {
        "real_fingerprint": "photos-1", "real_size": 90, "num_real": 50, "num_fake": 40, "resize_filter": "box",
        "extractor": "tiny", "extractor_size": None, "weight_hash": "0123456789abcdef", "ema": True,
        "extractor_identity": "tiny 0123456789abcdef",
        "truncation_psi": 0.7, "noise_mode": "random", "seed": 1,
        "real_mirrored": False, "kernel_subset_size": 40, "kernel_num_subsets": 100,
        "crop": None, "dualgan_version": __version__, "torch_version": str(torch.__version__),
    }  # fmt: skip
    assert json.loads(json.dumps(result.provenance)) == result.provenance


def test_settings_reach_the_numbers(tmp_path: Path) -> None:
    def score(**settings: float) -> float:
        extractor = TinyExtractor()
        result = evaluate(TinyGenerator(), Photos(), extractor, num_fake=40, cache_dir=tmp_path, **settings)  # type: ignore[arg-type]
        return result.values["fd_tiny"]

    assert score() == score(batch_size=7)
    assert len({score(), score(seed=1), score(truncation_psi=0.5), score(num_real=60)}) == 4


def test_real_features_are_extracted_once(tmp_path: Path) -> None:
    first, again, other = TinyExtractor(), TinyExtractor(), TinyExtractor()
    features = real_features(Photos(), first, None, tmp_path)
    assert first.seen == 90
    assert torch.equal(real_features(Photos(as_tuple=True), again, 90, tmp_path), features)
    assert again.seen == 0
    other.weight_hash = "another"
    real_features(Photos(), other, None, tmp_path)
    assert other.seen == 90


def test_other_numbers_and_other_images_do_not_share_a_cache(tmp_path: Path) -> None:
    extractor = TinyExtractor()
    assert len(real_features(Photos(), extractor, 30, tmp_path)) == 30
    assert len(real_features(Photos(), extractor, 60, tmp_path)) == 60
    real_features(Photos(fingerprint="photos-2"), extractor, 30, tmp_path)
    assert extractor.seen == 30 + 60 + 30
    assert len(list((tmp_path / "features").iterdir())) == 3  # and no temporary files


@pytest.mark.parametrize("damage", ["half", "garbage", "shape"])
def test_a_damaged_cache_is_replaced_with_a_note(tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str) -> None:
    features = real_features(Photos(), TinyExtractor(), 30, tmp_path)
    (file,) = (tmp_path / "features").glob("*/*")
    if damage == "half":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif damage == "garbage":
        file.write_bytes(b"\xff" * 100)
    else:
        real_features(Photos(), TinyExtractor(), 29, tmp_path)
        (other,) = (path for path in (tmp_path / "features").glob("*/*") if path != file)
        other.replace(file)
    for seen in (30, 0):
        extractor = TinyExtractor()
        assert torch.equal(real_features(Photos(), extractor, 30, tmp_path), features)
        assert extractor.seen == seen
    assert len(caplog.records) == 1
    assert "computing them again" in caplog.text


def test_a_cache_that_cannot_be_written_does_not_stop_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    assert len(real_features(Photos(), TinyExtractor(), 30, tmp_path / "file")) == 30
    assert "could not be kept" in caplog.text


def test_the_cache_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALGAN_CACHE", str(tmp_path / "there"))
    real_features(Photos(), TinyExtractor(), 5)
    assert len(list((tmp_path / "there" / "features").glob("*/*.safetensors"))) == 1
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DUALGAN_CACHE", "~/here")
    real_features(Photos(), TinyExtractor(), 5)
    assert len(list((tmp_path / "home" / "here" / "features").glob("*/*.safetensors"))) == 1
    monkeypatch.delenv("DUALGAN_CACHE")
    real_features(Photos(), TinyExtractor(), 5)
    assert len(list((tmp_path / "home" / ".cache" / "dualgan" / "features").glob("*/*.safetensors"))) == 1


@pytest.mark.parametrize("kind", ALL)
def test_numbers_of_few_images_carry_a_note_and_two_digits(kind: str, tmp_path: Path) -> None:
    found = evaluate(TinyGenerator(), Photos(), TinyExtractor(), num_fake=11, metrics=[kind], cache_dir=tmp_path)
    ((name, value),) = found.values.items()
    few = spec_of(kind).few
    counts = "11 generated images" if kind == "frechet" else "11 generated images and 90 real images"
    assert found.notes == {name: f"{counts}: below {few.enough(12):,} it means little ({few.why})"}
    assert found.shown(name) == f"{float(f'{value:.2g}'):g}"


def test_numbers_of_enough_images_carry_no_note(tmp_path: Path) -> None:
    settings = {"num_fake": 1000, "metrics": ["fid", "kid"], "cache_dir": tmp_path}
    found = evaluate(TinyGenerator(), Photos(1000), TinyExtractor(), **settings)  # type: ignore[arg-type]
    assert not found.notes
    assert all(found.shown(name) == f"{value:.6g}" for name, value in found.values.items())


def test_progress_counts_images(tmp_path: Path) -> None:
    told: list[tuple[int, str]] = []
    real_features(Photos(), TinyExtractor(), 50, tmp_path, batch_size=20, progress=lambda *count: told.append(count))
    assert told == [(20, "real images"), (20, "real images"), (10, "real images")]
    told.clear()
    real_features(Photos(), TinyExtractor(), 50, tmp_path, progress=lambda *count: told.append(count))
    assert told == [(50, "real images")]  # read at once
    told.clear()
    evaluate(
        TinyGenerator(), Photos(), TinyExtractor(), num_fake=64, cache_dir=tmp_path,
        progress=lambda *count: told.append(count),
    )  # fmt: skip
    assert [stage for _, stage in told] == ["generated images", "real images", "real images", "scores"]


def test_a_killed_evaluation_goes_on_with_the_next_chunk(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    done = 0

    def kill_at(count: int, stage: str) -> None:
        nonlocal done
        done += count
        if done > 128:
            raise Killed

    def score(extractor: TinyExtractor, progress: Progress | None = None, **work: Path) -> dict[str, float]:
        settings = {"num_fake": 200, "cache_dir": tmp_path / "cache", "progress": progress, "metrics": ALL, **work}
        return evaluate(TinyGenerator(), Photos(), extractor, **settings).values  # type: ignore[arg-type]

    with pytest.raises(Killed):
        score(TinyExtractor(), kill_at, work_dir=tmp_path / "work")
    again = TinyExtractor()
    values = score(again, work_dir=tmp_path / "work")
    assert again.seen == 90 + 200 - 128
    assert values == score(TinyExtractor())


def test_images_of_a_set_score_like_those_of_the_generator_that_made_them(tmp_path: Path) -> None:
    made = Photos(fingerprint="made")
    seeds = range(3 * SEEDS_PER_RUN, 3 * SEEDS_PER_RUN + 70)
    made.images, made.dataset_size = torch.cat(list(generate(TinyGenerator(), seeds))), 70
    settings = {"batch_size": 16, "seed": 3, "metrics": ALL, "cache_dir": tmp_path}
    result = evaluate_images(made, Photos(), TinyExtractor(), **settings)  # type: ignore[arg-type]
    assert result.values == run(tmp_path).values
    assert result.provenance["fake_fingerprint"] == "made"


def test_features_need_not_fit_into_memory_for_the_frechet_distance() -> None:
    rows = torch.randn(3000, 6, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 7) + 100
    moments, first, second = Moments(), Moments(), Moments()
    for part in torch.split(rows, 7):
        moments.update(part)
        assert sum(map(len, moments._waiting)) + len(moments._factor) < 9 * 6 + 7
    first.update(rows[:10])
    second.update(rows[10:])
    first.merge([second])
    for found in (moments, first):
        assert found.count == 3000
        assert torch.allclose(found.mean, rows.double().mean(0), rtol=1e-13)
        assert torch.allclose(found.root.T @ found.root, rows.double().T.cov(), rtol=1e-10, atol=1e-10)


def test_images_and_features_that_are_not_finite_are_named(tmp_path: Path) -> None:
    generator, extractor = TinyGenerator(), TinyExtractor()
    generator.weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"10 of 10 generated images hold NaN or infinity.*seed 0.*diverged"):
        evaluate(generator, Photos(), extractor, num_fake=10, cache_dir=tmp_path)
    broken = TinyExtractor()
    broken.features = lambda images: torch.full((len(images), 12), torch.inf)  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="real features hold NaN or infinity in 64 of 64 rows"):
        real_features(Photos(), broken, None, tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(("kind", "least"), [("precision", 4), ("coverage", 6)])
def test_too_few_images_are_refused_before_any_is_made(kind: str, least: int, tmp_path: Path) -> None:
    extractor = TinyExtractor()
    with pytest.raises(
        ValueError, match=f"num_fake 3 is too small: {kind}_tiny needs {least} generated images or more"
    ):
        evaluate(TinyGenerator(), Photos(), extractor, num_fake=3, metrics=(kind,), cache_dir=tmp_path)
    assert extractor.seen == 0


def test_numbers_that_do_not_fit_are_named(tmp_path: Path) -> None:
    generator, extractor = TinyGenerator(), TinyExtractor()
    with pytest.raises(ValueError, match="num_real 91 does not fit a set of 90 images"):
        evaluate(generator, Photos(), extractor, num_fake=10, num_real=91, cache_dir=tmp_path)
    with pytest.raises(ValueError, match="num_fake 1 is out of range"):
        evaluate(generator, Photos(), extractor, num_fake=1, cache_dir=tmp_path)
    with pytest.raises(ValueError, match="seed 4096 is out of range"):
        evaluate(generator, Photos(), extractor, num_fake=10, seed=4096, cache_dir=tmp_path)
    with pytest.raises(ValueError, match="metric 'speed' is unknown: expected some of fid, kid"):
        evaluate(generator, Photos(), extractor, num_fake=10, metrics=("speed",), cache_dir=tmp_path)
    short = Photos()
    short.dataset_size = 100
    with pytest.raises(ValueError, match="yielded 90 images instead of 100"):
        real_features(short, extractor, None, tmp_path)


def _fail() -> None:
    raise ValueError("broken image")


def _rank(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    extractor = TinyExtractor()
    result = run(Path(folder) / "cache", extractor)
    torch.save([result.values, result.provenance, extractor.seen], f"{folder}/{rank}.pt")
    with pytest.raises(ValueError, match="broken image"):
        together(lambda: _fail() if rank else None)
    dist.destroy_process_group()


def test_two_ranks_equal_one_process(tmp_path: Path) -> None:
    mp.spawn(_rank, args=(str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call, attr-defined]
    single = run(tmp_path / "single")
    seen = []
    for rank in range(2):
        values, provenance, images = torch.load(tmp_path / f"{rank}.pt")
        assert values == pytest.approx(single.values, rel=1e-12)
        assert provenance == single.provenance
        seen.append(images)
    assert seen == [64 + 64, 26 + 6]  # chunks are of 64 images; each rank has one of the real and one of the fake ones


def test_inception_score_without_classes_is_refused_before_any_image(tmp_path: Path) -> None:
    def never(images: int, stage: str) -> None:
        raise AssertionError("an image was measured")

    with pytest.raises(ValueError, match="has no classes, and so no inception score"):
        evaluate(
            TinyGenerator(), Photos(), TinyExtractor(), num_fake=40, metrics=["inception_score"],
            cache_dir=tmp_path, progress=never,
        )  # fmt: skip


class Classes(TinyGenerator):
    """Each class has a gray level of its own: what `Shades` holds."""

    num_classes = 2
    classes: tuple[ImageClass, ...] = ()

    def forward(self, z: Tensor, labels: Tensor | None, truncation_psi: float, noise_mode: str) -> Tensor:
        assert labels is not None
        return (labels - 0.5).view(-1, 1, 1, 1) + 0.02 * z.view(-1, 3, 2, 2).repeat(1, 1, 2, 2)


class Shades(Photos):
    """Nine images in ten are of the first class."""

    def __init__(self, size: int = 500, labelled: bool = True) -> None:
        super().__init__(size)
        labels = (torch.arange(size) % 10 == 0).long()
        z = torch.randn(size, 12, generator=torch.Generator().manual_seed(1))
        self.images = to_uint8(Classes()(z, labels, 1.0, "const"))
        self.label_counts = labels.bincount() if labelled else None


def test_classes_are_drawn_as_often_as_the_real_images_have_them(caplog: pytest.LogCaptureFixture) -> None:
    settings: dict[str, Any] = {"num_fake": 500, "metrics": ["fid"]}
    perfect = evaluate(Classes(), Shades(), TinyExtractor(), **settings)
    assert perfect.provenance["classes"] == "as in the real images"
    assert "equally often" not in caplog.text
    blind = evaluate(Classes(), Shades(labelled=False), TinyExtractor(), **settings)
    assert blind.provenance["classes"] == "uniform"
    assert "the 2 classes of the generator are drawn equally often" in caplog.text
    assert 100 * perfect.values["fd_tiny"] < blind.values["fd_tiny"]
    other = Shades()
    other.label_counts = torch.tensor([1, 1, 1])
    with pytest.raises(ValueError, match="the real images have 3 classes, and the generator 2"):
        evaluate(Classes(), other, TinyExtractor(), **settings)


def test_classes_of_real_images_are_the_generators_by_their_names() -> None:
    G, real = Classes(), Shades()
    real.class_names = ("b", "a")  # numbered in another way
    G.classes = (ImageClass("a", 5), ImageClass("b", 5))
    counts = class_counts(G, real)
    assert counts is not None
    assert real.label_counts is not None
    assert counts.tolist() == real.label_counts.flip(0).tolist()
    older = Classes()
    older.num_classes = 3  # numbered by its labels, one of which has no image
    real.class_names = ("0", "2")
    counts = class_counts(older, real)
    assert counts is not None
    assert counts[[0, 2]].tolist() == real.label_counts.tolist()
    assert counts[1] == 0
    real.class_names = ("b", "c")
    with pytest.raises(ValueError, match="real images have the class 'c', and the generator none of that name"):
        class_counts(G, real)


def test_without_labels_only_classes_that_had_images_are_drawn() -> None:
    G = Classes()
    G.classes = (ImageClass("a", 0), ImageClass("b", 5))
    made = images_of(G, Shades(labelled=False), 20)
    (images,) = made.batches([range(20)])
    assert float(images.float().mean()) > 160  # the gray level of the second class


class Noisy(TinyGenerator):
    """Its images are noise and nothing else."""

    def forward(self, z: Tensor, labels: Tensor | None, truncation_psi: float, noise_mode: str) -> Tensor:
        assert noise_mode in ("random", "const")
        return torch.rand(len(z), 3, 4, 4) if noise_mode == "random" else torch.zeros(len(z), 3, 4, 4)


def test_noise_is_drawn_anew_for_every_batch_and_the_same_at_every_evaluation() -> None:
    batches = [range(0, 8), range(8, 16)]
    fakes = GeneratedImages(Noisy(), 16, noise_mode="random")
    torch.manual_seed(1)
    first = torch.cat(list(fakes.batches(batches)))
    torch.manual_seed(2)  # what was drawn before must not matter, nor who makes which batch
    (second,) = fakes.batches(batches[1:])
    assert torch.equal(second, first[8:])
    assert len({tuple(image.flatten().tolist()) for image in first}) == 16
    assert evaluate(Noisy(), Photos(), TinyExtractor(), num_fake=20).provenance["noise_mode"] == "random"
    const = evaluate(Noisy(), Photos(), TinyExtractor(), num_fake=20, noise_mode="const")
    assert const.provenance["noise_mode"] == "const"


def test_a_generator_without_noise_has_none_to_draw(caplog: pytest.LogCaptureFixture) -> None:
    silent = Noisy()
    silent.has_noise = False  # type: ignore[assignment]
    assert evaluate(silent, Photos(), TinyExtractor(), num_fake=20).provenance["noise_mode"] == "const"
    assert "noise_mode" not in caplog.text
    scores = evaluate(silent, Photos(), TinyExtractor(), num_fake=20, noise_mode="none")
    assert scores.provenance["noise_mode"] == "const"
    assert "noise_mode 'none' has no effect" in caplog.text


def test_the_published_number_of_real_images_takes_what_there_is_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    scores = evaluate(TinyGenerator(), Photos(), TinyExtractor(), num_fake=20, num_real=50_000)
    assert scores.provenance["num_real"] == 90
    assert "num_real 50000 is more than the 90 real images that there are" in caplog.text
