"""Models on the Hugging Face hub, against a server in this process: `hf:user/repo`, `rgmkit push`."""

from __future__ import annotations

import io
import logging
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fake_hub import FakeHub, serve

import rgmkit
from rgmkit import models
from rgmkit.config import dump_yaml, load_yaml, read_yaml
from rgmkit.errors import CheckpointError, ConfigError
from rgmkit.images.picture import write
from rgmkit.models.features import load_features
from rgmkit.models.hub import download
from rgmkit.models.lookup import SHIPPED
from rgmkit.models.model_card import read_card, write_hub_card
from rgmkit.training.start import read_start_config

pytest.importorskip("huggingface_hub")
DIGITS = {file.name: file.read_bytes() for file in (SHIPPED / "digits").iterdir()}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    from huggingface_hub import constants, hf_api

    with serve() as fake:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(constants, "ENDPOINT", fake.address)
        monkeypatch.setattr(hf_api.api, "endpoint", fake.address)  # which older versions keep
        template = fake.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", "hf_of_the_tests")
        download.cache_clear()
        yield fake
        download.cache_clear()


def test_a_model_of_the_hub_is_named_wherever_a_model_is(hub, run, tmp_path):
    hub.commit("someone/digits", DIGITS)
    prior = rgmkit.load("hf:someone/digits")
    assert prior.image_shape == (1, 16, 16) and "hf:someone/digits" in repr(prior)
    count = len(hub.requests)
    rgmkit.load("hf:someone/digits")
    assert len(hub.requests) == count
    same = rgmkit.generate("hf:someone/digits:dtype=float32", 2, seed=3)
    assert torch.equal(same, rgmkit.generate("digits", 2, seed=3))
    assert models.find_model({"use": "hf:someone/digits", "dtype": "bf16"}).options == {"dtype": "bf16"}
    assert "steps" in run("info", "hf:someone/digits").out
    y = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    write(tmp_path / "y.png", y)
    spec = ["-d", "gaussian-noise:noise=0.1", "--prior", "hf:someone/digits", "-o", tmp_path / "x.png"]
    assert run("restore", tmp_path / "y.png", *spec).code == 0
    start = read_start_config("hf:someone/digits", tmp_path)
    assert start["network"] == read_yaml(SHIPPED / "digits" / "config.yaml")["network"]


def test_only_the_files_of_a_model_folder_are_downloaded(hub):
    others = {"model.py": b"raise SystemExit", "pytorch_model.bin": b"\x80", "files/a.pkl": b"\x80", "x.yaml": b"a: 1"}
    kept = {"files/0-k.PNG": b"a picture", "files/1-k.npy": b"an array", "samples.png": b"a picture"}
    hub.commit("someone/digits", {**DIGITS, **others, **kept})
    folder = models.locate("hf:someone/digits")
    names = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert names == {*DIGITS, *kept}
    assert not any(name in request for request in hub.requests for name in others)


def test_a_revision_is_that_of_then(hub):
    first = hub.commit("someone/digits", DIGITS)
    hub.commit("someone/digits", {"README.md": b"changed"})
    assert (models.locate(f"hf:someone/digits@{first}") / "README.md").read_bytes() == DIGITS["README.md"]
    assert (models.locate("hf:someone/digits") / "README.md").read_bytes() == b"changed"


def test_what_is_in_the_cache_needs_no_network(hub, monkeypatch):
    hub.commit("someone/digits", DIGITS)
    rgmkit.load("hf:someone/digits")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    download.cache_clear()
    count = len(hub.requests)
    assert rgmkit.load("hf:someone/digits").image_shape == (1, 16, 16)
    assert len(hub.requests) == count


def test_a_model_of_the_hub_is_data(hub):
    config = load_yaml(DIGITS["config.yaml"].decode())
    config["process"] = {"use": "severity", "levels": 3, "degradation": {"use": "blur", "kernel": "/dev/zero"}}
    hub.commit("someone/evil", {**DIGITS, "config.yaml": dump_yaml(config).encode()})
    with pytest.raises(CheckpointError, match="outside of the model folder"):
        rgmkit.load("hf:someone/evil")


@pytest.mark.parametrize(
    ("model", "files", "words"),
    [
        ("hf:someone/none", None, "the hub has no model 'someone/none', or it is private: check the name, or log in"),
        ("hf:someone/some@v9", DIGITS, "someone/some has no revision 'v9'"),
        ("hf:someone/some", {"model.safetensors": b""}, "is not a model of rgmkit: it has no config.yaml"),
        ("hf:someone/some", {**DIGITS, "config.yaml": b"layers: 3"}, "not a model of rgmkit: its config.yaml names no"),
        ("hf:someone/some", {**DIGITS, "config.yaml": b"- ["}, "not a model of rgmkit: its config.yaml names no"),
        ("hf:someone/some", {"config.yaml": DIGITS["config.yaml"]}, "has no model.safetensors"),
        ("hf:some", None, "write hf:user/repo or hf:user/repo@revision"),
        ("hf:../some", None, "write hf:user/repo or hf:user/repo@revision"),
        ("hf:someone/some@../main", None, "write hf:user/repo or hf:user/repo@revision"),
        ("hf:../../etc/some", None, "write hf:user/repo or hf:user/repo@revision"),
    ],
)
def test_what_is_no_model_is_one_line(hub, run, model, files, words, tmp_path):
    if files:
        hub.commit("someone/some", files)
    ran = run("generate", model, "-n", "1", "-o", tmp_path / "x.png")
    assert ran.code == 2 and words in ran.err and ran.err.strip().count("\n") == 0
    if "not a model" in words:
        assert not any("model.safetensors" in request for request in hub.requests)


