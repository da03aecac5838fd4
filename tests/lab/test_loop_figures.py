"""What the loop prints and draws of its rounds."""

import json
from pathlib import Path

from PIL import Image

from lab.loop.figures import LoopFigures, Round, as_text, plot

ROUNDS = (
    Round(
        number=1, model_version="first", reviews=64, reviews_so_far=64, photos=100, flagged=60,
        audited=4, accepted=40, wrong=2,
    ),
    Round(
        number=2, model_version="second", reviews=35, reviews_so_far=99, photos=80, flagged=32,
        audited=3, accepted=48, wrong=0, adapted="head", verdict="better", promoted=True,
        adapt_s=12.5,
    ),
)  # fmt: skip
FIGURES = LoopFigures(photos=180, ways=("head",), rounds=ROUNDS)


def test_each_round_is_a_line_with_its_share_and_the_interval_of_the_error() -> None:
    first, second = as_text(FIGURES).splitlines()[2:]
    assert "60.00 %" in first
    assert "2 of 40 (1.38 % to 16.50 %)" in first
    assert "40.00 %" in second
    assert "head, better" in second
    assert second.endswith("second (promoted)")


def test_json_holds_shares_and_intervals() -> None:
    fields = json.loads(FIGURES.as_json())["rounds"]
    assert [each["flagged_share"] for each in fields] == [0.6, 0.4]
    assert fields[1]["error"] == 0.0
    assert fields[1]["error_interval"][1] > 0.05  # 48 without an error prove no more


def test_the_picture_is_drawn_as_png_and_as_svg(tmp_path: Path) -> None:
    for name in ("rounds.png", "rounds.svg"):
        plot(FIGURES, tmp_path / name)
    with Image.open(tmp_path / "rounds.png") as picture:
        assert picture.size[0] > 400
    assert "<svg" in (tmp_path / "rounds.svg").read_text()


def test_where_nothing_is_accepted_there_is_no_error() -> None:
    nothing = Round(
        number=1, model_version="a", reviews=9, reviews_so_far=9, photos=9, flagged=9, audited=0,
        accepted=0, wrong=0,
    )  # fmt: skip
    figures = LoopFigures(photos=9, ways=("head",), rounds=(nothing,))
    assert "0 of 0 " in as_text(figures).splitlines()[2]
    assert json.loads(figures.as_json())["rounds"][0]["error"] is None
