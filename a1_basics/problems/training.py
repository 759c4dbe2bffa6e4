"""The code problems of learning: the loss, the optimizer, its data, and the loop that joins them.

Hints climb from a nudge to nearly the solution; the last rung names the traps.
"""

from shared.doors.exercise import Exercise

CROSS_ENTROPY = Exercise(
    id="cross_entropy",
    title="Cross-entropy",
    points=1,
    door=("run_cross_entropy",),
    budget="3 lines; no training",
    why=(
        "This number is all that training looks at. Where the softmax underflows, its logarithm is infinite or "
        "clamped, and the worst mistakes, which should teach most, teach nothing."
    ),
    hints=(
        "By hand: logits (0, ln 3) are the probabilities 1/4 and 3/4. What does each target cost, as -ln p?",
        "-ln (e^t / sum e^x) = ln sum e^x - t, with t the target's logit. No probability has to be formed.",
        "ln sum e^x is stable when the largest logit of the row is taken out first: m + ln sum e^(x - m). "
        "torch.logsumexp does that, and is allowed.",
        "The target's logit, for any number of leading dimensions: inputs.gather(-1, targets[..., None])[..., 0]. "
        "Then the mean over everything.",
        "Traps: log(softmax(x)), with or without a small number added; .max() of the whole batch; a loss that "
        "takes exactly two dimensions; sum in place of mean; .item().",
    ),
    forbidden=(
        "torch.nn.functional.cross_entropy",
        "torch.nn.functional.nll_loss",
        "torch.nn.functional.log_softmax",
        "torch.nn.CrossEntropyLoss",
        "torch.nn.NLLLoss",
        "torch.nn.LogSoftmax",
    ),
)

ADAMW = Exercise(
    id="adamw",
    title="AdamW",
    points=2,
    door=("get_adamw_cls",),
    budget="about 30 lines; no training",
    why=(
        "The optimizer runs for every step of every model of the later stages. Its usual mistakes (a "
        "schedule that has no effect, a count that is lost on resume) still make the loss go down, "
        "only less far, so nobody looks."
    ),
    hints=(
        "Subclass torch.optim.Optimizer. __init__ passes a dict of defaults (lr, betas, eps, "
        "weight_decay) to super().__init__(params, defaults); step() walks over self.param_groups, and "
        "over group['params'] in each.",
        "Each parameter has a memory of its own, self.state[p]: two running averages that start at "
        "zero, of the gradient (m) and of its square (v), and the number t of updates that this "
        "parameter has had. A parameter whose .grad is None is left alone altogether: no decay, no "
        "count.",
        "m = beta1 m + (1 - beta1) g and v = beta2 v + (1 - beta2) g^2 start at zero and so begin too "
        "small; divide them by 1 - beta1^t and 1 - beta2^t. Then p = p - lr * m_hat / (sqrt(v_hat) + "
        "eps).",
        "Weight decay is decoupled: p = p - lr * weight_decay * p, apart from the gradient, with the "
        "learning rate of this very step. Read lr, betas, eps and weight_decay from the group inside "
        "step(): a schedule writes group['lr'] before each call.",
        "Traps: self.defaults['lr'] or a value kept from __init__ ignores schedules and groups; a "
        "count kept on self is one for all and is lost by state_dict(), so keep t in self.state[p]; "
        "eps stands outside the square root; write p.mul_(), p.add_() under torch.no_grad(), for "
        "p.data = ... moves the parameter to new memory; call a closure once, under "
        "torch.enable_grad(), and return its loss.",
    ),
    forbidden=(
        "torch.optim.AdamW",
        "torch.optim.Adam",
        "torch.optim.NAdam",
        "torch.optim.RAdam",
        "torch.optim.Adamax",
        "torch.optim.adamw.AdamW",
        "torch.optim.adamw.adamw",
        "torch.optim.adam.Adam",
        "torch.optim.adam.adam",
        "torch._fused_adamw_",
        "torch._fused_adam_",
    ),
)

