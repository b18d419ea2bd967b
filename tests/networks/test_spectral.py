import pytest
import torch
from torch import nn

from dualgan.networks import spectral

LAYERS = {
    "3x3": (spectral.Conv2d, nn.Conv2d, (6, 5, 3), {"padding": 1}),
    "1x1": (spectral.Conv2d, nn.Conv2d, (12, 5, 1), {}),
    "linear": (spectral.Linear, nn.Linear, (6, 5), {}),
}


@pytest.mark.parametrize("name", LAYERS)
def test_normalised_layers_are_torchs_with_a_weight_of_norm_1(name: str) -> None:
    ours, torchs, arguments, padding = LAYERS[name]
    layer = spectral.normalised(ours(*arguments))
    x = torch.randn(2, arguments[0], 4, 4) if ours is spectral.Conv2d else torch.randn(2, arguments[0])
    for _ in range(200):
        y = layer(x)
    plain = torchs(*arguments, **padding)
    original = layer.parametrizations.weight.original
    assert isinstance(original, torch.Tensor)
    with torch.no_grad():
        plain.weight.copy_(original / torch.linalg.matrix_norm(original.flatten(1), 2))
        plain.bias.copy_(layer.bias)
    torch.testing.assert_close(y, plain(x), rtol=1e-4, atol=1e-5)


def test_eval_mode_leaves_the_iteration_where_it_is() -> None:
    layer = spectral.normalised(spectral.Linear(6, 5))
    before = [buffer.clone() for buffer in layer.buffers()]
    layer.eval()(torch.randn(2, 6))
    assert all(map(torch.equal, layer.buffers(), before))
    layer.train()(torch.randn(2, 6))
    assert not all(map(torch.equal, layer.buffers(), before))


def test_settled_layers_have_norm_1_at_once() -> None:
    layer = spectral.normalised(spectral.Embedding(5, 4))
    layer.load_state_dict({name: torch.randn_like(value) for name, value in layer.state_dict().items()})
    spectral.settle(layer)
    assert torch.linalg.matrix_norm(layer.eval().weight, 2).item() == pytest.approx(1, abs=1e-5)
    spectral.settle(nn.Linear(2, 2))
