"""Instance discrimination as a loss: InfoNCE, and FakeCLR's weights of negatives by their age.

Shapes: N queries, K negatives in the queue, d dimensions; all vectors have length 1.
"""

import torch.nn.functional as F
from torch import Tensor


# FakeCLR supplement, Eq. 1: -log U / (U + sum_i exp((q k_i + m_i) / tau)), U = exp(q k+ / tau); m = 0 is InfoNCE
def info_nce(query: Tensor, positive: Tensor, negatives: Tensor, weights: Tensor | None, temperature: float) -> Tensor:
    """Tell each query's positive from the negatives.

    Args:
        query: [N, d].
        positive: [N, d].
        negatives: [K, d].
        weights: m [K], added to the similarities of the negatives; None is 0.
        temperature: tau, above 0.

    Returns:
        Mean over the queries, a scalar of at least 0.

    Source: van den Oord et al., 2018, Eq. 4; with weights: Li et al., "FakeCLR", ECCV 2022, supplement, Eq. 1.
    """
    own = (query * positive).sum(dim=1, keepdim=True)
    others = query @ negatives.T
    if weights is not None:
        others = others + weights
    # -log softmax of the first: log(1 + sum_i exp((q k_i + m_i - q k+) / tau))
    return F.softplus(((others - own) / temperature).logsumexp(dim=1)).mean()


# FakeCLR supplement, Algorithm 1: softmax(normalize(minmax(index), p=2) / t_weight) over the queue
def forgetting_factor(iterations: Tensor, temperature: float) -> Tensor:
    """Weights m [K] of negatives by when they were made: the newer, the larger; they add up to 1.

    Args:
        iterations: When each was made, [K], in any unit; all alike get equal weights.
        temperature: t_weight, above 0; the smaller, the more of the weight goes to the newest.
    """
    since = iterations - iterations.min()  # of whole numbers before they become float32, which rounds above 2^24
    since = since if since.is_floating_point() else since.float()
    share = F.normalize(since / since.max().clamp(min=1e-12), p=2.0, dim=0)
    return (share / temperature).softmax(dim=0)