LEARNING_RATE_SCHEDULE = Exercise(
    id="learning_rate_schedule",
    title="The learning-rate schedule",
    points=1,
    door=("run_get_lr_cosine_schedule",),
    budget="about 8 lines; no training",
    why=(
        "The learning rate is the setting that decides most. A schedule that jumps, never comes down or rises "
        "again still trains, to a loss that is a few percent worse than it could be."
    ),
    hints=(
        "Draw it first: up along a straight line, down along half a cosine, then level. Write the rate at the "
        "four corners (step 0, the end of the warm-up, the end of the cosine, far beyond) beside the drawing.",
        "Three cases, in this order: it < warmup_iters; it > cosine_cycle_iters; in between.",
        "In between, progress = (it - warmup_iters) / (cosine_cycle_iters - warmup_iters) runs from 0 to 1, and "
        "0.5 * (1 + cos(pi * progress)) from 1 to 0. That is the share of the way from min to max.",
        "Traps: warmup_iters=0 must never reach a division by it, and cosine_cycle_iters=warmup_iters makes "
        "progress 0/0; the cosine spans the steps after the warm-up, not all of them; return a Python float.",
    ),
    forbidden=(
        "torch.optim.lr_scheduler.CosineAnnealingLR",
        "torch.optim.lr_scheduler.CosineAnnealingWarmRestarts",
        "torch.optim.lr_scheduler.LinearLR",
        "torch.optim.lr_scheduler.SequentialLR",
        "torch.optim.lr_scheduler.OneCycleLR",
        "transformers.get_cosine_schedule_with_warmup",
    ),
)

GRADIENT_CLIPPING = Exercise(
    id="gradient_clipping",
    title="Gradient clipping",
    points=1,
    door=("run_gradient_clipping",),
    budget="about 8 lines; no training",
    why=(
        "One strange batch can move all weights so far that hundreds of steps are lost. Clipping bounds the "
        "step; done wrongly it does nothing, or makes every small step a large one, and says so in neither case."
    ),
    hints=(
        "Lay all gradients of all parameters end to end: one long vector. If it is longer than max_l2_norm, make "
        "it shorter without turning it.",
        "The joint norm is the root of the sum of all squares. Every gradient is multiplied by the same factor, "
        "max_l2_norm / (norm + 1e-6), and only if the norm exceeds the bound.",
        "Collect the gradients in a list first, `[p.grad for p in parameters if p.grad is not None]`: the "
        "argument may be a generator and lives for one loop.",
        "Traps: p.grad = p.grad * factor makes a new tensor, p.grad.mul_(factor) does not; gradients of zero or "
        "no gradients at all are no error; sum the squares in float32, because float16 and bfloat16 cannot.",
    ),
    forbidden=(
        "torch.nn.utils.clip_grad_norm_",
        "torch.nn.utils.clip_grad_norm",
        "torch.nn.utils.clip_grad.clip_grad_norm_",
        "torch.nn.utils.clip_grads_with_norm_",
        "torch.nn.utils.get_total_norm",
    ),
)

GET_BATCH = Exercise(
    id="get_batch",
    title="Batches from one long row of tokens",
    points=2,
    door=("run_get_batch",),
    budget="about 8 lines; no training",
    why=(
        "The targets define what the model learns: shifted by the wrong amount it learns to copy, and "
        "a loader that never reaches the end, or reads the whole file for each batch, wastes data or "
        "days without any error."
    ),
    hints=(
        "Draw batch_size random starts; for each take context_length tokens as x, and as y the same "
        "window moved one token to the right, read from the dataset.",
        "x needs tokens i .. i+c-1 and y needs i+1 .. i+c, so the last legal start is len(dataset) - c "
        "- 1. The upper end of torch.randint and numpy.random.randint is exclusive. A dataset of c + 1 "
        "tokens has exactly one start. Draw with replacement: a batch may be larger than the number of "
        "starts.",
        "The dataset may be a memory map of many gigabytes. Slice it, or index it with the positions "
        "starts[:, None] + arange(c), and only then convert; torch.tensor(dataset) or "
        "dataset.astype(...) reads it all.",
        "Token files are uint16, an embedding wants torch.long: numpy.asarray(window, "
        "dtype=numpy.int64), then torch.from_numpy(...), then .to(device) for x and for y.",
        "Traps: y = x + 1 only works on a test made of arange; int16 turns token 40000 into a negative "
        "number; a seed or a generator of your own, inside the function or the module, takes "
        "reproducibility away from the caller: use torch's, numpy's or random's global generator; and "
        "never fall back to the CPU when the device asked for is not there.",
    ),
)

