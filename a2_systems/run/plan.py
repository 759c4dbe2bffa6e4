"""Which layout of data, tensor and pipeline parallelism fits into so many GPUs, and which is the fastest: by counting.

For each number of GPUs: how many layouts fit, and the fastest of them with its memory per rank, what a rank sends in
a step, and the time of the step by a model of latency and bandwidth. Nothing is run. What is assumed stands at the head
of a2_systems/parallel/planner.py; rates and links below are settings, so put your own cluster's in.
"""

import sys
from collections.abc import Mapping
from typing import Any

from a2_systems.configs import PLAN, PlanTraining
from a2_systems.parallel.planner import Cluster, Estimate, Job, estimate, fitting, layouts
from shared.accounting import parameters, training_flops_per_token
from shared.errors import ConfigError
from shared.parallel_costs import Link
from shared.runs.program import run_program
from shared.runs.steps import recorded
from shared.store.artifacts import Store
from shared.store.disk import readable_bytes
from shared.store.kinds import write_runs

INPUTS: dict[str, str] = {}
OUTPUTS = {"table": "Runs"}

HEAD = (
    "  GPUs   fit   data x tensor x pipe  shards  checkpoints micro |  weights    grads  moments   activ. of a rank |"
    "     sent    s/step exposed bubble useful"
)


def main(config: PlanTraining) -> None:
    """Publish the Runs `config.name`, and print its table.

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
        f"{count / 1e6:,.1f}M parameters, {job.batch_sequences:,} sequences of {job.seq:,} tokens a step; "
        f"{readable_bytes(16 * count)} of weights, gradients and moments in all"
    )
    print(HEAD)
    rows = []
    for gpus in config.gpus:
        rows.append(row(job, cluster_of(config, gpus)))
        print(line(rows[-1]), flush=True)
    described = recorded(config) | {"experiment": "plan"}
    with Store(config.store).draft("Runs", config=described, parents={}, name=config.name) as draft:
        write_runs(draft, rows, {})


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


def row(job: Job, cluster: Cluster) -> dict[str, Any]:
    """The fastest layout that fits; where none does, the leanest there is; where no layout divides, only the count."""
    found = fitting(job, cluster)
    facts: dict[str, Any] = {"run": f"{cluster.gpus} GPUs", "gpus": cluster.gpus, "num_fitting": len(found)}
    if not found:
        tried = [estimate(job, layout, cluster) for layout in layouts(job, cluster)]
        found = sorted(tried, key=lambda each: each.memory.total)[:1]
    return facts | (told(job, cluster, found[0]) if found else {})


def told(job: Job, cluster: Cluster, found: Estimate) -> dict[str, Any]:
    """What is known of one layout."""
    layout, memory = found.layout, found.memory
    flops = job.batch_sequences * job.seq * training_flops_per_token(job.model, job.seq)
    return {
        "layout": f"{layout.data} x {layout.tensor} x {layout.pipeline}",
        "sharding": layout.sharding,
        "is_checkpointed": layout.is_checkpointed,
        "micro_sequences": layout.micro_sequences,
        "parameters_bytes": memory.parameters,
        "gradients_bytes": memory.gradients,
        "optimizer_bytes": memory.optimizer,
        "activations_bytes": memory.activations,
        "sent_bytes": found.traffic.total_bytes,
        "planned_step_milliseconds": 1e3 * found.step_seconds,
        "exposed_fraction": found.exposed_seconds / found.step_seconds,
        "bubble_fraction": found.bubble_seconds / found.step_seconds,
        "useful_fraction": flops / layout.ranks / cluster.flops_per_second / found.step_seconds,
    }


def line(row: Mapping[str, Any]) -> str:
    """A row for people."""
    start = f"{row['gpus']:>6,} {row['num_fitting']:>5} "
    if "layout" not in row:
        return f"{start}  no layout divides the batch and the model over so many"
    sizes = [row[f"{kind}_bytes"] for kind in ("parameters", "gradients", "optimizer", "activations")]
    memory = " ".join(f"{readable_bytes(round(size)):>8}" for size in (*sizes, sum(sizes)))
    checkpoints = "every block" if row["is_checkpointed"] else "none"
    remark = "" if row["num_fitting"] else "  (the leanest: does not fit)"
    return (
        f"{start}{row['layout']:>22}  {row['sharding']:<7} {checkpoints:<11} {row['micro_sequences']:>5} |"
        f" {memory} | {readable_bytes(round(row['sent_bytes'])):>8} {row['planned_step_milliseconds'] / 1e3:>9.3g}"
        f" {row['exposed_fraction']:>7.0%} {row['bubble_fraction']:>6.0%} {row['useful_fraction']:>6.0%}{remark}"
    )


if __name__ == "__main__":
    sys.exit(run_program(main, PLAN, inputs=INPUTS, outputs=OUTPUTS))
