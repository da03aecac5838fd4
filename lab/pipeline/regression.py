"""Ratios of today beside those that were recorded: times differ by machine, ratios hardly.

Ratios of CPU hold on a machine that other programs use, too; ratios of speed, that of photos over
HTTP to photos from files among them, are compared where no side was disturbed, now and when they
were recorded.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.pipeline.suite import Plan, measure

# Little more than a minute; the long benchmark says more, and this one says it every time.
PLAN = Plan(
    images=500,
    tutorial=False,
    latency=False,
    scaling=False,
    distinct_photos=64,
    turns=1,
    attempts=1,
)
RECORDED = Path(__file__).with_name("recorded_ratios.json")
# Shared machines make a fifth of difference; what is lost beyond this is no noise.
KEPT_MIN = 2 / 3


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One ratio, then and now; now is None where other programs spoilt it."""

    key: str
    then: float
    now: float | None

    @property
    def lost(self) -> bool:
        if self.now is None:
            return self.key.endswith("_cpu")  # never spoilt: the run itself is gone
        return self.now < KEPT_MIN * self.then


def compare(then: Mapping[str, float], now: Mapping[str, float]) -> list[Comparison]:
    """Every recorded ratio beside the present one."""
    return [Comparison(key=key, then=value, now=now.get(key)) for key, value in then.items()]


def check(say: Callable[[str], None], recorded: Path = RECORDED) -> list[Comparison]:
    """Measure now, and compare with what was recorded."""
    then = json.loads(recorded.read_text(encoding="utf-8"))
    return compare(then, measure(PLAN, say).steady_ratios())


def record(say: Callable[[str], None], recorded: Path = RECORDED) -> None:
    """Measure now, and keep it as what later runs are compared with."""
    ratios = {key: round(value, 3) for key, value in measure(PLAN, say).steady_ratios().items()}
    recorded.write_text(json.dumps(ratios, indent=2) + "\n", encoding="utf-8")


def render(found: list[Comparison]) -> str:
    """A table for people."""
    lines = [f"{'ratio':<36} {'then':>6} {'now':>6}"]
    for each in found:
        now = "spoilt" if each.now is None else f"{each.now:.2f}"
        lines.append(f"{each.key:<36} {each.then:>6.2f} {now:>6}{'  LOST' if each.lost else ''}")
    return "\n".join(lines)
