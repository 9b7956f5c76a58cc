"""Published checkpoints to model folders, in the forms in which they are saved."""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from rgmkit_gan.networks.ncsnpp.discriminator import SmallDiscriminator
from rgmkit_gan.networks.ncsnpp.restorer import NCSNpp
from safetensors.torch import save_file

import rgmkit
from rgmkit.cli import main
from rgmkit.core.random import seeded
from rgmkit.models.published import convert

REFERENCE = Path(__file__).parents[2] / "shared" / "reference" / "ncsnpp_generator_small.npz"
SHAPES = {
    "plain": {
        "width": 8,
        "multipliers": (1, 2),
        "blocks": 1,
        "attention": (8,),
        "latent": 3,
        "style": 16,
        "style_layers": 1,
    },
    "deep": {
        "width": 8,
        "multipliers": (1, 1, 3),
        "blocks": 2,
        "attention": (16, 4),
        "latent": 5,
        "style": 12,
        "style_layers": 3,
    },
    "flat": {
        "width": 12,
        "multipliers": (2,),
        "blocks": 3,
        "attention": (),
        "latent": 1,
        "style": 8,
        "style_layers": 0,
    },
    "unfiltered": {
        "width": 4,
        "multipliers": (1, 2),
        "blocks": 1,
        "attention": (16, 8),
        "latent": 2,
        "style": 8,
        "resampling": "plain",
    },
}


def network(channels: int = 3, **options) -> NCSNpp:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NCSNpp(image_shape=(channels, 16, 16), **(options or SHAPES["plain"])).eval()


def saved(path, content):
    torch.save(content, path)
    return path


def same(prior, original) -> bool:
    """Whether a prior answers as the network it was made of."""
    channels, latent = prior.image_shape[0], original.latent
    y, z = (torch.randn(shape, generator=seeded(0)) for shape in [(2, channels, 16, 16), (2, latent)])
    t = torch.tensor([0, prior.process.levels - 1])
    with torch.no_grad():
        return prior.network(y, t, z).equal(original(y, t, z))


def run(*args, code: int = 0) -> None:
    with pytest.raises(SystemExit) as caught:
        main([str(arg) for arg in args])
    assert caught.value.code == code


GIVEN = ("--process", "gaussian:levels=4", "--image-size", 16)


@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_options_are_read_off_the_weights(options, channels, tmp_path):
    original = network(channels, **options)
    file = saved(tmp_path / "netG.pth", original.state_dict())
    convert(file, tmp_path / "model", process="multiscale:levels=3", image_size=16)
    config = yaml.safe_load((tmp_path / "model" / "config.yaml").read_text())
    expected = {"resampling": "fir", "style_layers": 4, **options}
    assert config["network"].pop("use") == "ncsnpp"
    assert {k: tuple(v) if isinstance(v, list) else v for k, v in config["network"].items()} == expected
    prior = rgmkit.load(tmp_path / "model")
    assert prior.image_shape == (channels, 16, 16) and prior.process.levels == 3 and prior.latent == options["latent"]
    assert type(prior.process).__name__ == "MultiscaleProcess" and same(prior, original)


@pytest.mark.skipif(not REFERENCE.is_file(), reason="the numeric references are not here")
def test_a_published_network_answers_as_published(tmp_path):
    archive = {name: torch.from_numpy(array) for name, array in np.load(REFERENCE).items()}
    state = {name.removeprefix("param/"): weight for name, weight in archive.items() if name.startswith("param/")}
    convert(saved(tmp_path / "netG.pth", state), tmp_path / "model", process="gaussian:levels=4", image_size=16)
    network = rgmkit.load(tmp_path / "model").network
    x = network(archive["input_x"], archive["input_t"], archive["input_z"])
    torch.testing.assert_close(x, archive["output"], rtol=0, atol=1e-5)


RUN = {"forward_name": "ddpm", "num_timesteps": 4, "image_size": 16, "discrete_type": "original", "centered": True}


def content(original, *, run=RUN, **more):
    """What a training keeps: options, the network under DataParallel, the discriminator, the optimisers."""
    state = torch.nn.DataParallel(original).state_dict()
    critic = SmallDiscriminator(image_shape=(3, 16, 16), width=4, embedding=8).state_dict()
    return {"epoch": 7, "args": argparse.Namespace(**run), "netG_dict": state, "netD_dict": critic, **more}


