"""The page of one language-model run, from what `base_run` gathered and the figures that `plots` drew.

Static and self-contained: no script is needed to read it, nothing is loaded from elsewhere. Only the measured times
come from a second file beside it, because they differ each time and must not change what the page *is*.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared import accounting
from shared.report import reproduce
from shared.report.base_run import BaseRun, Cost, TokenizerFacts, loss_points
from shared.report.markup import Html, tag, together, trusted
from shared.report.parts import figure, headline, short_count, table, tokens_in_a_row, visible
from shared.report.plots import NARROW_INCHES, Baseline, Curve, inline_svg, loss_curves
from shared.report.publish import write_page
from shared.runs.program import readable
from shared.runs.progress import clock_text
from shared.runs.runlog import series
from shared.store.artifacts import Artifact

SHOWN_SAMPLES, SHOWN_SAMPLE_CHARS = 6, 900


def write_base_run(run: BaseRun, folder: Path) -> Path:
    """Write the page, its figures and the measured times into a folder; returns the page."""
    figures = draw_figures(run, folder / "figures")
    return write_page(
        folder,
        f"{run.name}: a language model and how it came to be",
        run_headline(run),
        gauge(run),
        learning_section(run, figures),
        samples_section(run),
        tokenizer_section(run.tokenizer, run.evaluation),
        shape_section(run),
        lineage_section(run),
        tag("footer", f"Made from checkpoint {run.checkpoint.digest[:12]} by shared.report.make."),
        costs=cost_texts(run.cost),
    )


def draw_figures(run: BaseRun, folder: Path) -> dict[str, Path]:
    """The loss curve with its levels, wide and for phones, and two small ones on how training went."""
    (train_x, train_y), (validation_x, validation_y) = loss_points(run)
    curves = [
        Curve("training", train_x, train_y, is_noisy=True),
        Curve("held-out", validation_x, validation_y, has_points=True),
    ]
    levels = [
        Baseline(label, level, is_floor=is_floor)
        for label, key, is_floor in (
            ("counted bigram", "bigram_nats_per_token", False),
            ("entropy floor", "floor_nats_per_token", True),
        )
        if (level := run.evaluation.get(key)) is not None
    ]
    figures = {
        "loss": loss_curves(folder / "loss.png", curves, levels, log_x=True),
        "loss_narrow": loss_curves(
            folder / "loss_narrow.png",
            curves,
            levels,
            log_x=True,
            width_inches=NARROW_INCHES,
            height_inches=3.6,
        ),
    }
    for key, label in (
        ("learning_rate", "learning rate"),
        ("gradient_norm", "gradient norm, before clipping"),
    ):
        x, y = series(run.records, key)
        if len(x) > 1:
            curve = Curve(
                "", x, y, is_noisy=key == "gradient_norm", colour=2 if key == "learning_rate" else 3
            )
            figures[key] = loss_curves(
                folder / f"{key}.png", [curve], y_label=label, width_inches=NARROW_INCHES, height_inches=2.4
            )
    return figures


def run_headline(run: BaseRun) -> Html:
    """Title, one sentence, and the numbers that matter most."""
    evaluation, size = run.evaluation, run.parameters.total
    sentence = (
        f"A transformer of {short_count(size)} parameters, trained on {short_count(run.trained_tokens)} tokens, "
        f"predicts held-out text at {evaluation['bits_per_byte']:.3f} bits per byte"
    )
    bigram = evaluation.get("bigram_bits_per_byte")
    sentence += f", where counting word pieces in pairs reaches {bigram:.3f}." if bigram is not None else "."
    numbers = [
        ("bits per byte on held-out text", f"{evaluation['bits_per_byte']:.3f}", None),
        (
            f"nats per token, perplexity {math.exp(evaluation['nats_per_token']):.2f}",
            f"{evaluation['nats_per_token']:.3f}",
            None,
        ),
        ("parameters", short_count(size), None),
        ("tokens trained on", short_count(run.trained_tokens), None),
        ("of training compute", readable("train_flops", run.train_flops), None),
        ("of training, on this machine", "", "train_seconds"),
        ("tokens per second", "", "tokens_per_second"),
    ]
    merits = [figure_of_merit(*number) for number in numbers]
    return headline(
        "Language model run",
        run.name,
        sentence,
        tag("dl", merits, class_="figures", style="margin-top:2.25rem"),
    )


def figure_of_merit(label: str, value: str, cost: str | None) -> Html:
    """One large number over its label; one that was measured stays hidden until the cost file fills it in."""
    amount, _, unit = value.partition(" ")
    number = tag("dd", amount, tag("small", f" {unit}") if unit else None, data_value="")
    return tag("div", number, tag("dt", label), data_cost=cost, hidden="" if cost else None)


def gauge(run: BaseRun) -> Html | None:
    """Where the model stands between the counted bigram and the entropy floor."""
    closed = run.gap_closed_fraction
    if closed is None:
        return None
    place = 100 * min(max(closed, 0.0), 1.0)
    evaluation = run.evaluation

    def mark(label: str, value: float, percent: float, classes: str) -> Html:
        words = tag("span", tag("b", f"{value:.3f}"), label)
        return tag("div", words, class_=f"mark {classes}", style=f"left:{percent:.2f}%")

    track = tag(
        "div",
        tag("div", class_="gained", style=f"left:0;width:{place:.2f}%"),
        mark("counted bigram", evaluation["bigram_bits_per_byte"], 0, "below at-start"),
        mark("entropy floor", evaluation["floor_bits_per_byte"], 100, "below at-end"),
        mark(
            "this model", evaluation["bits_per_byte"], place, f"above model{' at-end' if place > 85 else ''}"
        ),
        class_="track",
    )
    explanation = (
        f"The model went {100 * closed:.0f} % of the way from a counted bigram to the entropy floor. The floor is "
        "known exactly, because the text comes from a generator that states the probability of each document: no "
        "model can do better on average. In bits per byte, which do not depend on the tokenizer."
    )
    notes = [tag("p", words, class_="note") for words in (explanation, combinations(evaluation)) if words]
    return tag("section", track, notes, class_="gauge")


def combinations(evaluation: Mapping[str, Any]) -> str | None:
    """How far above the floor the model stays where heroes want what none of their kind wanted in training."""
    found, floor = (evaluation.get(f"combinations_{key}bits_per_byte") for key in ("", "floor_"))
    if found is None or floor is None:
        return None
    usual = evaluation["bits_per_byte"] - evaluation["floor_bits_per_byte"]
    return (
        "On stories that pair a hero with a goal which no hero of that kind has in training, it reaches "
        f"{found:.3f} bits per byte, {found - floor:.3f} above the floor of that text; on stories of the usual kind it "
        f"stays {usual:.3f} above theirs."
    )


def learning_section(run: BaseRun, figures: Mapping[str, Path]) -> Html:
    """The loss curve and how the optimizer behaved."""
    last = run.evaluation["nats_per_token"]
    caption = (
        "Loss over training, steps on a logarithmic axis. Faint: single batches; strong: their running mean."
    )
    if run.evaluation.get("floor_bits_per_byte") is None:
        caption += " The entropy of text that people wrote is not known, so no floor is drawn."
    small = [
        tag("figure", trusted(inline_svg(figures[key], f"{key} over training")))
        for key in ("learning_rate", "gradient_norm")
        if key in figures
    ]
    words = f"Loss falls to {last:.3f} nats per token on held-out text."
    return together(
        tag("h2", "How it learned"),
        figure(figures["loss"], words, caption, narrow=figures["loss_narrow"]),
        tag("div", small, class_="pair") if small else None,
    )


def samples_section(run: BaseRun) -> Html:
    """What the model writes, unedited."""
    shown = run.samples[:SHOWN_SAMPLES]
    hidden = len(run.samples) - len(shown)
    note = "Unedited, in the order in which they were drawn."
    if hidden:
        note += f" The first {len(shown)} of {len(run.samples)}; the others are in the Samples artifact."
    return together(
        tag("h2", "What it writes"),
        tag("p", note, class_="note"),
        tag("div", [sample_block(sample) for sample in shown], class_="samples"),
    )


def sample_block(sample: Mapping[str, object]) -> Html:
    """One sample with its prompt set off, and how it was drawn."""
    text = str(sample["text"])
    cut = len(text) - SHOWN_SAMPLE_CHARS
    drawn = [f"temperature {sample['temperature']}"]
    drawn += [
        f"{key.replace('_', '-')} {sample[key]}" for key in ("top_k", "top_p") if sample.get(key) is not None
    ]
    ending = {"end_of_text": "ended by itself", "length": "cut at its length limit"}
    finish = str(sample["finish_reason"])
    drawn += [f"seed {sample['seed']}", ending.get(finish, finish)]
    if cut > 0:
        drawn.append(f"{cut:,} characters more in the artifact")
    prompt = str(sample["prompt"])
    body = tag(
        "blockquote",
        tag("span", prompt, class_="prompt") if prompt else None,
        text[:SHOWN_SAMPLE_CHARS] if prompt else text[:SHOWN_SAMPLE_CHARS].lstrip("\n"),
    )
    return tag("article", body, tag("p", " · ".join(drawn)), class_="sample")


def tokenizer_section(facts: TokenizerFacts, evaluation: Mapping[str, float]) -> Html:
    """How the text is cut, and what the vocabulary learned."""
    bytes_per_token = evaluation["bytes"] / evaluation["tokens"]
    note = (
        f"{facts.vocab_size:,} tokens: {facts.made_of} and {len(facts.special_tokens)} special "
        f" ({', '.join(facts.special_tokens) or 'none'}). On held-out text a token stands for "
        f"{bytes_per_token:.2f} bytes."
    )
    merges = [
        tag("li", visible(left), tag("small", " + "), visible(right)) for left, right in facts.first_merges
    ]
    learned = (
        tag("div", tag("h3", "First merges learned"), tag("ul", merges, class_="chips")) if merges else None
    )
    longest = [tag("li", visible(token), tag("small", f" {len(token)}")) for token in facts.longest_tokens]
    return together(
        tag("h2", "How it reads"),
        tag("p", note, class_="note"),
        tokens_in_a_row(facts.pieces) if facts.pieces else None,
        tag(
            "div",
            learned,
            tag("div", tag("h3", "Longest tokens, in bytes"), tag("ul", longest, class_="chips")),
            class_="columns",
        ),
    )


def shape_section(run: BaseRun) -> Html:
    """Shape, parameters and work, each from `shared.accounting`."""
    model, count = run.model, run.parameters
    kv_heads = model.num_kv_heads or model.num_heads
    options = [name for name in ("tied_embeddings", "qk_norm", "qkv_bias") if getattr(model, name)]
    shape = [
        ("layers", f"{model.num_layers}"),
        ("width (d_model)", f"{model.d_model:,}"),
        (
            "attention heads",
            f"{model.num_heads}" + (f", {kv_heads} for keys" if kv_heads != model.num_heads else ""),
        ),
        ("head width", f"{model.width_per_head}"),
        ("feed-forward width", f"{model.d_ff:,}"),
        ("context", f"{model.context_length:,} tokens"),
        ("vocabulary", f"{model.vocab_size:,}"),
        ("RoPE base", f"{model.rope_theta:,.0f}"),
        ("options", ", ".join(name.replace("_", " ") for name in options) or "none"),
    ]
    parts = [
        ("embedding table", count.embedding),
        ("attention", count.attention),
        ("feed-forward", count.feed_forward),
        ("norms", count.norms),
        ("output projection", count.head),
    ]
    rows = [
        [name, f"{value:,}", f"{100 * value / count.total:.1f} %"]
        for name, value in parts
        if value or name == "norms"
    ]
    flops = accounting.training_flops_per_token(model, model.context_length)
    job = run.job
    training = [
        ("steps", f"{job['steps']:,}"),
        ("batch", f"{job['batch_size']} × {model.context_length} tokens"),
        (
            "learning rate",
            f"{job['max_learning_rate']:g} to {job['min_learning_rate']:g}, {job['warmup_steps']} warm-up",
        ),
        ("weight decay", f"{job['weight_decay']:g}"),
        ("AdamW", f"β {job['beta1']:g}, {job['beta2']:g}"),
        ("gradient clip", f"{job['clip_norm']:g}"),
        ("work per token", readable("token_flops", flops)),
        ("seed", f"{job['seed']}"),
    ]
    total = ["all", f"{count.total:,}", "100 %"]
    return together(
        tag("h2", "What it is"),
        tag(
            "div",
            tag("div", tag("h3", "Shape"), table(["", ""], shape)),
            tag("div", tag("h3", "Parameters"), table(["part", "parameters", "share"], rows, total=total)),
            tag("div", tag("h3", "Training"), table(["", ""], training)),
            class_="tables",
        ),
    )


def lineage_section(run: BaseRun) -> Html:
    """Where it comes from, as a picture and as commands."""
    artifacts = [*run.ancestors, run.checkpoint, *run.descendants]
    roles = {artifact.digest: reproduce.name_of(artifact) for artifact in artifacts}
    levels = [
        tag("div", [artifact_card(artifact, roles) for artifact in level], class_="level")
        for level in reproduce.levels(artifacts)
    ]
    commands = " \\\n  && ".join(reproduce.commands(artifacts))
    note = (
        "Each box is an immutable artifact, named by the hash of its content and of what it was made from. The same "
        "commands with the same code give the same hashes on the same kind of machine."
    )
    return together(
        tag("h2", "Where it comes from"),
        tag("p", note, class_="note"),
        tag("div", levels, class_="lineage"),
        tag("details", tag("summary", "The commands that make it again"), tag("pre", tag("code", commands))),
    )


def artifact_card(artifact: Artifact, names: Mapping[str, str]) -> Html:
    """One artifact of the lineage: kind, name, digest, what it was made from."""
    sources = ", ".join(role for role, digest in sorted(artifact.parents.items()) if digest in names)
    content_bytes = sum(entry["bytes"] for entry in artifact.manifest["files"].values())  # nothing measured
    return tag(
        "div",
        tag("b", artifact.kind),
        tag("span", reproduce.name_of(artifact)),
        " ",
        tag("code", artifact.digest[:8]),
        tag("p", readable("file_bytes", content_bytes) + (f", from {sources}" if sources else "")),
        class_="card",
        title=artifact.digest,
    )


def cost_texts(cost: Cost) -> dict[str, str]:
    """What the run took, as the page shows it."""
    texts = {}
    if cost.train_seconds is not None:
        texts["train_seconds"] = clock_text(cost.train_seconds)
    if cost.tokens_per_second is not None:
        texts["tokens_per_second"] = f"{cost.tokens_per_second:,.0f}"
    return texts
