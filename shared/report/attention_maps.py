"""The figure of attention: the causal mask, and what each head looks at, token by token."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from shared.report.markup import Html, tag, together
from shared.report.parts import figure
from shared.report.plots import FONT_POINTS, PALETTE, STYLE, WIDTH_INCHES, save

TOKEN_INCHES, HEAD_INCHES = 0.155, 1.75
REM_PER_INCH = 60 / WIDTH_INCHES  # as in a figure of full width, so that letters are of one size
INK = LinearSegmentedColormap.from_list("ink", [PALETTE["paper"], PALETTE["series-0"]])


def attention_section(report: Mapping[str, Any], folder: Path) -> Html:
    """Mask, maps and the verdict on causality."""
    change = report["largest_change_before"]
    verdict = (
        "Overwriting everything after a position leaves every logit up to it unchanged, to the last bit: the model is "
        "causal."
        if change == 0
        else f"Overwriting the future changes earlier logits by up to {change:g}: the model looks ahead."
    )
    drawn_mask = draw_mask(folder / "attention_mask.png", report)
    # few tokens or heads are not blown up to fill the column
    mask_rem = REM_PER_INCH * mask_inches(len(report["tokens"]))
    maps_rem = REM_PER_INCH * maps_inches(len(report["maps"][0]))
    maps = draw_maps(folder / "attention_maps.png", report)
    mask = figure(drawn_mask, "the causal mask", "The mask, with the tokens.")
    caption = (
        "Rows are the tokens that look, columns those they look at, darker where the weight is larger. Above the "
        "diagonal lies the future: nothing there has any weight."
    )
    return together(
        tag("h2", "What each head looks at"),
        tag("p", verdict, class_="note"),
        tag("div", mask, style=f"max-width:{mask_rem:.1f}rem"),
        tag("div", figure(maps, caption, caption), style=f"max-width:{maps_rem:.1f}rem"),
    )


def draw_mask(path: Path, report: Mapping[str, Any]) -> Path:
    """The mask with its tokens written along both sides."""
    tokens = [visible_token(token) for token in report["tokens"]]
    side = mask_inches(len(tokens))
    with mpl.rc_context(STYLE):
        drawing = Figure(figsize=(side, side), layout="constrained")
        FigureCanvasAgg(drawing)
        axes = drawing.add_subplot()
        draw_matrix(axes, np.array(report["mask"], dtype=float), 1.0)
        axes.set_xticks(range(len(tokens)), tokens, rotation=90, fontsize=FONT_POINTS - 2)
        axes.set_yticks(range(len(tokens)), tokens, fontsize=FONT_POINTS - 2)
        return save(drawing, path)


def mask_inches(num_tokens: int) -> float:
    """How wide the mask is drawn: its tokens, and the room for their names."""
    return 1.1 + TOKEN_INCHES * num_tokens


def maps_inches(num_heads: int) -> float:
    """How wide the maps are drawn, a column for each head."""
    return 0.5 + HEAD_INCHES * num_heads


def draw_maps(path: Path, report: Mapping[str, Any]) -> Path:
    """A row of maps for each layer, a column for each head."""
    maps = np.array(report["maps"])
    num_layers, num_heads = maps.shape[:2]
    with mpl.rc_context(STYLE):
        drawing = Figure(
            figsize=(maps_inches(num_heads), 0.4 + HEAD_INCHES * num_layers), layout="constrained"
        )
        FigureCanvasAgg(drawing)
        grid = drawing.subplots(num_layers, num_heads, squeeze=False)
        for layer in range(num_layers):
            for head in range(num_heads):
                axes = grid[layer][head]
                # the root of the weight: a tenth of the attention can still be told from none
                draw_matrix(axes, np.sqrt(maps[layer, head]), 1.0)
                axes.set_xticks([])
                axes.set_yticks([])
                if layer == 0:
                    axes.set_title(f"head {head}", fontsize=FONT_POINTS, color=PALETTE["muted"])
                if head == 0:
                    axes.set_ylabel(f"layer {layer}")
        return save(drawing, path)


def draw_matrix(axes: Axes, values: np.ndarray, highest: float) -> None:
    """Cells as vector shapes, so that a page can colour them for its theme; no raster is embedded."""
    axes.grid(False)
    axes.pcolormesh(
        np.arange(values.shape[1] + 1) - 0.5,
        np.arange(values.shape[0] + 1) - 0.5,
        values,
        cmap=INK,
        vmin=0.0,
        vmax=highest,
        edgecolors=PALETTE["grid"],
        linewidth=0.2,
    )
    axes.invert_yaxis()
    axes.set_aspect("equal")
    for spine in axes.spines.values():
        spine.set_visible(False)


def visible_token(token: str) -> str:
    """A token as an axis can show it: spaces and line ends as signs, `$` not as mathematics."""
    text = token.replace("\n", "↵").replace(" ", "·").replace("$", r"\$")
    return text if len(text) <= 12 else text[:11] + "…"
