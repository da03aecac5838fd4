"""However thumbnails are kept, the same ones stay."""

from lab.scale.partitions import HASH, ONE, RANGES, measure, render

ROWS = 3_000


def test_every_way_lets_the_same_thumbnails_go() -> None:
    found = measure(ROWS)

    assert [each.way for each in found] == [ONE, HASH, RANGES]
    assert {each.rows_left for each in found} == {ROWS * 2 // 100}
    one, _, ranges = found
    assert ranges.gb_left < one.gb_left  # what was written anew has no dead space
    assert render(found).count("\n") == 4
