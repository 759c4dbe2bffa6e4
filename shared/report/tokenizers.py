"""Make the page of a tokenizer sweep: what a larger vocabulary brings and costs, and what the rules for cutting do."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.report.markup import Html, tag, together
from shared.report.parts import figure, headline, table, tokens_in_a_row
from shared.report.plots import Curve, loss_curves
from shared.report.publish import publish, write_page
from shared.runs.program import run_program
from shared.store.artifacts import Store
from shared.store.kinds import read_runs

INPUTS = {"sweep": "Runs"}
OUTPUTS = {"report": "Report"}

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class TokenizersPage:
    """Which sweep to show."""

    sweep: str = "tokenizers"  # name or digest of the Runs of a1_basics.run.tokenizer_sweep
    name: str = "tokenizers"  # the Report's name
    store: Path = Path("artifacts")  # where artifacts lie


PRESETS = {"default": TokenizersPage()}


@dataclass(frozen=True)
class Sweep:
    """The rows of a sweep, in reach by rule, size and text."""

    model: str  # whose share of embeddings is told
    rules: list[str]
    sizes: list[int]
    texts: list[str]
    rules_size: int  # at which the rules are compared
    rows: Mapping[tuple[str, int, str], Mapping[str, Any]]
    samples: Mapping[str, Sequence[str]]  # by rule: one line, cut into tokens


def main(config: TokenizersPage) -> None:
    """Publish the Report `config.name` and say where its page is."""
    store = Store(config.store)
    source = store.open(config.sweep, "Runs")
    title = source.name_hint or config.sweep
    config = dataclasses.replace(config, sweep=source.digest)

    def write(folder: Path) -> None:
        write_sweep(folder, title, arranged(read_runs(source)[0], source.config["model"]))

    publish(store, "shared.report.tokenizers", config, {"sweep": source.digest}, write, title=title)


def arranged(rows: Rows, model: Mapping[str, Any]) -> Sweep:
    """The sweep's rows by what they are about."""
    measured = [row for row in rows if "pieces" not in row]
    samples = [row for row in rows if "pieces" in row]
    return Sweep(
        model=f"{model['num_layers']} layers of width {model['d_model']:,}",
        rules=[*dict.fromkeys(row["rule"] for row in measured)],
        sizes=sorted({row["vocab_size"] for row in measured}),
        texts=[*dict.fromkeys(row["text"] for row in measured)],
        rules_size=samples[0]["vocab_size"],
        rows={(row["rule"], row["vocab_size"], row["text"]): row for row in measured},
        samples={row["rule"]: row["pieces"] for row in samples},
    )


def write_sweep(folder: Path, title: str, sweep: Sweep) -> Path:
    """The page and its figures in a folder; returns the page."""
    rule, text = sweep.rules[0], sweep.texts[0]
    small, large = (sweep.rows[rule, size, text] for size in (sweep.sizes[0], sweep.sizes[-1]))
    lede = (
        f"From {sweep.sizes[0]:,} to {sweep.sizes[-1]:,} tokens, a token of {text} grows from "
        f"{small['bytes_per_token']:.2f} to {large['bytes_per_token']:.2f} bytes, and the tables of the vocabulary "
        f"from {small['embedding_fraction']:.0%} to {large['embedding_fraction']:.0%} of a model of {sweep.model}."
    )
    return write_page(
        folder,
        f"{title}: vocabulary sizes and rules",
        headline("Tokenizers compared", title, lede),
        size_section(sweep, folder / "figures"),
        rules_section(sweep),
    )


def size_section(sweep: Sweep, folder: Path) -> Html:
    """What size brings on each text, what it costs in the model, and the numbers."""
    rule = sweep.rules[0]
    lines = {text: [sweep.rows[rule, size, text] for size in sweep.sizes] for text in sweep.texts}
    ratios = [
        Curve(text, sweep.sizes, [row["bytes_per_token"] for row in line], has_points=True)
        for text, line in lines.items()
    ]
    share = [100 * row["embedding_fraction"] for row in lines[sweep.texts[0]]]
    length = [
        sum(100 / lines[text][index]["bytes_per_token"] for text in sweep.texts) / len(sweep.texts)
        for index in range(len(sweep.sizes))
    ]
    bargain = [
        Curve("sequence length", sweep.sizes, length, has_points=True),
        Curve("embedding share", sweep.sizes, share, has_points=True),
    ]
    axes: dict[str, Any] = {"x_label": "vocabulary size, tokens", "log_x": True}
    figures = [
        (
            loss_curves(folder / "bytes_per_token.png", ratios, y_label="bytes per token", **axes),
            "Bytes that a token stands for, on text that was not learned from; higher is shorter. The vocabularies are "
            f"cut by the rule {rule}.",
        ),
        (
            loss_curves(
                folder / "bargain.png",
                bargain,
                y_label="tokens, per cent of bytes; embeddings, per cent of parameters",
                height_inches=3.0,
                **axes,
            ),
            "The bargain: sequences grow shorter ever more slowly (mean over the texts), while the two tables of the "
            "vocabulary take more and more of the model.",
        ),
    ]
    cells = [
        [
            f"{size:,}",
            *(f"{line[index]['bytes_per_token']:.2f}" for line in lines.values()),
            f"{length[index]:.0f} %",
            f"{share[index]:.1f} %",
        ]
        for index, size in enumerate(sweep.sizes)
    ]
    return together(
        tag("h2", "How large a vocabulary"),
        [figure(path, caption, caption) for path, caption in figures],
        table(["tokens", *sweep.texts, "length", "embeddings"], cells),
    )


def rules_section(sweep: Sweep) -> Html:
    """Each rule on each text at one size, the best of each text set bold, and how each cuts one line."""
    size = sweep.rules_size
    ratios = {
        text: {rule: sweep.rows[rule, size, text]["bytes_per_token"] for rule in sweep.rules}
        for text in sweep.texts
    }
    best = {text: max(round(ratio, 2) for ratio in by_rule.values()) for text, by_rule in ratios.items()}

    def cell(rule: str, text: str) -> Html:
        ratio = ratios[text][rule]
        shown = f"{ratio:.2f}"
        return tag("b", shown) if round(ratio, 2) == best[text] else together(shown)

    def rule_name(rule: str) -> Html:
        row = sweep.rows[rule, size, sweep.texts[0]]
        words = f"digits: {row['digits']}; white space: {row['blanks']}"
        return together(tag("b", rule), tag("br"), tag("small", words))

    cells = [[rule_name(rule), *(cell(rule, text) for text in sweep.texts)] for rule in sweep.rules]
    note = (
        f"Bytes per token with {size:,} tokens, learned from the same text. Longer is cheaper, not always better: "
        "single digits and groups of three cost tokens, and cut every number in the same way."
    )
    cuts = [
        together(
            tag("h3", rule),
            tokens_in_a_row([piece.encode("utf-8") for piece in pieces]),
        )
        for rule, pieces in sweep.samples.items()
    ]
    return together(
        tag("h2", "Rules for digits and white space"),
        table(["rule", *sweep.texts], cells),
        tag("p", note, class_="note"),
        tag("h2", "One line, cut by each rule"),
        cuts,
    )


if __name__ == "__main__":
    sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))
