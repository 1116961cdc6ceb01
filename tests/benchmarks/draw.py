"""Draw the results: processor time as a multiple of tcpdump's, one panel for each capture, on one logarithmic scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TITLES = {
    "mixed": "office traffic",
    "imap": "a mail server's uplink",
    "tiny": "short connections",
    "vlan": "office traffic, tagged",
    "pcapng": "office traffic, pcapng",
    "gz": "office traffic, packed with gzip (against gzip -dc | tcpdump)",
    "big": "office traffic",
}
OURS, OTHERS, BASE = "#0b6e4f", "#9aa5b1", "#4a5568"


def draw(results: dict[str, Any], path: Path) -> Path:
    """Write the picture and return its place."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(11, 0.9 + sum(0.9 + 0.19 * len(result["tools"]) for result in results.values())), layout="constrained"
    )
    FigureCanvasAgg(figure)
    panels = figure.subplots(
        len(results),
        1,
        sharex=True,
        squeeze=False,
        height_ratios=[3 + len(result["tools"]) for result in results.values()],
    )[:, 0]
    for panel, (kind, result) in zip(panels, results.items(), strict=True):
        _panel(panel, f"{TITLES[kind]}, {result['size_bytes'] / 1e6:,.0f} MB", result["tools"])
    ratios = [row["ratio"] for result in results.values() for row in result["tools"].values()]
    panels[-1].set_xscale("log")
    panels[-1].set_xlim(max(0.1, min(ratios)) * 0.8, max(ratios) * 25)  # behind the longest bar its numbers
    panels[-1].set_xlabel("processor time, as a multiple of tcpdump with a port filter (logarithmic; less is better)")
    figure.savefig(path, dpi=110)
    return path


def _panel(panel: Any, title: str, tools: dict[str, Any]) -> None:
    rows = sorted(tools.items(), key=lambda item: -item[1]["ratio"])
    names = [name + (" *" if row["scaled"] else "") for name, row in rows]
    ratios = [row["ratio"] for _, row in rows]
    colours = [OURS if name.startswith("mailscope") else OTHERS for name, _ in rows]
    panel.barh(names, ratios, color=colours, height=0.7)
    panel.axvline(1.0, color=BASE, linewidth=1)
    for place, (name, row) in enumerate(rows):
        weight = "bold" if name.startswith("mailscope") else "normal"
        text = f" {row['ratio']:.1f} x   {row['cpu_s']:.2f} s   {row['peak_mb']:.0f} MiB"
        panel.text(row["ratio"], place, text, va="center", fontsize=9, weight=weight)
    scaled = "   (* scaled up from a sample)" if any(row["scaled"] for _, row in rows) else ""
    panel.set_title(title + scaled, loc="left", fontsize=11)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(axis="y", length=0)
