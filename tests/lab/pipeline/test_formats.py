"""What a photo costs by format, on few photos."""

import json

from lab.pipeline.formats import FORMATS, STAGES, as_json, measure, render


def test_every_format_is_measured_by_stage() -> None:
    costs = list(measure(2, 1))
    assert [each.format for each in costs] == list(FORMATS)
    for each in costs:
        assert set(each.ms) == set(STAGES)
        assert each.least_ms <= each.total_ms * 1.0001
        assert each.ms["decode"] > 0
        assert each.ms["networks"] > 0
    assert all(name in render(costs) for name in FORMATS)
    assert [json.loads(line)["format"] for line in as_json(costs).splitlines()] == list(FORMATS)
