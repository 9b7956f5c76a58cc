"""The cells of a grid: their order, and their file names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rgmkit.experiments.config import Grid, LabelledDegradation
from rgmkit.experiments.methods import Method
from rgmkit.experiments.photographs import Photograph
from rgmkit.experiments.result import Record

LONGEST = 24  # characters of a label in a file name


@dataclass(frozen=True, eq=False)
class Cell:
    """One picture under one degradation, restored by one method, with one seed.

    Attributes:
        number: position of the picture among all.
        index: its position in its set; the noise depends on (seed, index) only, so that all methods restore the same
            measurement.
        places: the positions of the degradation and the method in the grid.
    """

    number: int
    index: int
    photograph: Photograph
    operator: LabelledDegradation
    method: Method
    seed: int
    places: tuple[int, int]

    @property
    def key(self) -> str:
        """The unique name of the cell in file names, see also `read_places`."""
        return f"{self.measurement}_{self.places[1]:02d}-{slug(self.method.label)}"

    @property
    def picture(self) -> str:
        """The name of its picture in file names."""
        return f"{self.number:04d}-{slug(self.photograph.label)}"

    @property
    def measurement(self) -> str:
        """The name of its measurement in file names."""
        return f"{self.picture}_{self.places[0]:02d}-{slug(self.operator.label)}_seed{self.seed}"

    @property
    def name(self) -> str:
        """The name of the cell in messages."""
        return f"{self.photograph.label}, {self.operator.label}, {self.method.label}, seed {self.seed}"

    def make_record(self, **outcome: Any) -> Record:
        """Make the record of this cell."""
        labels = (self.photograph.label, self.operator.label, self.method.label)
        return Record(self.key, *labels, self.seed, set=self.photograph.set, **outcome)


def list_cells(grid: Grid, photographs: Sequence[Photograph]) -> list[Cell]:
    """List all cells, grouped by picture, and within a picture by measurement."""
    first = {photograph.set: number for number, photograph in reversed(list(enumerate(photographs)))}
    return [
        Cell(number, number - first[photograph.set], photograph, operator, method, seed, (i, j))
        for number, photograph in enumerate(photographs)
        for i, operator in enumerate(grid.operators)
        for seed in grid.seeds
        for j, method in enumerate(grid.methods)
        if method.covers(operator.label)
    ]


def read_places(key: str) -> list[int]:
    """Read the positions of the picture, the degradation and the method from the key of a cell.

    >>> read_places("0002-camera_00-blur-std-1_seed-7_01-tv")
    [2, 0, 1]
    """
    return [int(place) for place in re.findall(r"(?:^|_)(\d+)-", key)]


def slug(label: str) -> str:
    """Turn a label into a part of a file name.

    >>> slug("blur:std=2,noise=0.02"), slug("Kodak/kodim 01.png")
    ('blur-std-2-noise-0.02', 'kodak-kodim-01.png')
    """
    return re.sub(r"[^a-z0-9.]+", "-", label.lower()).strip("-.")[:LONGEST].rstrip("-.")
