"""Tiles of keys outside, the running state of all queries beside them, sums in float64; the same order backward."""

import torch

SOLVES = ("flash_forward", "flash_backward")
ROWS, COLUMNS = 48, 80


def tiles(length, size):
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def scores_of(Q, K, rows, columns, is_causal):
    scores = Q[..., rows, :].double() @ K[..., columns, :].double().mT / Q.shape[-1] ** 0.5
    if is_causal:
        ahead = K.shape[-2] - Q.shape[-2]
        too_late = (
            torch.arange(columns.start, columns.stop) > torch.arange(rows.start, rows.stop)[:, None] + ahead
        )
        scores[..., too_late] = -torch.inf
    return scores


class Flash(torch.autograd.Function):
    @staticmethod
    def forward(ctx, Q, K, V, is_causal=False):
        largest = torch.full(Q.shape[:-1], -torch.inf, dtype=torch.float64)
        total = torch.zeros_like(largest)
        mixed = torch.zeros(*Q.shape[:-1], V.shape[-1], dtype=torch.float64)
        for columns in tiles(K.shape[-2], COLUMNS):
            for rows in tiles(Q.shape[-2], ROWS):
                scores = scores_of(Q, K, rows, columns, is_causal)
                higher = torch.maximum(largest[..., rows], scores.amax(-1))
                kept = torch.exp(largest[..., rows] - higher)
                weights = torch.exp(scores - higher[..., None])
                total[..., rows] = total[..., rows] * kept + weights.sum(-1)
                new = weights @ V[..., columns, :].double()
                mixed[..., rows, :] = mixed[..., rows, :] * kept[..., None] + new
                largest[..., rows] = higher
        out = (mixed / total[..., None]).to(Q.dtype)
        ctx.is_causal = is_causal
        ctx.save_for_backward(Q, K, V, out, largest + total.log())
        return out

    @staticmethod
    def backward(ctx, grad_out):
        Q, K, V, out, logsumexp = ctx.saved_tensors
        row_dot = torch.einsum("...d,...d->...", out.double(), grad_out.double())
        grad_q = torch.zeros(Q.shape, dtype=torch.float64)
        grad_k, grad_v = [], []
        for columns in tiles(K.shape[-2], COLUMNS):
            k, v = K[..., columns, :].double(), V[..., columns, :].double()
            grad_k.append(torch.zeros_like(k))
            grad_v.append(torch.zeros_like(v))
            for rows in tiles(Q.shape[-2], ROWS):
                grad = grad_out[..., rows, :].double()
                weights = torch.exp(
                    scores_of(Q, K, rows, columns, ctx.is_causal) - logsumexp[..., rows, None]
                )
                grad_scores = weights * (grad @ v.mT - row_dot[..., rows, None]) / Q.shape[-1] ** 0.5
                grad_q[..., rows, :] += grad_scores @ k
                grad_k[-1] += grad_scores.mT @ Q[..., rows, :].double()
                grad_v[-1] += weights.mT @ grad
        whole_k, whole_v = torch.cat(grad_k, dim=-2), torch.cat(grad_v, dim=-2)
        return grad_q.to(Q.dtype), whole_k.to(K.dtype), whole_v.to(V.dtype), None


def get_flashattention_autograd_function_pytorch():
    return Flash
