"""Files that the configuration of a model names, such as the image of a kernel: copied into the model folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rgmkit.config import dump_flow, override
from rgmkit.runtime.files import write_file

FILES = "files"  # their folder in a model folder


class NamedFiles:
    """Place the files that options name in `folder`, and read them, since they may be gone when the model is saved.

    Args:
        folder: of the configuration.
        start: the folder of the model that training starts from, whose files its process names.

    Attributes:
        found: name and content of each file, by the path of its option in the configuration.
    """

    def __init__(self, folder: Path, start: Path | None = None) -> None:
        self.folder, self.start = folder, start
        self.found: dict[str, tuple[str, bytes]] = {}

    def __call__(self, file: Path, path: str) -> Path:
        """Place `file`, which the option at `path` names."""
        placed = self.folder / file
        if self.start is not None and not os.path.isfile(placed) and os.path.isfile(self.start / file):
            placed = self.start / file
        if os.path.isfile(placed):
            self.found[path] = placed.name, placed.read_bytes()
        return placed


def save_files(folder: Path, content: Mapping[str, Any], files: Mapping[str, tuple[str, bytes]]) -> dict[str, Any]:
    """Write the files into a model folder, and return the configuration with their names there."""
    result = dict(content)
    for i, (path, (name, data)) in enumerate(files.items()):
        inside = f"{FILES}/{i}-{name}"
        write_file(folder / inside, data)
        result = override(result, [f"{path.replace('[', '.').replace(']', '')}={dump_flow(inside)}"])
    return result
