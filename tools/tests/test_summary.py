"""The README's scores are those of the cards."""

from __future__ import annotations

from pathlib import Path

from mollifier_train import summary

ROOT = Path(__file__).resolve().parents[2]

CARD = """
**heat** (graph `0123456789ab`): text.

| noise | interior correlation | relative L2   | boundary correlation |
|-------|----------------------|---------------|----------------------|
| 1 %   | 0.995 ± 0.000        | 0.053 ± 0.005 | 0.888 ± 0.049        |
| 10 %  | -0.062 ± 0.005       | 0.122 ± 0.011 | 0.829 ± 0.032        |
"""


def test_card_is_read() -> None:
    assert summary.read_card(CARD) == {"heat": {1: ("0.995", "0.053", "0.888"), 10: ("-0.062", "0.122", "0.829")}}


def test_readme_shows_the_cards_scores() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == summary.renewed(readme, ROOT / "models"), "renew it: python -m mollifier_train.summary"
