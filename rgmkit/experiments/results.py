"""The results of a run, read from its folder: records, metrics and tuned values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rgmkit.config import metric
from rgmkit.core.metric import MetricInfo
from rgmkit.errors import RgmkitError
from rgmkit.experiments.line_search import Values
from rgmkit.experiments.published import Published
from rgmkit.experiments.result import Record
from rgmkit.experiments.run_folder import RunFacts, read_facts, read_published_rows, read_records, read_title
from rgmkit.experiments.tune import Trial, TuningLog


@dataclass(frozen=True)
class TunedMethod:
    """The tuning of one method under one degradation.

    Attributes:
        info: of the metric that was optimised.
        trials: in the order in which they ran.
        best: the trial that was chosen; None if all failed.
        at_end: names of the parameters whose chosen value is at an end of their range.
    """

    degradation: str
    method: str
    info: MetricInfo
    trials: Sequence[Trial]
    best: Trial | None
    at_end: Sequence[str]

    @property
    def values(self) -> Values:
        """The chosen values."""
        return self.best.read() if self.best else {}


@dataclass(frozen=True, eq=False, repr=False)
class Results:
    """The results of a run; labels are listed in the order in which they first occur.

    Attributes:
        folder: the folder of the run.
        records: one per cell that is finished, failed or left out, in the order of the grid.
        main: whether this process writes the tables; False in all others of a run on several processes.
        title: title of the tables and the report.
        infos: name, unit, decimals and direction of the metrics, by label.
        tuned: one for each method and degradation that was tuned.
        cells: the number of cells in the grid, done or not.
        published: results of others, to be shown beside those of the run.

    >>> records = (Record("a", "cat", "blur", "tv", 0), Record("b", "cat", "blur", "bm3d", 0, error="no bm3d"))
    >>> results = Results(Path(), records)
    >>> results.methods, len(results.select("blur", "tv")), len(results.failed)
    (['tv', 'bm3d'], 1, 1)
    """

    folder: Path
    records: Sequence[Record]
    main: bool = True
    title: str = ""
    infos: Mapping[str, MetricInfo] = field(default_factory=dict)
    tuned: Sequence[TunedMethod] = ()
    cells: int = 0
    published: Sequence[Published] = ()

    def __repr__(self) -> str:
        return f"Results({str(self.folder)!r}, {len(self.records)} cells, {len(self.failed)} of them failed)"

    @cached_property
    def degradations(self) -> list[str]:
        """Labels of the degradations."""
        return _unique(record.degradation for record in self.records)

    @cached_property
    def conditions(self) -> list[str]:
        """Titles of the tables: the degradations, of each set of images if there are several."""
        return _unique(record.condition for record in self.records)

    @cached_property
    def methods(self) -> list[str]:
        """Labels of the methods."""
        return _unique(record.method for record in self.records)

    @cached_property
    def images(self) -> list[str]:
        """Labels of the images."""
        return _unique(record.image for record in self.records)

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds."""
        return list(dict.fromkeys(record.seed for record in self.records))

    @cached_property
    def metrics(self) -> dict[str, MetricInfo]:
        """The metrics of the records, by their labels."""
        labels = _unique(label for record in self.records for label in (*record.after, *record.before))
        return {label: self.infos.get(label) or _find_info(label) for label in labels}

    @cached_property
    def failed(self) -> list[Record]:
        """The records of cells that failed."""
        return [record for record in self.records if record.failed]

    def select(self, condition: str, method: str | None = None) -> list[Record]:
        """Return the records of one condition, of all methods or of one."""
        return [r for r in self.records if r.condition == condition and method in (None, r.method)]

    def rows(self) -> dict[tuple[int, int, int], list[Record]]:
        """Group the records by the positions of their condition, image and seed.

        They are sorted by seed, then image, then condition: if only some can be shown, these are the first seed's
        first images, under every degradation.
        """
        rows: dict[tuple[int, int, int], list[Record]] = {}
        for r in self.records:
            positions = (self.conditions.index(r.condition), self.images.index(r.image), self.seeds.index(r.seed))
            rows.setdefault(positions, []).append(r)
        return dict(sorted(rows.items(), key=lambda row: row[0][::-1]))


def read_results(folder: Path, *, main: bool = True) -> Results:
    """Read the results of the run in `folder`, complete or not.

    Raises:
        DataError: if there is no run, or one of its files is damaged.
    """
    facts = read_facts(folder)
    infos = {label: MetricInfo(**info) for label, info in facts.metrics.items()}
    return Results(
        folder,
        tuple(read_records(folder)),
        main,
        title=read_title(folder),
        infos=infos,
        tuned=tuple(_read_tuned(folder, facts, infos)),
        cells=facts.cells,
        published=read_published_rows(folder),
    )


def _read_tuned(folder: Path, facts: RunFacts, infos: Mapping[str, MetricInfo]) -> Iterable[TunedMethod]:
    logged = TuningLog(folder)
    for degradation, method in dict.fromkeys((trial.degradation, trial.method) for trial in logged.trials):
        trials = logged.trials_of(degradation, method)
        info = infos.get(trials[0].metric) or _find_info(trials[0].metric)
        best = logged.best(degradation, method, higher_is_better=info.higher_is_better)
        ends = facts.ends.get(method, {})
        at_end = [name for name, value in best.read().items() if value in ends.get(name, [])] if best else []
        yield TunedMethod(degradation, method, info, trials, best, at_end)


def _find_info(label: str) -> MetricInfo:
    """Find the info of a metric by its label, for runs that did not store it; make a plain one for unknown metrics."""
    try:
        return metric(label).info
    except RgmkitError:
        return MetricInfo(label.upper())


def _unique(labels: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(labels))
