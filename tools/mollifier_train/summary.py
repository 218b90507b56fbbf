"""The table of scores on the README's first page, made from the cards: `python -m mollifier_train.summary`."""

from __future__ import annotations

import re
from pathlib import Path

BEGIN, END = "<!-- scores:begin -->", "<!-- scores:end -->"
ROWS = {
    "langevin": "langevin",
    "langevin-trained": "langevin, trained network",
    "langevin-blurred-noise-trained": "langevin, noise that neighbouring samples share, trained network",
    "langevin-gaps-trained": "langevin, with gaps, trained network",
    "heat": "heat",
    "heat-trained": "heat, trained network",
    "heat-anisotropic": "heat, dx = 2 dy (half the pixels; its own aspect)",
    "heat-anisotropic-trained": "heat, dx = 2 dy, trained network",
    "heat-discs": "heat, disc inclusions",
    "heat-discs-trained": "heat, disc inclusions, trained network",
    "heat-discs-soft-trained": "heat, disc inclusions with a border twice as wide, trained network",
    "heat-blurred-noise-trained": "heat, noise that neighbouring pixels share, trained network",
    "heat-holes-trained": "heat, with holes, trained network",
    "heat-transient": "heat-transient",
    "heat-transient-trained": "heat-transient, trained network",
    "heat-transient-anisotropic-trained": "heat-transient, dx = 2 dy, trained network",
    "reaction-diffusion": "reaction-diffusion (set B: lambda cannot be read off the density)",
    "reaction-diffusion-trained": "reaction-diffusion, set B, trained network",
    "reaction-diffusion-varied-trained": "reaction-diffusion, kappa and k of other values, trained network",
}
SECTION = re.compile(r"^\*\*(?P<name>[a-z-]+)\*\* \(graph")
SCORE = re.compile(
    r"^\| *(?P<noise>\d+) % *\| *(?P<interior>[-.\d]+)[^|]*\| *(?P<error>[-.\d]+)[^|]*\| *(?P<boundary>[-.\d]+)"
)


def read_card(card: str) -> dict[str, dict[int, tuple[str, str, str]]]:
    """Scores of a card by test set and noise in per cent: (interior correlation, relative L2, boundary correlation)."""
    scores: dict[str, dict[int, tuple[str, str, str]]] = {}
    name = ""
    for line in card.splitlines():
        if section := SECTION.match(line):
            name = section["name"]
        elif name and (row := SCORE.match(line)):
            scores.setdefault(name, {})[int(row["noise"])] = (row["interior"], row["error"], row["boundary"])
    return scores


def table(models: Path) -> str:
    """The README's table of what the cards in `models` say."""
    scores: dict[str, dict[int, tuple[str, str, str]]] = {}
    for card in sorted(models.glob("*.md")):
        scores |= read_card(card.read_text(encoding="utf-8"))
    lines = [
        "| test set | correlation at 1 / 5 / 10 % | relative L2 error | correlation in the outermost 8 px |",
        "|---|---|---|---|",
    ]
    for name, title in ROWS.items():
        of = [scores[name][noise] for noise in (1, 5, 10)]
        lines.append(f"| {title} | " + " | ".join(" / ".join(s[k] for s in of) for k in range(3)) + " |")
    return "\n".join(lines)


def renewed(readme: str, models: Path) -> str:
    """`readme` with its table made anew."""
    head, rest = readme.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n{table(models)}\n{END}{tail}"


def main() -> None:
    """Renew the README of this repository."""
    root = Path(__file__).resolve().parents[2]
    readme = root / "README.md"
    readme.write_text(renewed(readme.read_text(encoding="utf-8"), root / "models"), encoding="utf-8")


if __name__ == "__main__":
    main()
