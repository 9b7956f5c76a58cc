"""The records of a run, found by their labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from rgmkit.experiments.result import Record


@dataclass(frozen=True)
class Grid:
    """Records by degradation, method, image and seed; labels stand in the order in which they first come.

    >>> grid = Grid([Record("a", "cat", "blur", "tv", 0), Record("b", "cat", "blur", "bm3d", 0, error="no bm3d")])
    >>> grid.methods, len(grid.cells("blur", "tv")), len(grid.failed)
    (['tv', 'bm3d'], 1, 1)
    """

    records: Sequence[Record]

    @cached_property
    def degradations(self) -> list[str]:
        """Labels of the degradations."""
        return _unique(record.degradation for record in self.records)

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
    def figures(self) -> list[str]:
        """Names of the figures that any record holds: "psnr", "ssim", …"""
        return _unique(name for record in self.records for name in (*record.after, *record.before))

    @cached_property
    def failed(self) -> list[Record]:
        """The cells that were tried without an answer."""
        return [record for record in self.records if record.failed]

    def cells(self, degradation: str, method: str | None = None) -> list[Record]:
        """The cells of one degradation, all of them or those of one method."""
        return [
            record for record in self.records if record.degradation == degradation and method in (None, record.method)
        ]

    def rows(self) -> dict[tuple[int, int, int], list[Record]]:
        """The cells of one degradation, image and seed, by the ranks of these three labels.

        The first seed comes before the second, and in it the first image under every degradation: where
        only some can be shown, these are the ones.
        """
        found: dict[tuple[int, int, int], list[Record]] = {}
        places = [{label: i for i, label in enumerate(labels)} for labels in (self.degradations, self.images)]
        seeds = {seed: i for i, seed in enumerate(self.seeds)}
        for record in self.records:
            place = (places[0][record.degradation], places[1][record.image], seeds[record.seed])
            found.setdefault(place, []).append(record)
        return {place: found[place] for place in sorted(found, key=lambda place: (place[2], place[1], place[0]))}


def _unique(labels: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(labels))
