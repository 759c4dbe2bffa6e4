"""Which layout of data, tensor and pipeline parallelism fits into so many GPUs, and which is the fastest: by counting.

For each number of GPUs: how many layouts fit, and the fastest of them with its memory per rank, what a rank sends in
a step, and the time of the step by a model of latency and bandwidth. Nothing is run. What is assumed stands at the head
of a2_systems/parallel/planner.py; rates and links below are settings, so put your own cluster's in.
"""

import sys

from a2_systems.configs import PLAN, PlanTraining
from a2_systems.parallel.planner import Cluster, Estimate, Job, estimate, fitting, layouts
from shared.accounting import parameters, training_flops_per_token
from shared.errors import ConfigError
from shared.parallel_costs import Link
from shared.runs.program import run_program

INPUTS: dict[str, str] = {}
OUTPUTS: dict[str, str] = {}  # a table for people

HEAD = (
    "  GPUs   fit   data x tensor x pipe  shards  checkpoints micro |  GB a rank: weights  grads moments activ.    all"
    " | GB sent    s/step exposed bubble useful"
)


def main(config: PlanTraining) -> None:
    """Print the table.

    Raises:
        ConfigError: no GPUs, or a batch that is no whole number of sequences for anyone.
    """
    if not config.gpus or min(config.gpus) < 1 or config.batch_sequences < 1:
        raise ConfigError(
            "gpus and batch_sequences must be 1 or more; give --gpus 8 64, --batch-sequences 1024"
        )
    job = Job(config.model, config.batch_sequences, config.seq or config.model.context_length)
    count = parameters(config.model).total
    print(
        f"{count / 1e9:.2f}B parameters, {job.batch_sequences:,} sequences of {job.seq:,} tokens a step; "
        f"{16 * count / 1e9:,.0f} GB of weights, gradients and moments in all"
    )
    print(HEAD)
    for gpus in config.gpus:
        print(row(job, cluster_of(config, gpus)), flush=True)


def cluster_of(config: PlanTraining, gpus: int) -> Cluster:
    """The cluster with this many GPUs."""
    return Cluster(
        gpus,
        config.memory_gb * 1e9,
        config.teraflops_per_second * 1e12,
        min(config.gpus_per_node, gpus),
        Link(config.inside_gb_per_second * 1e9, config.inside_microseconds * 1e-6),
        Link(config.between_gb_per_second * 1e9, config.between_microseconds * 1e-6),
    )


def row(job: Job, cluster: Cluster) -> str:
    """The fastest layout that fits; where none does, the leanest there is."""
    found = fitting(job, cluster)
    if found:
        return f"{cluster.gpus:>6,} {len(found):>5} " + told(job, cluster, found[0])
    tried = [estimate(job, layout, cluster) for layout in layouts(job, cluster)]
    if not tried:
        return f"{cluster.gpus:>6,}     0   no layout divides the batch and the model over so many"
    leanest = min(tried, key=lambda each: each.memory.total)
    return f"{cluster.gpus:>6,}     0 " + told(job, cluster, leanest) + "  (the leanest: does not fit)"


def told(job: Job, cluster: Cluster, found: Estimate) -> str:
    """One layout as the rest of a line."""
    layout, memory = found.layout, found.memory
    flops = job.batch_sequences * job.seq * training_flops_per_token(job.model, job.seq)
    useful = flops / layout.ranks / cluster.flops_per_second / found.step_seconds
    grid = f"{layout.data} x {layout.tensor} x {layout.pipeline}"
    amounts = [memory.parameters, memory.gradients, memory.optimizer, memory.activations, memory.total]
    weights, grads, moments, activations, total = (amount / 1e9 for amount in amounts)
    checkpoints = "every block" if layout.is_checkpointed else "none"
    return (
        f"{grid:>22}  {layout.sharding:<7} {checkpoints:<11} {layout.micro_sequences:>5} | {weights:>18.1f}"
        f" {grads:>6.1f} {moments:>7.1f} {activations:>6.1f} {total:>6.1f} | {found.traffic.total_bytes / 1e9:>7.1f}"
        f" {found.step_seconds:>9.3g} {found.exposed_seconds / found.step_seconds:>7.0%}"
        f" {found.bubble_seconds / found.step_seconds:>6.0%} {useful:>6.0%}"
    )


if __name__ == "__main__":
    sys.exit(run_program(main, PLAN, inputs=INPUTS, outputs=OUTPUTS))
