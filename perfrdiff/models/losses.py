"""Losses of the paper's stages that torch does not have."""

import torch
from torch import Tensor


def supervised_contrastive(style: Tensor, identity: Tensor, temperature: float = 0.07) -> Tensor:
    """Supervised contrastive loss of unit styles (N, D) with identities (N,) (docs/method.md).

    Positives share the identity, self excluded; the denominator excludes self; base temperature = temperature.
    """
    logits = style @ style.T / temperature
    logits = logits - logits.amax(dim=1, keepdim=True).detach()
    diagonal = torch.eye(len(style), dtype=torch.bool, device=style.device)
    positive = (identity[:, None] == identity[None]) & ~diagonal
    log_sum = logits.masked_fill(diagonal, -torch.inf).logsumexp(dim=1, keepdim=True)
    log_probability = logits - log_sum
    count = positive.sum(dim=1).clamp(min=1)
    return -((log_probability * positive).sum(dim=1) / count).mean()
