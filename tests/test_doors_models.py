"""A model folder is data: it opens no file elsewhere, downloads nothing and runs no code; pickles hold only weights."""

from __future__ import annotations

import re
import shutil
import urllib.request
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import rgmkit
from rgmkit import models
from rgmkit.config import dump_yaml, read_yaml
from rgmkit.errors import CheckpointError, ConfigError
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.training.configuration import read_configuration
from rgmkit.training.data.named import HuggingFace, find_commit
from rgmkit.training.rehearsal import rehearse
from rgmkit.training.setup import set_up

ROOT = Path(__file__).parents[1]
FEATURES = ROOT / "rgmkit" / "models" / "shipped_features" / "digits"
BLUR = {"use": "severity", "levels": 3}


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(models.locate("digits"), tmp_path / "model")
    return tmp_path / "model"


def change(folder, **keys):
    (folder / "config.yaml").write_text(dump_yaml({**read_yaml(folder / "config.yaml"), **keys}))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"process": {**BLUR, "degradation": {"use": "blur", "kernel": "/dev/zero"}}}, "outside of the model folder"),
        ({"process": {**BLUR, "degradation": "blur:kernel=../k.png"}}, "outside of the model folder"),
        ({"process": {**BLUR, "degradation": "blur:kernel=~/k.png"}}, "outside of the model folder"),
        ({"process": {**BLUR, "degradation": {"use": "compose", "of": ["blur:kernel=/k.png"]}}}, "of.0..kernel"),
        ({"process": {**BLUR, "degradation": "blur:kernel=missing.png"}}, "has no such file"),
        ({"prior": {"use": "deepinv.DRUNet", "weights": "download"}}, "downloads nothing"),
        ({"prior": "deepinv.DRUNet:weights=download"}, "downloads nothing"),
        ({"process": {**BLUR, "options": {"download": True}}}, "downloads nothing"),
        ({"network": {"use": "projected-discriminator", "features": "hf:someone/x"}}, "downloads nothing"),
        ({"network": "projected-discriminator:features=hf:someone/x"}, "downloads nothing"),
        ({"network": {"use": "projected-discriminator", "features": str(FEATURES)}}, "outside of the model folder"),
        ({"prior": "tv"}, "no network prior"),
        ({"prior": {"use": "wavelet"}}, "no network prior"),
    ],
)
def test_what_a_model_folder_may_not_ask_for(folder, monkeypatch, keys, words):
    def refuse(*args, **kwargs):
        raise AssertionError("a download")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    Image.fromarray(np.full((3, 3), 9, np.uint8)).save(folder.parent / "k.png")
    change(folder, **keys)
    with pytest.raises(CheckpointError, match=words) as raised:
        rgmkit.load(folder)
    assert "\n" not in str(raised.value) and str(folder / "config.yaml") in str(raised.value)


def test_a_model_folder_loads_no_plugin(folder):
    (folder / "evil.py").write_text("import pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()")
    change(folder, plugins=["evil.py"])
    rgmkit.load(folder)
    models.describe(folder)
    assert not (folder / "evil.ran").exists()


def test_files_that_a_training_names_are_part_of_the_model(tmp_path):
    config = {
        "data": "digits",
        "process": {**BLUR, "degradation": {"use": "compose", "of": ["blur:kernel=k.png", "downsample:factor=2"]}},
        "network": "unet:width=8,multipliers=[1]",
        "objective": "mmse",
        "training": {"steps": 1, "batch": 2, "preview_every": 0},
    }
    (tmp_path / "here").mkdir()
    Image.fromarray(np.array([[0, 100, 255]], np.uint8)).save(tmp_path / "here" / "k.png")
    (tmp_path / "here" / "train.yaml").write_text(dump_yaml(config))
    first = rgmkit.train(tmp_path / "here" / "train.yaml", out=tmp_path / "first", progress=False)
    second = {**config, "start": str(first)}  # inherits the process
    del second["process"], second["network"]
    second = rgmkit.train(second, out=tmp_path / "second", progress=False)
    shutil.rmtree(tmp_path / "here")
    shutil.move(first, tmp_path / "moved")
    x = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    for model in (tmp_path / "moved", second):
        mean = rgmkit.load(model).process.mean(x, torch.tensor([2]))
        assert mean.shape == x.shape and not torch.equal(mean, x)


def test_a_prior_that_is_no_network_is_found_before_the_training():
    content = {"data": "gmm", "network": "mlp", "prior": "tv", "training": {"batch": 4}}
    with pytest.raises(ConfigError, match="prior is 'tv', which is no network prior"):
        rehearse(set_up(read_configuration(content), ProcessGroup(torch.device("cpu"))))


def test_pickles_are_read_as_weights_alone_by_versions_that_do_not_execute_code():
    requirement = re.search(r'"torch>=(\d+)\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert requirement and tuple(map(int, requirement.groups())) >= (2, 10)
    sources = [*ROOT.glob("rgmkit/**/*.py"), *ROOT.glob("plugins/**/*.py")]
    calls = [call for file in sources for call in re.findall(r"torch\.load\([^\n]*", file.read_text())]
    unsafe = [call for call in calls if "weights_only=True" not in call and "torch.load(FILE" not in call]
    assert calls and not unsafe
    assert not [file for file in sources if re.search(r"pickle\.loads?\(|allow_pickle=True", file.read_text())]


def test_data_sets_of_the_hub_are_pinned_and_run_no_code(monkeypatch, tmp_path):
    datasets = pytest.importorskip("datasets")
    commit = "0123456789abcdef0123456789abcdef01234567"
    table = datasets.Dataset.from_dict({"image": [Image.new("RGB", (8, 8))] * 2})
    table.info.download_checksums = {f"hf://datasets/someone/faces@{commit}/data/a.parquet": {}}
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: table)
    with pytest.warns(UserWarning, match=f"someone/faces is not pinned: add options: {{revision: {commit}}}"):
        HuggingFace(name="someone/faces", size=8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        HuggingFace(name="someone/faces", options={"revision": commit}, size=8)
        assert find_commit(None) is None
    with pytest.raises(ConfigError, match="code in a data set is not run"):
        HuggingFace(name="someone/faces", options={"trust_remote_code": True}, size=8)


def test_a_folder_of_data_does_not_hide_a_model_or_a_prior(tmp_path, monkeypatch):
    """A folder `digits` in the working directory counts only if it holds a model, and so does a folder `tv`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    (tmp_path / "tv").mkdir()
    assert models.find_model("tv") is None and models.find_model("./tv") is not None
    assert models.locate("digits") == models.lookup.SHIPPED / "digits" and models.find_model("digits:dtype=bf16")
    (tmp_path / "digits" / "config.yaml").write_text("seed: 0")
    assert models.locate("digits") == Path("digits")
    (tmp_path / "tv" / "config.yaml").write_text("seed: 0")
    assert models.find_model("tv") is not None


def test_a_weight_is_refused_for_weights_that_are_no_regulariser():
    with pytest.raises(ConfigError, match=r"weight is 3.*, and none\.npz is not a regulariser"):
        rgmkit.restore(torch.zeros(1, 1, 8, 8), "gaussian-noise:noise=0.1", "none.npz:weight=3")