def test_forms_of_a_checkpoint_on_the_command_line(tmp_path, capsys):
    original = network()
    moments = {i: {"step": 1, "exp_avg": weight.detach()} for i, weight in enumerate(original.parameters())}
    forms = {
        "bare": original.state_dict(),
        "parallel": torch.nn.DataParallel(original).state_dict(),
        "compiled": {f"_orig_mod.{name}": weight for name, weight in original.state_dict().items()},
        "double": original.double().state_dict(),
        "content": content(original, optimizerG={"state": moments, "param_groups": []}),
    }
    original.float()
    for name, form in forms.items():
        file, out = saved(tmp_path / f"{name}.pth", form), tmp_path / name
        run("convert", file, "-o", out, *GIVEN)
        printed = capsys.readouterr()
        assert printed.out == f"{out}\n" and "as they are in the file" in printed.err
        assert same(rgmkit.load(out), original), name
        facts = rgmkit.models.folder.describe(out)["facts"]
        assert facts["converted from"] == file.name and facts["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        card = (out / "README.md").read_text()
        assert "No metrics were computed" in card and "trained with rgmkit" not in card
    assert facts["entry"] == "netG_dict"


def test_averages_in_the_state_of_the_optimiser_are_taken(tmp_path):
    original, averaged = network(), network()
    with torch.no_grad():
        for weight in averaged.parameters():
            weight.mul_(0.5)
    state = {i: {"step": 3, "ema": weight.detach()} for i, weight in enumerate(averaged.parameters())}
    stored = content(original, optimizerG={"state": state, "param_groups": []})
    facts = convert(saved(tmp_path / "content.pth", stored), tmp_path / "m", process="gaussian", image_size=16)
    assert "moving averages" in facts["weights"] and same(rgmkit.load(tmp_path / "m"), averaged)


def test_the_options_of_the_training_tell_the_rest(tmp_path, capsys):
    original = network()
    run("convert", saved(tmp_path / "content.pth", content(original)), "-o", tmp_path / "m")
    prior = rgmkit.load(tmp_path / "m")
    assert same(prior, original) and prior.image_shape == (3, 16, 16)
    assert (type(prior.process).__name__, prior.process.levels) == ("GaussianProcess", 4)
    assert (
        rgmkit.models.folder.describe(tmp_path / "m")["facts"]["process"]
        == "gaussian:levels=4, by the options in the file"
    )
    multiscale = saved(tmp_path / "sr.pth", content(original, run={**RUN, "forward_name": "sr", "num_timesteps": 7}))
    convert(multiscale, tmp_path / "sr")
    assert rgmkit.load(tmp_path / "sr").process.levels == 7
    capsys.readouterr()
    run("convert", multiscale, "-o", tmp_path / "asked", "--process", "gaussian:levels=4", "--image-size", 32)
    said = capsys.readouterr().err
    assert "trained with the process multiscale:levels=7" in said and "on images of side 16" in said
    unlike = saved(tmp_path / "unlike.pth", content(original, run={**RUN, "not_use_tanh": True}))
    run("convert", unlike, "-o", tmp_path / "none", code=2)
    assert "trained with not_use_tanh=True" in capsys.readouterr().err
    other = saved(tmp_path / "other.pth", content(original, run={**RUN, "discrete_type": "square"}))
    run("convert", other, "-o", tmp_path / "none", code=2)
    said = capsys.readouterr().err
    assert "--process" in said and "--image-size" not in said and not (tmp_path / "none").exists()


def test_safetensors(tmp_path, capsys):
    original, file = network(), tmp_path / "netG.safetensors"
    save_file(original.state_dict(), file)
    run("convert", file, "-o", tmp_path / "m", *GIVEN)
    assert same(rgmkit.load(tmp_path / "m"), original)
    file.write_bytes(file.read_bytes()[:99])
    run("convert", file, "-o", tmp_path / "n", *GIVEN, code=2)
    assert "as a safetensors file" in capsys.readouterr().err


def test_several_restorers_in_one_file(tmp_path, capsys):
    one, two = network(), network()
    with torch.no_grad():
        two.all_modules[0].bias += 1
    file = saved(tmp_path / "both.pth", {"netG": one.state_dict(), "netG_ema": two.state_dict()})
    run("convert", file, "-o", tmp_path / "m", *GIVEN, code=2)
    assert "netG, netG_ema: choose one with --entry" in capsys.readouterr().err
    run("convert", file, "-o", tmp_path / "m", *GIVEN, "--entry", "net", code=2)
    assert "no state dict 'net'" in capsys.readouterr().err
    run("convert", file, "-o", tmp_path / "m", *GIVEN, "--entry", "netG_ema")
    assert same(rgmkit.load(tmp_path / "m"), two)
    run("convert", saved(file, one.state_dict()), "-o", tmp_path / "n", *GIVEN, "--entry", "netG", code=2)
    assert "leave out --entry" in capsys.readouterr().err


def test_what_is_missing_is_said_with_its_likely_value(tmp_path, capsys):
    options = {**SHAPES["plain"], "multipliers": (1, 2, 2), "attention": (8,)}  # the second scale attends
    file = saved(tmp_path / "netG.pth", network(**options).state_dict())
    run("convert", file, "-o", tmp_path / "m", code=2)
    printed = capsys.readouterr().err
    assert (
        "--process" in printed
        and "multiscale:levels=7" in printed
        and "--image-size" in printed
        and "likely 32" in printed
    )
    run("convert", file, "-o", tmp_path / "m", "--process", "gaussian", code=2)
    printed = capsys.readouterr().err
    assert "--image-size" in printed and "--process" not in printed
    run("convert", file, "-o", tmp_path / "m", "--process", "gaussian:level=4", "--image-size", 32, code=2)
    assert "did you mean 'levels'" in capsys.readouterr().err
    with pytest.raises(rgmkit.ConfigError, match="image_size is 0"):
        convert(file, tmp_path / "m", process="gaussian", image_size=0)
    assert not (tmp_path / "m").exists()


def test_a_folder_is_not_overwritten_unasked(tmp_path, capsys):
    first, second, out = network(), network(1), tmp_path / "m"
    run("convert", saved(tmp_path / "a.pth", first.state_dict()), "-o", out, *GIVEN)
    other = saved(tmp_path / "b.pth", second.state_dict())
    run("convert", other, "-o", out, *GIVEN, code=2)
    assert "--overwrite" in capsys.readouterr().err and same(rgmkit.load(out), first)
    run("convert", other, "-o", out, *GIVEN, "--overwrite", "--network", "ncsnpp:dropout=0.1")
    assert same(rgmkit.load(out), second)
    assert yaml.safe_load((out / "config.yaml").read_text())["network"]["dropout"] == 0.1


class Code:
    """Runs when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("was_executed",)


def broken(folder):
    """Files that are no weights of a restorer, and what is said of them."""
    good = network().state_dict()
    whole = saved(folder / "whole.pth", good).read_bytes()
    old = folder / "old.pth"
    torch.save(good, old, _use_new_zipfile_serialization=False)
    bad = {**good, "all_modules.2.bias": torch.full((8,), float("nan"))}
    fewer = {name: weight for name, weight in good.items() if name != "all_modules.2.bias"}
    files = {
        "cut off": [whole[: len(whole) // 2], old.read_bytes()[:-100], old.read_bytes()[:90], b""],
        "something else": [b"GIF89a" * 9, b"a text\n" * 9],
        "Python object posix.mkdir": [{"netG_dict": good, "x": Code()}],
        "no state dict": [[1, 2], torch.zeros(3), {"epoch": 3}],
        "a network other than ncsnpp": [torch.nn.Linear(2, 2).state_dict(), {"all_modules.2.weight": torch.zeros(2)}],
        "a discriminator": [SmallDiscriminator(image_shape=(3, 16, 16), width=4, embedding=8).state_dict()],
        "all_modules.2.bias, missing in place of (8,)": [fewer],
        "residual blocks": [{name: weight for name, weight in good.items() if ".14." not in name}],
        "NaN": [bad],
    }  # fmt: skip
    return [(message, stored) for message, every in files.items() for stored in every]


def test_files_that_are_no_restorer(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for message, stored in broken(tmp_path):
        file = tmp_path / "netG.pth"
        file.write_bytes(stored) if isinstance(stored, bytes) else saved(file, stored)
        run("convert", file, "-o", "model", *GIVEN, code=2)
        said = capsys.readouterr().err
        assert message in said and str(file) in said and said.startswith("error: ") and said.count("\n") == 1, said
    run("convert", "missing.pth", "-o", "model", *GIVEN, code=2)
    run("convert", tmp_path, "-o", "model", *GIVEN, code=2)
    said = capsys.readouterr().err
    assert "missing.pth does not exist" in said and "is a folder" in said
    run("convert", tmp_path / "whole.pth", "-o", "model", *GIVEN, "--network", "unet", code=2)
    assert "use ncsnpp" in capsys.readouterr().err
    assert not (tmp_path / "was_executed").exists() and not (tmp_path / "model").exists()
