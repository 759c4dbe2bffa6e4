"""One sequence after another, powers of two, a large negative number for what is masked, tiles as lists."""

import math

import torch

SOLVES = ("flash_forward", "flash_backward")
LOG2_E = math.log2(math.e)
MASKED = -1e6


def attend(q, k, v, is_causal):
    """q (q_len, d), k and v (k_len, d): the result and the logarithm, to base 2, of each sum."""
    ahead, done, logarithms = k.shape[0] - q.shape[0], [], []
    places = torch.arange(k.shape[0]).split(32)
    for rows, q_rows in zip(torch.arange(q.shape[0]).split(32), q.split(32), strict=True):
        state = None
        for columns, k_rows, v_rows in zip(places, k.split(32), v.split(32), strict=True):
            if is_causal and columns[0] > rows[-1] + ahead:
                break
            scores = torch.einsum("id,jd->ij", q_rows, k_rows) * (LOG2_E / math.sqrt(q.shape[1]))
            if is_causal:
                scores = torch.where(columns > rows[:, None] + ahead, MASKED, scores)
            largest = scores.max(dim=1, keepdim=True).values
            weights = torch.exp2(scores - largest)
            new = largest, weights.sum(1, keepdim=True), torch.einsum("ij,jd->id", weights, v_rows)
            state = new if state is None else joined(state, new)
        largest, total, mixed = state
        done.append(mixed / total)
        logarithms.append((largest + torch.log2(total))[:, 0])
    return torch.cat(done), torch.cat(logarithms)


def joined(first, second):
    top = torch.maximum(first[0], second[0])
    left, right = torch.exp2(first[0] - top), torch.exp2(second[0] - top)
    return top, first[1] * left + second[1] * right, first[2] * left + second[2] * right


class Flash(torch.autograd.Function):
    @staticmethod
    def forward(ctx, Q, K, V, is_causal=False):
        flat = [part.reshape(-1, *part.shape[-2:]).float() for part in (Q, K, V)]
        results = [attend(*one, is_causal) for one in zip(*flat, strict=True)]
        out = torch.stack([result for result, _ in results]).view(Q.shape).to(Q.dtype)
        logsumexp = torch.stack([logarithm for _, logarithm in results]).view(Q.shape[:-1]) / LOG2_E
        ctx.save_for_backward(logsumexp, V, K, Q, out)
        ctx.is_causal = is_causal
        return out

    @staticmethod
    def backward(ctx, grad_out):
        logsumexp, V, K, Q, out = ctx.saved_tensors
        scale, ahead = Q.shape[-1] ** -0.5, K.shape[-2] - Q.shape[-2]
        q, k, v, grad = (part.float() for part in (Q, K, V, grad_out))
        grad_q, grad_k, grad_v = (torch.zeros(part.shape) for part in (q, k, v))
        for i in range(0, Q.shape[-2], 40):
            rows = slice(i, i + 40)
            scores = q[..., rows, :] @ k.transpose(-1, -2) * scale
            if ctx.is_causal:
                scores += MASKED * torch.ones(scores.shape[-2:]).triu(i + ahead + 1)
            weights = torch.exp(scores - logsumexp[..., rows, None])
            row_dot = (grad[..., rows, :] * out[..., rows, :].float()).sum(-1, keepdim=True)
            grad_scores = weights * (grad[..., rows, :] @ v.transpose(-1, -2) - row_dot) * scale
            grad_q[..., rows, :] = grad_scores @ k
            grad_k += grad_scores.transpose(-1, -2) @ q[..., rows, :]
            grad_v += weights.transpose(-1, -2) @ grad[..., rows, :]
        return grad_q.to(Q.dtype), grad_k.to(K.dtype), grad_v.to(V.dtype), None


def get_flashattention_autograd_function_pytorch():
    return Flash