CHECKPOINTING = Exercise(
    id="checkpointing",
    title="Checkpoints",
    points=1,
    door=("run_save_checkpoint", "run_load_checkpoint"),
    prerequisites=("adamw",),
    budget="about 8 lines; no training",
    why=(
        "Every long run is interrupted. A checkpoint that forgets the optimizer's averages or a changed rate "
        "resumes without an error and trains another model; one that is unpickled carelessly runs the program "
        "of whoever wrote it."
    ),
    hints=(
        "Ask model and optimizer for everything they hold: each has a method that gives it as a dict, and one "
        "that takes it back.",
        "One dict of three entries (model, optimizer, iteration), written with torch.save, which takes paths and "
        "open binary files alike; so does torch.load.",
        "torch.load(src, map_location='cpu', weights_only=True): tensors land where every machine has room, and "
        "the file cannot run code. load_state_dict copies them into the parameters that are there.",
        "Traps: open(out, 'wb') refuses buffers; strict=False leaves random numbers where the file has none; "
        "assign=True swaps parameters that the optimizer still holds; named_parameters() has no buffers; do not "
        "touch generators, training mode or requires_grad.",
    ),
)

EVALUATE = Exercise(
    id="evaluate",
    title="Evaluation in bits per byte",
    points=2,
    door=("evaluate_model",),
    budget="about 30 lines; no training",
    why=(
        "Runs are compared by this number. An evaluation that drops the end of the text, counts tokens twice or "
        "lets each window begin in the dark moves it by more than most ideas are worth."
    ),
    hints=(
        "Take ten tokens and a context of four, and write down every window: where it begins, which targets it "
        "has, which of them an earlier window has counted.",
        "Windows begin at 0, stride, 2 stride, ...; the first counts all its targets, each later one only its last "
        "`stride`. The last may be short: pad it, and do not count the padding.",
        "The loss of a target is logsumexp(logits) - logits[target]. Sum losses, tokens and token_bytes[target] "
        "over what counts; return Evaluation(nats, tokens, num_bytes) of shared.doors.protocols.",
        "Traps: a mean of batches of unequal size; bytes of inputs instead of targets; stride=None means "
        "context_length; gradients on; a model left in eval mode; sums in float32 over a million tokens.",
    ),
)

TRAINING_TOGETHER = Exercise(
    id="training_together",
    title="Training, put together",
    points=4,
    door=("train",),
    prerequisites=(
        "adamw",
        "learning_rate_schedule",
        "gradient_clipping",
        "get_batch",
        "checkpointing",
    ),
    budget="about 100 lines; the tests train for a few seconds",
    why=(
        "Every part may be right and the whole wrong: a schedule that is computed and not written, a clipping "
        "after the step, a resume with other batches. The curve goes down all the same."
    ),
    hints=(
        "First without interruptions: open the Shards, seed, build the model, loop over job.steps, publish. The "
        "handout shows the store in ten lines.",
        "The order within a step: rate into every param_group, zero_grad, loss, backward, clip, step. Then log, "
        "and evaluate and save when it is time, and after the last step.",
        "Make batch number n depend on (job.seed, n) alone: a generator seeded from both, or a seed set just "
        "before get_batch. Then a resumed run needs no memory of what it has drawn.",
        "The run folder is found by everything that decides the outcome: hash the job without store, runs and "
        "name, and put the hash into the folder's name. Checkpoints: write beside, then os.replace.",
        "Traps: the optimizer's state and the step belong into the checkpoint, and so does the log; the same job "
        "must give the same artifact, so no times in it; loss on the val split without gradients; a setting that "
        "you do not know (init, microbatches) is refused, not passed over.",
    ),
    forbidden=("transformers.Trainer", "transformers.trainer.Trainer"),
    time_limit_seconds=300.0,
)
