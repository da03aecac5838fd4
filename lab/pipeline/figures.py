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

# They take turns with each other, not with the bare loop.
REMOTE_RUNS = ("chunks_local", "chunks_remote")


@dataclass(frozen=True, kw_only=True)
class Figures:
    """floor and tutorial: images per second; tutorial is None where TensorFlow is not installed.
    floor_cpu_ms: CPU of the bare loop for each photo. Ratios of speed are of the best of several
    bare loops; ratios of CPU hold on a machine that others use, too.

    turns: of those runs that took turns with a bare loop: their ratios are medians over the turns,
    those of speed over the undisturbed ones. remote_turns: photos over HTTP beside the same from
    files.

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
    remote_turns: Sequence[Turn] = ()
    idle_s: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    paced_per_second: float | None = None
    paced_s: Mapping[str, float] = field(default_factory=dict)
    first_item_s: Mapping[str, float] = field(default_factory=dict)

    def ratios(self) -> dict[str, float]:
        """Every figure that does not hang on the machine, by key, disturbed or not."""
        found: dict[str, float] = {}
        for name, run in self.runs.items():
            turns = self.turns.get(name)
            if turns:
                found |= _medians(f"{name}_over_floor", turns)
            elif name not in REMOTE_RUNS:
                found[f"{name}_over_floor"] = run.images_per_second / self.floor
                found[f"{name}_over_floor_cpu"] = self.floor_cpu_ms / sum(run.cpu_ms.values())
            if self.tutorial:
                found[f"{name}_over_tutorial"] = run.images_per_second / self.tutorial
        if self.remote_turns:
            found |= _medians("remote_over_local", self.remote_turns)
        if {"chunks_one", "chunks_two"} <= self.runs.keys():
            one, two = (self.runs[name].images_per_second for name in ("chunks_one", "chunks_two"))
            found["two_over_one"] = two / one
        return found

    def steady_ratios(self) -> dict[str, float]:
        """Those that other programs cannot have spoilt: of CPU, and speeds without strangers."""
        return {
            key: value
            for key, value in self.ratios().items()
            if key.endswith("_cpu") or self._undisturbed(key.partition("_over_")[0])
        }

    def _undisturbed(self, name: str) -> bool:
        turns = self.remote_turns if name == "remote" else self.turns.get(name)
        if turns:
            return bool(quiet(turns))
        names = ("chunks_one", "chunks_two") if name == "two" else (name,)
        strangers = [self.runs[each].strangers_cores for each in names]
        return max(*strangers, self.floor_strangers_cores) < STRANGERS_CORES_MAX

    def as_json(self) -> str:
        raw: dict[str, Any] = asdict(self)
        ratios = self.ratios()
        disturbed = sorted(ratios.keys() - self.steady_ratios().keys())
        return json.dumps(ratios | raw | {"disturbed": disturbed})


def _medians(key: str, turns: Sequence[Turn]) -> dict[str, float]:
    judged = quiet(turns) or turns
    return {
        key: median(turn.over for turn in judged),
        f"{key}_cpu": median(turn.over_cpu for turn in turns),
    }


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
    lines += [
        render_turns(name, "the bare loop's speed", turns)
        for name, turns in figures.turns.items()
        if turns
    ]
    if figures.remote_turns:
        lines.append(render_turns("chunks_remote", "local files' speed", figures.remote_turns))
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
    steady = figures.steady_ratios()
    lines += ["", *(_ratio(key, steady.get(key)) for key in figures.ratios())]
    lines += ["", *report(figures.runs, figures.cores)]
    return "\n".join(lines)


def _ratio(key: str, steady: float | None) -> str:
    return f"{key:<36} {'disturbed, not judged' if steady is None else f'{steady:.2f}'}"


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
