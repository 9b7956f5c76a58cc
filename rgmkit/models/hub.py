"""Models on the Hugging Face hub, named `hf:user/repo` or `hf:user/repo@revision`: download and upload.

Only the files of a model folder are downloaded: a configuration, weights in safetensors, the model card, a sheet of
samples, and pictures and arrays that the configuration names. They lie in the cache of huggingface_hub.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from rgmkit.config import read_yaml
from rgmkit.errors import CheckpointError, ConfigError, RgmkitError, describe_error, join_words
from rgmkit.images.formats import ENDINGS
from rgmkit.models.files import FILES
from rgmkit.models.lookup import CARD, CONFIG, WEIGHTS, check_model, is_weights_file, locate
from rgmkit.models.model_card import write_hub_card
from rgmkit.runtime.extras import require

SAMPLES = "samples.png"
PATTERNS = (CONFIG, WEIGHTS, CARD, SAMPLES, *(f"{FILES}/*{e}" for ending in ENDINGS for e in (ending, ending.upper())))
NAME = re.compile(r"(?!.*\.\.)hf:([\w.-]+/[\w.-]+)(?:@([^@:\s]+))?")
LOG_IN = "log in with `hf auth login`"


class TerminalBar(tqdm):
    """A progress bar that is shown in terminals only."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "disable": options.get("disable") or None})


def parse_name(model: str) -> tuple[str, str | None]:
    """Split the name of a model on the hub into repository and revision.

    Raises:
        ConfigError: if it is not of the form `hf:user/repo` or `hf:user/repo@revision`.

    >>> parse_name("hf:someone/faces@v1")
    ('someone/faces', 'v1')
    """
    found = NAME.fullmatch(model)
    if found is None:
        raise ConfigError(f"{model!r} is no model on the hub: write hf:user/repo or hf:user/repo@revision")
    return found[1], found[2]


@cache
def download(model: str) -> Path:
    """Download a model of the hub, unless the cache has it, and return its folder; once in a process.

    Raises:
        ConfigError: if huggingface_hub is not installed, or the name is malformed.
        CheckpointError: if there is no such model of rgmkit, or the hub cannot be reached and the cache lacks it.
    """
    repo, revision = parse_name(model)
    require("huggingface_hub", model)
    from huggingface_hub import hf_hub_download, snapshot_download

    with _explain(model, repo, revision):
        config = Path(hf_hub_download(repo, CONFIG, revision=revision))
        _check_config(model, config)  # before weights of others, which may be large
        commit = config.parent.name
        snapshot_download(repo, revision=commit, allow_patterns=list(PATTERNS), tqdm_class=TerminalBar)
    return config.parent


def _check_config(model: str, config: Path) -> None:
    try:
        keys = set(read_yaml(config))
    except ConfigError:
        keys = set()
    if not keys & {"network", "features"}:
        raise CheckpointError(f"{model} is not a model of rgmkit: its {CONFIG} names no network")


@contextmanager
def _explain(model: str, repo: str, revision: str | None = None) -> Iterator[None]:
    """Turn the errors of huggingface_hub into one line, and silence its warnings."""
    from huggingface_hub import errors

    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    except RgmkitError:
        raise
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError) as error:
        raise CheckpointError(
            f"{model}: the hub cannot be reached, and its cache lacks the model: check the connection"
        ) from error
    except errors.EntryNotFoundError as error:
        raise CheckpointError(f"{model} is not a model of rgmkit: it has no {CONFIG}") from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(f"{model}: {repo} has no revision {revision!r}") from error
    except errors.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"{model}: the hub has no model {repo!r}, or it is private: check the name, or {LOG_IN}"
        ) from error
    except Exception as error:  # of the network, the disk, and the server, of a dozen kinds
        status = getattr(getattr(error, "response", None), "status_code", None)
        fix = f": {LOG_IN}" if status in (401, 403) else ""
        raise CheckpointError(f"{model}: the hub failed ({describe_error(error)}){fix}") from error
    finally:
        log.setLevel(level)


def collect_files(model: str | Path, repo: str, *, license: str | None = None) -> dict[str, Path | bytes]:
    """Collect what `push` sends, by the names on the hub; nothing is sent.

    These are the configuration, the weights, the files that the configuration names, the last sheet of samples, and
    the model card with the metadata of the hub.

    Raises:
        ConfigError, CheckpointError: if the repository is malformed, or there is no such model, or it cannot be loaded.
    """
    parse_name(f"hf:{repo}")
    if is_weights_file(model):
        raise ConfigError(f"{model} is a weights file: make a model folder of it with `rgmkit convert`")
    check_model(model)
    folder = locate(model)
    config = read_yaml(folder / CONFIG)
    kind = _load(folder, config)
    files: dict[str, Path | bytes] = {CONFIG: folder / CONFIG, WEIGHTS: folder / WEIGHTS}
    files |= {f"{FILES}/{file.name}": file for file in sorted((folder / FILES).glob("*"))}
    for name in (name for name in files if not any(fnmatch(name, pattern) for pattern in PATTERNS)):
        raise ConfigError(
            f"{folder / name} would not be downloaded: train with a file that ends in {join_words(ENDINGS)}"
        )
    samples = [*sorted((folder / "samples").glob("*.png")), *folder.glob(SAMPLES)]
    files |= {SAMPLES: samples[-1]} if samples else {}
    card = (folder / CARD).read_text(encoding="utf-8") if (folder / CARD).is_file() else ""
    text = write_hub_card(card, repo, kind=kind, license=license, samples=SAMPLES if samples else None)
    return {**files, CARD: text.encode()}


def _load(folder: Path, config: Mapping[str, Any]) -> str:
    """Load a model, so that only what can be used is sent, and return its kind."""
    if "features" in config:
        from rgmkit.models.features import load_features

        load_features(folder)
        return "features"
    from rgmkit.models.build import find_kind
    from rgmkit.models.folder import load

    load(folder)
    return find_kind(config)


def push(
    model: str | Path,
    repo: str,
    *,
    private: bool = True,
    license: str | None = None,
    message: str = "Upload a model of rgmkit",
) -> str:
    """Send a model to the hub in one commit, and return the address of its page.

    Args:
        model: a model folder, or the name of a shipped model.
        repo: `user/repo`; it is made if there is none.
        private: whether a new repository is private; one that exists stays as it is.
        license: of the weights, by the hub's name for it, such as "cc-by-4.0".
        message: of the commit.

    Raises:
        ConfigError, CheckpointError: if huggingface_hub is not installed, the model cannot be loaded, or the hub fails.
    """
    require("huggingface_hub", "sending a model")
    from huggingface_hub import CommitOperationAdd, HfApi

    files = collect_files(model, repo, license=license)
    operations = [CommitOperationAdd(name, content) for name, content in files.items()]
    with _explain(f"hf:{repo}", repo):
        api = HfApi()
        address = str(api.create_repo(repo, private=private, exist_ok=True))
        api.create_commit(repo, operations, commit_message=message)
    return address
