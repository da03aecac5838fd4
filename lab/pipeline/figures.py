"""The figures of one benchmark, as ratios first: a machine's own speed cancels out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from lab.pipeline.capacity import report
from lab.pipeline.running import Run
from lab.pipeline.turns import STRANGERS_CORES_MAX, Turn, quiet
from lab.pipeline.turns import render as render_turns


@dataclass(frozen=True, kw_only=True)
class Figures:
    """floor and tutorial: images per second; tutorial is None where TensorFlow is not installed.
    floor_cpu_ms: CPU of the bare loop for each photo. Ratios of speed are of the best of several
    bare loops; ratios of CPU hold on a machine that others use, too.

    turns: of those runs that took turns with a bare loop: their ratios are medians over the turns.

    runs: by name, such as chunks_postgresql. idle_s: latency of single jobs in an idle system, by
    setting and percentile. first_item_s: from the start of the workers to the first tagging, by
    database. paced_s: latency of single jobs that come in at `paced_per_second`.
    """

    cores: int
    images: int
    floor: float
    floor_cpu_ms: float
    floor_strangers_cores: float = 0.0
    tutorial: float | None
    runs: Mapping[str, Run]
    turns: Mapping[str, Sequence[Turn]] = field(default_factory=dict)
    idle_s: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    paced_per_second: float | None = None
    paced_s: Mapping[str, float] = field(default_factory=dict)
    first_item_s: Mapping[str, float] = field(default_factory=dict)

    def ratios(self) -> dict[str, float]:
        """Every figure that does not hang on the machine, by key."""
        found: dict[str, float] = {}
        for name, run in self.runs.items():
            turns = self.turns.get(name)
            if turns:
                found[f"{name}_over_floor"] = median(turn.over_floor for turn in turns)
                found[f"{name}_over_floor_cpu"] = median(turn.over_floor_cpu for turn in turns)
            else:
                found[f"{name}_over_floor"] = run.images_per_second / self.floor
                found[f"{name}_over_floor_cpu"] = self.floor_cpu_ms / sum(run.cpu_ms.values())
            if self.tutorial:
                found[f"{name}_over_tutorial"] = run.images_per_second / self.tutorial
        found |= self._over("remote_over_local", "chunks_remote", "chunks_local")
        found |= self._over("two_over_one", "chunks_two", "chunks_one")
        return found

    def steady_ratios(self) -> dict[str, float]:
        """Those that other programs cannot have spoilt: of CPU, and speeds without strangers."""
        undisturbed = {name for name in self.runs if self._undisturbed(name)}
        return {
            key: value
            for key, value in self.ratios().items()
            if key.endswith("_cpu") or key.partition("_over_")[0] in undisturbed
        }

    def _undisturbed(self, name: str) -> bool:
        if self.turns.get(name):
            return quiet(self.turns[name])
        strangers = max(self.runs[name].strangers_cores, self.floor_strangers_cores)
        return strangers < STRANGERS_CORES_MAX

    def as_json(self) -> str:
        raw: dict[str, Any] = asdict(self)
        return json.dumps(self.ratios() | raw)

    def _over(self, key: str, above: str, below: str) -> dict[str, float]:
        if above not in self.runs or below not in self.runs:
            return {}
        ratio = self.runs[above].images_per_second / self.runs[below].images_per_second
        return {key: ratio}


def render(figures: Figures) -> str:
    """The figures for people."""
    tutorial = (
        f"{figures.tutorial:.1f}" if figures.tutorial else "left out: needs the training extra"
    )
    lines = [
        f"{figures.images} photos, {figures.cores} cores. Bare loop {figures.floor:.0f} images per "
        f"second, {figures.floor_cpu_ms:.2f} ms of CPU an image; tutorial-style task {tutorial}",
        "",
        _row("run", "img/s", "floor", "p50 s", "p95 s", "p99 s", "CPU ms/img", "others"),
    ]
    for name, run in figures.runs.items():
        seconds = (f"{run.latency_s[each]:.2f}" for each in ("p50", "p95", "p99"))
        share = f"{run.images_per_second / figures.floor:.2f}"
        cpu = f"{sum(run.cpu_ms.values()):.2f}"
        lines.append(
            _row(
                name,
                f"{run.images_per_second:.0f}",
                share,
                *seconds,
                cpu,
                f"{run.strangers_cores:.2f}",
            )
        )
    lines.append("")
    lines += [render_turns(name, turns) for name, turns in figures.turns.items() if turns]
    for setting, found in figures.idle_s.items():
        lines.append(
            f"Idle, one job, {setting}: p50 {found['p50']:.3f} s, p95 {found['p95']:.3f} s"
        )
    if figures.paced_per_second:
        lines.append(
            f"At {figures.paced_per_second:.0f} single jobs a second: p50 "
            f"{figures.paced_s['p50']:.3f} s, p95 {figures.paced_s['p95']:.3f} s, "
            f"p99 {figures.paced_s['p99']:.3f} s"
        )
    for database, seconds_ in figures.first_item_s.items():
        lines.append(f"From the workers' start to the first tagging, {database}: {seconds_:.2f} s")
    lines += ["", *_details(figures.runs)]
    lines += ["", *(f"{key:<36} {ratio:.2f}" for key, ratio in figures.ratios().items())]
    lines += ["", *report(figures.runs, figures.cores)]
    return "\n".join(lines)


def _details(runs: Mapping[str, Run]) -> list[str]:
    lines: list[str] = []
    for name, run in runs.items():
        lines.append(f"{name}:")
        lines.append("  CPU ms per image    " + _list(run.cpu_ms, "{:.2f}"))
        lines.append("  stages, ms of CPU   " + _list(run.stage_cpu_ms, "{:.2f}"))
        lines.append("  stages, ms          " + _list(run.stage_ms, "{:.2f}"))
        lines.append("  memory, MB          " + _list(run.memory_mb, "{:.0f}"))
        lines.append("  batches of up to    " + _list(run.batches, "{:.0f}"))
    return lines


def _list(values: Mapping[str, float], form: str) -> str:
    return ", ".join(f"{name} {form.format(value)}" for name, value in values.items())


def _row(*cells: Sequence[str] | str) -> str:
    first, *others = map(str, cells)
    return f"{first:<22}" + "".join(f"{each:>11}" for each in others)
