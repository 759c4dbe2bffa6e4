"""Which layout fits, and which is the fastest: memory of a rank and time of a step, counted for every layout there is.

A layout is three numbers whose product is the number of GPUs (data, tensor, pipeline), what data parallelism shards,
and whether blocks are checkpointed. What is assumed, and can be argued with:

- float32 masters, gradients and moments (16 bytes a parameter); products, features and gathered weights in bfloat16.
- Tensor parallelism divides a block's features as well as its matrices (sequence parallelism), stays within a node, and
  waits for its messages: four all-reduces a block and microbatch, two more where the forward pass is computed again.
- What is sent and held is what the strategies of this stage send and hold. Gradients travel in float32. Copies of the
  model send them once a step, in buckets, which are a second copy; only the last microbatch's backward pass hides that.
- ZeRO-1 sends the updated weights afterwards, in float32, and nothing hides these. It gives out whole matrices.
- FSDP gathers every matrix twice in bfloat16 and scatters its gradient once, for every microbatch, behind all
  arithmetic. It holds the largest matrix with its neighbour gathered, and the gradients of two neighbours on their
  way, among them those of the table and, from the next microbatch, of the head.
- Gains are few: what they take and send is counted as if they were matrices.
- Pipelines run one forward, one backward: the first stage keeps as many microbatches as there are stages.
- Ranks of one node are neighbours: tensor parallelism comes first, then data, then pipeline.

Source: [megatron-2021] section 3 for the combination; [zero-2020] section 3 for what is sharded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from shared import accounting
from shared.doors.protocols import ModelConfig
from shared.parallel_costs import (
    Link,
    all_gather_bytes,
    all_gather_seconds,
    all_reduce_bytes,
    all_reduce_seconds,
)

Sharding = Literal["none", "zero1", "fsdp"]
SHARDINGS: tuple[Sharding, ...] = ("none", "zero1", "fsdp")
HALF = 2  # bytes of a bfloat16
FULL = accounting.BYTES_PER_FLOAT32
INSIDE, BETWEEN = (
    Link(4.5e11, 5e-6),
    Link(5e10, 1e-5),
)  # NVLink, and a network card of 400 Gbit/s for each GPU
BACKWARD_FRACTION = 2 / 3  # of the arithmetic of a step
MATRICES_PER_BLOCK = 7  # q, k, v, output; gate, up, down


@dataclass(frozen=True)
class Cluster:
    """GPUs in nodes, and the ways between them."""

    gpus: int
    memory_bytes: float = 80e9  # of each
    flops_per_second: float = 4e14  # sustained in bfloat16: some 40 per cent of a data sheet's
    gpus_per_node: int = 8
    inside: Link = INSIDE  # between GPUs of a node
    between: Link = BETWEEN  # between nodes, for each GPU


@dataclass(frozen=True)
class Job:
    """What is trained."""

    model: ModelConfig
    batch_sequences: int  # of one optimizer step, all ranks together
    seq: int  # tokens in each


@dataclass(frozen=True)
class Layout:
    """How the ranks are used."""

    data: int
    tensor: int
    pipeline: int
    sharding: Sharding
    is_checkpointed: bool  # every block
    micro_sequences: int  # that a rank passes through the model at once

    @property
    def ranks(self) -> int:
        return self.data * self.tensor * self.pipeline

    def num_microbatches(self, job: Job) -> int:
        """Passes through the model for each step."""
        return job.batch_sequences // (self.data * self.micro_sequences)


@dataclass(frozen=True)
class Memory:
    """Bytes of the fullest rank, by category."""

    parameters: float
    gradients: float
    optimizer: float
    activations: float

    @property
    def total(self) -> float:
        return self.parameters + self.gradients + self.optimizer + self.activations


@dataclass(frozen=True)
class Traffic:
    """What a rank sends in a step, and how long that takes."""

    data_bytes: float
    data_seconds: float  # of what can be hidden
    weights_seconds: float  # of weights after the update, when nothing is computed
    tensor_bytes: float
    tensor_seconds: float
    pipeline_bytes: float
    pipeline_seconds: float

    @property
    def total_bytes(self) -> float:
        return self.data_bytes + self.tensor_bytes + self.pipeline_bytes


@dataclass(frozen=True)
class Estimate:
    """A layout with what it costs."""

    layout: Layout
    memory: Memory
    traffic: Traffic
    compute_seconds: float  # of one rank, recomputation included
    bubble_seconds: float  # waiting for the pipeline to fill and to drain
    exposed_seconds: float  # of sending that nothing hides

    @property
    def step_seconds(self) -> float:
        return self.compute_seconds + self.bubble_seconds + self.exposed_seconds


def stage_parameters(model: ModelConfig, pipeline: int, *, is_last: bool) -> float:
    """Parameters of the first or the last stage; with one stage, of the whole model."""
    count = accounting.parameters(model)
    blocks = count.non_embedding - model.d_model  # without the last norm
    ends = count.embedding if not is_last or pipeline == 1 else 0
    if is_last or pipeline == 1:
        ends += count.head + model.d_model
    return blocks / pipeline + ends


def largest_matrices(model: ModelConfig, pipeline: int, *, is_last: bool) -> tuple[int, int]:
    """Parameters of the largest matrix of a stage and of the largest in a block, which is its neighbour or itself."""
    q_width = model.num_heads * model.width_per_head
    inside = model.d_model * max(model.d_ff, q_width)
    count = accounting.parameters(model)
    table = count.embedding if not is_last or pipeline == 1 else 0
    head = count.head if is_last or pipeline == 1 else 0
    return max(inside, table, head), inside


def memory_of(job: Job, layout: Layout) -> Memory:
    """What the fullest stage holds: the first with most microbatches in flight, or the last with the logits."""
    stages = [_stage_memory(job, layout, is_last=is_last) for is_last in (False, True)]
    return max(stages, key=lambda memory: memory.total)


def _stage_memory(job: Job, layout: Layout, *, is_last: bool) -> Memory:
    model, micro = job.model, layout.micro_sequences
    held = stage_parameters(model, layout.pipeline, is_last=is_last) / layout.tensor
    largest, inside_block = (
        count / layout.tensor for count in largest_matrices(model, layout.pipeline, is_last=is_last)
    )
    parameters = gradients = held * FULL
    optimizer = 2 * held * FULL
    if layout.data > 1 and layout.sharding == "fsdp":
        parameters = parameters / layout.data + HALF * (largest + inside_block)
        is_followed = layout.pipeline == 1 and layout.num_microbatches(job) > 1
        ends = accounting.parameters(model).head * 2 / layout.tensor if is_followed else 0
        gradients = gradients / layout.data + FULL * max(largest + inside_block, ends)
        optimizer /= layout.data
    elif layout.data > 1:
        gradients *= 2
        if layout.sharding == "zero1":
            optimizer = 2 * FULL * max(held / layout.data, largest)
    blocks = model.num_layers / layout.pipeline
    # The count is of float32; half of that in bfloat16.
    inside = accounting.block_kept_bytes(model, micro, job.seq) * HALF / FULL / layout.tensor
    stream = accounting.residual_stream_bytes(model, micro, job.seq, HALF) / layout.tensor
    in_flight = 1 if is_last else min(layout.pipeline, layout.num_microbatches(job))
    kept = in_flight * blocks * (stream if layout.is_checkpointed else inside)
    kept += inside if layout.is_checkpointed else 0
    if is_last or layout.pipeline == 1:
        kept += accounting.ends_kept_bytes(model, micro, job.seq) / layout.tensor
    return Memory(
        parameters=parameters,
        gradients=gradients,
        optimizer=optimizer,
        activations=kept,
    )


def traffic_of(job: Job, layout: Layout, cluster: Cluster) -> Traffic:
    """What each kind of parallelism sends, by rings."""
    model, microbatches = job.model, layout.num_microbatches(job)
    stream = accounting.residual_stream_bytes(model, layout.micro_sequences, job.seq, HALF)
    blocks = model.num_layers / layout.pipeline
    sums = microbatches * blocks * (6 if layout.is_checkpointed else 4)
    tensor_link = cluster.inside if layout.tensor <= cluster.gpus_per_node else cluster.between
    data_link = cluster.inside if layout.tensor * layout.data <= cluster.gpus_per_node else cluster.between
    weights = stage_parameters(model, layout.pipeline, is_last=False) / layout.tensor
    weights_seconds = 0.0
    if layout.sharding == "fsdp":
        numbers = microbatches * weights * (2 * HALF + FULL)  # there, back, and the gradient
        data_bytes = all_gather_bytes(numbers, layout.data)
        rounds = 3 * microbatches * blocks * MATRICES_PER_BLOCK  # each matrix's messages start anew
        data_seconds = rounds * all_gather_seconds(numbers / rounds, layout.data, data_link)
    else:
        data_bytes = all_reduce_bytes(weights * FULL, layout.data)
        data_seconds = all_reduce_seconds(weights * FULL, layout.data, data_link)
        if layout.sharding == "zero1":
            # A matrix goes round from its owner to the last rank: on average a rank passes on as much as in a gather.
            data_bytes += all_gather_bytes(weights * FULL, layout.data)
            weights_seconds = all_gather_seconds(weights * FULL, layout.data, data_link)
    hops = 0 if layout.pipeline == 1 else 2 * microbatches  # features forwards, gradients backwards
    sent = hops * stream / layout.tensor
    is_inside = layout.ranks <= cluster.gpus_per_node
    pipe_link = cluster.inside if is_inside else cluster.between
    return Traffic(
        data_bytes=data_bytes,
        data_seconds=data_seconds,
        weights_seconds=weights_seconds,
        tensor_bytes=sums * all_reduce_bytes(stream, layout.tensor),
        tensor_seconds=sums * all_reduce_seconds(stream, layout.tensor, tensor_link),
        pipeline_bytes=sent,
        pipeline_seconds=hops * pipe_link.seconds_per_message + sent / pipe_link.bytes_per_second,
    )


def estimate(job: Job, layout: Layout, cluster: Cluster) -> Estimate:
    """Memory and time of one layout."""
    tokens = job.batch_sequences * job.seq
    flops = tokens * accounting.training_flops_per_token(job.model, job.seq)
    useful = flops / layout.ranks / cluster.flops_per_second
    compute = useful * (4 / 3 if layout.is_checkpointed else 1)
    traffic = traffic_of(job, layout, cluster)
    last_backward = useful * BACKWARD_FRACTION / layout.num_microbatches(job)
    hidden_behind = compute if layout.sharding == "fsdp" else last_backward
    exposed = max(0.0, traffic.data_seconds - hidden_behind) + traffic.weights_seconds
    exposed += traffic.tensor_seconds + traffic.pipeline_seconds
    bubble = compute * (layout.pipeline - 1) / layout.num_microbatches(job)
    return Estimate(layout, memory_of(job, layout), traffic, compute, bubble, exposed)


def layouts(job: Job, cluster: Cluster) -> Iterator[Layout]:
    """Every layout of powers of two that divides the model, the batch and the GPUs without rest."""
    model = job.model
    kv_heads = model.num_kv_heads or model.num_heads
    for tensor in _powers_of_two(cluster.gpus_per_node):
        for pipeline in _powers_of_two(model.num_layers):
            data, rest = divmod(cluster.gpus, tensor * pipeline)
            if rest or not data or kv_heads % tensor or model.num_layers % pipeline:
                continue
            if job.batch_sequences % data:
                continue
            for micro in _powers_of_two(job.batch_sequences // data):
                if (job.batch_sequences // data) % micro:
                    continue
                for sharding in SHARDINGS if data > 1 else SHARDINGS[:1]:
                    for is_checkpointed in (False, True):
                        yield Layout(data, tensor, pipeline, sharding, is_checkpointed, micro)


def fitting(job: Job, cluster: Cluster) -> list[Estimate]:
    """The layouts whose fullest rank fits, the fastest by this model first, of equals the leanest."""
    all_of_them = (estimate(job, layout, cluster) for layout in layouts(job, cluster))
    fits = [each for each in all_of_them if each.memory.total <= cluster.memory_bytes]
    return sorted(fits, key=lambda each: (each.step_seconds, each.memory.total))


def _powers_of_two(most: int) -> Iterator[int]:
    power = 1
    while power <= most:
        yield power
        power *= 2
