"""Draw the README's pictures: python docs/make_pictures.py. The same captures give the same pictures."""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console

import analyzer
from analyzer.report.terminal import show

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "sample_pcaps" / "server_side_limit.pcap"
WIDE_PX, HIGH_PX = 1060, 1690
"""The report's answer and its chart."""


def main(folder: Path) -> None:
    """Write terminal.svg, chart.png, lanes.png and report.png into a folder."""
    case = analyzer.read(SAMPLE)
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    show(case.result, console)
    svg = console.export_svg(title=f"mailscope {SAMPLE.name}", unique_id="mailscope")
    (folder / "terminal.svg").write_text(svg, encoding="utf-8")
    case.chart.connections().save(folder / "chart.png")
    case.chart.lanes().save(folder / "lanes.png")
    photograph(case, folder / "report.png")


def photograph(case: analyzer.Analysis, picture: Path) -> None:
    """Take a picture of the report's first screen, with Chromium."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as engine:
        page = case.save(Path(folder) / "case.html")
        browser = engine.chromium.launch(executable_path=shutil.which("chromium"))
        window = browser.new_page(viewport={"width": WIDE_PX, "height": HIGH_PX}, device_scale_factor=1.5)
        window.goto(page.resolve().as_uri())
        window.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs")
