"""What the workers' own Prometheus metrics say of a run: stages and batch sizes."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from worker.watch.exporter import WorkersCollector


@dataclass(frozen=True, kw_only=True)
class Counters:
    """stage_s, stage_cpu_s: seconds by stage, over all threads. batches: how many batches held at
    most so many items, each counted once, by the upper border of its bucket.
    """

    stage_s: Mapping[str, float]
    stage_cpu_s: Mapping[str, float]
    batches: Mapping[str, float]

    def since(self, before: "Counters") -> "Counters":
        """What was counted after `before`."""
        return Counters(
            stage_s=_minus(self.stage_s, before.stage_s),
            stage_cpu_s=_minus(self.stage_cpu_s, before.stage_cpu_s),
            batches=_minus(self.batches, before.batches),
        )


def read_counters(folder: Path, queue: str) -> Counters:
    """The sums over all children of a queue; folder: see worker.watch.metrics.directory."""
    stage_s: dict[str, float] = defaultdict(float)
    stage_cpu_s: dict[str, float] = defaultdict(float)
    cumulative: dict[str, float] = defaultdict(float)
    for metric in WorkersCollector(folder).collect():
        for sample in metric.samples:
            labels = sample.labels
            if labels.get("queue") != queue:
                continue
            match sample.name:
                case "tagger_stage_seconds_sum":
                    stage_s[labels["stage"]] += sample.value
                case "tagger_stage_cpu_seconds_total":
                    stage_cpu_s[labels["stage"]] += sample.value
                case "tagger_batch_size_bucket":
                    cumulative[labels["le"]] += sample.value
    return Counters(stage_s=stage_s, stage_cpu_s=stage_cpu_s, batches=_single(cumulative))


def _single(cumulative: Mapping[str, float]) -> dict[str, float]:
    """Counts of each bucket alone, from Prometheus' running sums."""
    alone, below = {}, 0.0
    for border in sorted(cumulative, key=float):
        alone[border] = cumulative[border] - below
        below = cumulative[border]
    return alone


def _minus(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    left = {name: value - before.get(name, 0.0) for name, value in after.items()}
    return {name: value for name, value in left.items() if value > 0}
