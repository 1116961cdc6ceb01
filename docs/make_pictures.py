"""Draw the README's pictures: python docs/make_pictures.py. The same captures give the same pictures."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console

import analyzer
from analyzer.report.terminal import show

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "sample_pcaps" / "server_side_limit.pcap"


def main(folder: Path) -> None:
    """Write terminal.svg and chart.png into a folder."""
    case = analyzer.read(SAMPLE)
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    show(case.result, console)
    svg = console.export_svg(title=f"mailscope {SAMPLE.name}", unique_id="mailscope")
    (folder / "terminal.svg").write_text(svg, encoding="utf-8")
    case.chart.connections().save(folder / "chart.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs")
