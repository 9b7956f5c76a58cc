"""The stored outcome of one cell of a grid."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath

from rgmkit.config import make
from rgmkit.core.bounds import AnyNumber
from rgmkit.errors import ConfigError, DataError
from rgmkit.runtime.files import write_aside


def name_condition(images: str, degradation: str) -> str:
    """Name a degradation of a set of images; the only set may have no name.

    >>> name_condition("Set12", "noise 0.1"), name_condition("", "noise 0.1")
    ('Set12, noise 0.1', 'noise 0.1')
    """
    return f"{images}, {degradation}" if images else degradation


@dataclass(frozen=True)
class Record:
    """The outcome of one cell: one image, one degradation, one method, one seed.

    Attributes:
        key: the name of the cell in file names; the same cell of the same grid has the same key.
        image, degradation, method: their labels in tables and reports.
        seed: random seed of the measurement and the solver.
        error: why there is no restoration, in one line; None if there is one.
        fits: whether the method can be used with the degradation; if not, nothing was tried, and `error` says why.
        before, after: the metrics, by label, of the measurement (resampled to the size of the image) and of the
            restoration.
        nfe: network evaluations.
        seconds: running time of the solver.
        memory_mb: peak memory while the cell was computed, in MiB.
        path: (seconds, value of a metric) of the iterates of the solver.
        path_metric: the label of that metric.
        trace: the diagnostics of the solver, for each iteration.
        pictures: files relative to the folder of the run: "truth", "measured" (resampled to the size of the
            image) and "restored".
        notes: messages for the user: automatic choices, and warnings.
        set: the name of the set of images, if the grid has several.
    """

    key: str
    image: str
    degradation: str
    method: str
    seed: int
    error: str | None = None
    fits: bool = True
    before: dict[str, AnyNumber] = field(default_factory=dict)
    after: dict[str, AnyNumber] = field(default_factory=dict)
    nfe: int = 0
    seconds: AnyNumber = 0.0
    memory_mb: AnyNumber = 0.0
    path: list[tuple[AnyNumber, AnyNumber]] = field(default_factory=list)
    path_metric: str = "psnr"  # in records of version 0.1, which do not store it
    trace: list[dict[str, AnyNumber]] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    set: str = ""

    @property
    def condition(self) -> str:
        """The title of its table: the degradation, after the set of images if there are several."""
        return name_condition(self.set, self.degradation)

    @property
    def failed(self) -> bool:
        """Whether the cell was tried and gave no restoration."""
        return self.error is not None and self.fits

    @property
    def gap(self) -> str:
        """The text that tables show in place of its values."""
        return f"{'failed' if self.fits else 'does not fit'}: {self.error}"

    def write(self, folder: Path) -> None:
        """Write the record into `folder`, as a whole or not at all."""
        with write_aside(folder / f"{self.key}.json") as part:
            part.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @staticmethod
    def read(file: Path) -> Record:
        """Read the record in a file.

        Raises:
            DataError: if the file is damaged.
        """
        try:
            record = make(Record, json.loads(file.read_text(encoding="utf-8")), what="the record")
        except (ValueError, RecursionError, ConfigError) as error:
            raise DataError(f"{file} is damaged ({error}): remove it, and its cell is computed again") from error
        for name in map(PurePath, record.pictures.values()):
            if name.is_absolute() or ".." in name.parts:
                raise DataError(f"{file} is damaged ({name} is outside of the run): remove it")
        return record
