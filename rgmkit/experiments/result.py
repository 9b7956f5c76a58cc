"""The outcome of one cell of a grid, as it is stored."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rgmkit.errors import DataError
from rgmkit.runtime.files import write_aside


@dataclass(frozen=True)
class Record:
    """The outcome of one cell: one image, one degradation, one method, one seed.

    Attributes:
        key: names the cell in files; the same cell of the same grid has the same key.
        image, degradation, method: labels, as tables and reports show them.
        seed: of the measurement and of the solver.
        error: why the cell has no answer, in one line; None where it is done.
        fits: whether the method can take what the degradation makes; if not, nothing was tried, and `error` says why.
        before, after: values of the metrics, by their labels, for the measurement (brought to the size of the
            image) and for the restoration.
        nfe: network evaluations.
        seconds: of the solver.
        memory_mb: peak memory while the cell was computed, in MiB.
        path: (seconds, value of a metric) of the image after each iteration of the solver.
        path_metric: the label of that metric.
        trace: of the solver.
        pictures: files relative to the folder of the run: "truth", "measured" (brought to the size of the
            image) and "restored".
        notes: for the user: what was done without being asked for, and the warnings.
    """

    key: str
    image: str
    degradation: str
    method: str
    seed: int
    error: str | None = None
    fits: bool = True
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    nfe: int = 0
    seconds: float = 0.0
    memory_mb: float = 0.0
    path: list[tuple[float, float]] = field(default_factory=list)
    path_metric: str = "psnr"  # records of version 0.1 have no other, and do not say so
    trace: list[dict[str, float]] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether it was tried, without an answer."""
        return self.error is not None and self.fits

    @property
    def gap(self) -> str:
        """What tables show in place of its values."""
        return f"{'failed' if self.fits else 'does not fit'}: {self.error}"

    def write(self, folder: Path) -> None:
        """Put the record into `folder`, whole or not at all."""
        with write_aside(folder / f"{self.key}.json") as part:
            part.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @staticmethod
    def read(file: Path) -> Record:
        """Read the record in a file.

        Raises:
            DataError: if the file is damaged.
        """
        try:
            content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            record = Record(**{**content, "path": [tuple(point) for point in content.get("path", [])]})
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{file} is damaged ({error}): remove it, and its cell is computed again") from error
        return record
