"""Steps under torch.compile train as the others do."""

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import dualgan.training.compilation as compilation
from dualgan.gan import GAN
from dualgan.runtime.process import flush_denormals
from dualgan.training.compilation import check_compiler, compiled_passes, synthesize
from tests.tiny import tiny_gan, train


@pytest.fixture
def without_code_generation(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trace and differentiate as ever, but run the traced operations one by one: seconds instead of minutes."""
    monkeypatch.setattr(compilation, "BACKEND", "aot_eager")
    compiled_passes.cache_clear()
    yield
    compiled_passes.cache_clear()
    torch.compiler.reset()


def state(gan: GAN) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in gan.state_dict().items()}


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # the tracer looks at all
def test_traced_steps_train_bit_for_bit_as_the_others(without_code_generation: None, tmp_path: Path) -> None:
    eager = tiny_gan(d_reg_interval=2, g_reg_interval=2)
    traced = tiny_gan(d_reg_interval=2, g_reg_interval=2, compile=True)
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    train(eager, 3)
    trainer = train(traced, 3)
    # G's forward pass, D's for G, D's for both kinds; nothing is traced a second time
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] - before == 3
    assert not torch._dynamo.utils.counters["graph_break"]
    assert traced.latest.keys() == eager.latest.keys()
    for name, value in eager.latest.items():
        assert torch.equal(value, traced.latest[name]), name
    for name, value in state(eager).items():
        assert torch.equal(value, traced.state_dict()[name]), name
    # Outside of the steps nothing knows of the compiler: names, checkpoints, copies
    assert eager.state_dict().keys() == traced.state_dict().keys()
    assert eager.generator.describe() == traced.generator.describe()
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert torch.load(tmp_path / "a.ckpt", weights_only=True)["state_dict"].keys() == eager.state_dict().keys()
    generator = copy.deepcopy(traced.generator)
    generator.get_parameter("synthesis.b4.const").data.zero_()
    ws = torch.ones(1, generator.num_ws, 16)
    passes = compiled_passes()
    torch.manual_seed(0)
    image = passes.synthesize(generator, ws)
    torch.manual_seed(0)
    assert torch.equal(image, generator.synthesis(ws))


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")
@pytest.mark.filterwarnings(
    r"ignore:\s*(By default only one|Only use the public API)"
)  # the compiler looks into all modules
def test_generated_code_draws_the_same_noise_and_agrees() -> None:
    flush_denormals()
    generator = tiny_gan().generator
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.fill_(1.0)
    ws = torch.randn(4, generator.num_ws, 16, generator=torch.Generator().manual_seed(0))
    images = []
    for call in (synthesize, compiled_passes().synthesize):
        torch.manual_seed(3)
        with torch.no_grad():
            images.append(call(generator, ws))
    torch.testing.assert_close(images[1], images[0], rtol=1e-4, atol=1e-5)


def test_a_missing_compiler_is_named_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match=r"compile true needs a C\+\+ compiler, and there is no no-such-compiler"):
        train(tiny_gan(compile=True), 1)
    train(tiny_gan(), 1)
    monkeypatch.setattr(compilation, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="needs Triton on a GPU"):
        check_compiler("cuda")