def test_without_a_network_the_error_says_so(hub, run, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    ran = run("info", "hf:someone/digits")
    assert ran.code == 2 and "hf:someone/digits: the hub cannot be reached, and its cache lacks the model" in ran.err
    assert ran.err.strip().count("\n") == 0


def test_a_failure_of_the_hub_is_one_line_without_its_warnings(hub, run, monkeypatch):
    def fail(*args, **options):
        logging.getLogger("huggingface_hub.utils._http").warning("thrown while requesting")
        raise OSError("no space\nleft")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    ran = run("info", "hf:someone/digits")
    assert ran.code == 2 and ran.err.strip() == "error: hf:someone/digits: the hub failed (no space left)"


def test_push_sends_what_load_needs_with_the_metadata_of_the_hub(hub, run, tmp_path):
    shutil.copytree(SHIPPED / "digits", tmp_path / "run")
    extra = ["checkpoints/last.safetensors", "losses.csv", "samples/step-1.png", "samples/step-2.png", "files/k.png"]
    for name in extra:
        (tmp_path / "run" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "run" / name).write_text(name)
    listed = run("push", tmp_path / "run", "someone/digits", "--dry-run").out
    assert {line.split()[0] for line in listed.splitlines()} == {*DIGITS, "samples.png", "files/k.png"}
    assert not hub.requests
    assert "give --yes" in run("push", tmp_path / "run", "someone/digits").err and not hub.requests
    sent = run("push", tmp_path / "run", "someone/digits", "--license", "cc-by-4.0", "--yes")
    assert sent.out.strip() == f"{hub.address}/someone/digits" and hub.private == {"someone/digits": True}
    files = hub.repos["someone/digits"]["main"]
    assert set(files) == {*DIGITS, "samples.png", "files/k.png"}
    assert files["model.safetensors"] == DIGITS["model.safetensors"] and files["samples.png"] == b"samples/step-2.png"
    card = files["README.md"].decode()
    metadata = load_yaml(card.split("---\n")[1])
    assert metadata["library_name"] == "rgmkit" and metadata["license"] == "cc-by-4.0"
    assert metadata["pipeline_tag"] == "unconditional-image-generation" and "image-restoration" in metadata["tags"]
    assert read_card(card) == read_card(DIGITS["README.md"].decode()) and "hf:someone/digits" in card
    assert rgmkit.load("hf:someone/digits").image_shape == (1, 16, 16)
    assert write_hub_card(card, "someone/digits", kind="generative", samples="samples.png") == card


def test_a_public_repository_is_asked_for(hub, run):
    assert run("push", "digits", "someone/digits", "--public", "--yes").code == 0
    assert hub.private == {"someone/digits": False}


@pytest.mark.parametrize(("answer", "code"), [("n", 130), ("y", 0)])
def test_a_terminal_is_asked(hub, run, monkeypatch, answer, code):
    terminal = io.StringIO(f"{answer}\n")
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    ran = run("push", "digits", "someone/digits")
    assert ran.code == code and "Send this to someone/digits? If it is new, only its owner can see it." in ran.err
    assert bool(hub.requests) == (answer == "y")


def test_who_is_not_logged_in_is_told_how(hub, run, monkeypatch):
    monkeypatch.setattr(hub, "answer", lambda *request: (401, {}, b""))
    ran = run("push", "digits", "someone/digits", "--yes")
    assert ran.code == 2 and ran.err.strip().splitlines()[-1].endswith("log in with `hf auth login`")


def test_a_feature_network_goes_to_the_hub_and_back(hub):
    models.push(SHIPPED.parent / "shipped_features" / "digits", "someone/features")
    assert load_features("hf:someone/features").of(torch.rand(2, 1, 16, 16)).shape == (2, 64)


def test_what_cannot_be_loaded_is_not_sent(hub, tmp_path):
    shutil.copytree(SHIPPED / "digits", tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").write_bytes(DIGITS["model.safetensors"][:1000])
    with pytest.raises(CheckpointError, match="cut or damaged"):
        models.push(tmp_path / "run", "someone/digits")
    shutil.copy(SHIPPED / "digits" / "model.safetensors", tmp_path / "run")
    (tmp_path / "run" / "files").mkdir()
    (tmp_path / "run" / "files" / "0-k.bmp").touch()
    with pytest.raises(ConfigError, match=r"0-k\.bmp would not be downloaded: train with a file that ends in \.png"):
        models.push(tmp_path / "run", "someone/digits")
    with pytest.raises(ConfigError, match="rgmkit convert"):
        models.push("weights.pth", "someone/digits")
    with pytest.raises(ConfigError, match="write hf:user/repo"):
        models.push("digits", "digits")
    assert not hub.requests


def test_push_without_the_extra_names_it(monkeypatch, run):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    ran = run("push", "digits", "someone/digits", "--yes")
    assert ran.code == 2 and re.search(r"rgmkit push needs the package huggingface_hub.*rgmkit\[hub\]", ran.err)
