"""Networks of others, from published weights files, as priors."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Ran
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate

import rgmkit
from rgmkit.core.inverse_network import InverseNetwork
from rgmkit.core.prior import RestoringPrior
from rgmkit.errors import CheckpointError, ConfigError, IncompatibleError
from rgmkit.images import write
from rgmkit.models.foreign import probe
from rgmkit.resolve import resolve_prior

STD = 0.1
Layers = list[tuple[Tensor, Tensor]]


def make_layers(taken: int, given: int, *, depth: int = 3, width: int = 6) -> Layers:
    """Random 3 x 3 convolutions."""
    torch.manual_seed(0)
    sizes = [taken, *[width] * (depth - 1), given]
    return [
        (0.2 * torch.randn(sizes[i + 1], sizes[i], 3, 3), 0.1 * torch.randn(sizes[i + 1]))
        for i in range(len(sizes) - 1)
    ]


def apply_layers(layers: Layers, x: Tensor) -> Tensor:
    for i, (weight, bias) in enumerate(layers):
        x = conv2d(x.relu() if i else x, weight, bias, padding=1)
    return x


def save_npz(path: Path, layers: Layers) -> Path:
    np.savez(
        path, **{f"{kind}{i}": value for i, pair in enumerate(layers) for kind, value in zip("wb", pair, strict=True)}
    )
    return path


def name_layers(layers: Layers) -> dict[str, Tensor]:
    return {
        f"model.{2 * i}.{k}": v for i, pair in enumerate(layers) for k, v in zip(("weight", "bias"), pair, strict=True)
    }


def load(path: Path, **options: Any) -> RestoringPrior:
    prior = rgmkit.load(path, **options)
    assert isinstance(prior, RestoringPrior)
    return prior


@pytest.fixture
def x() -> Tensor:
    return torch.rand(2, 1, 12, 9, generator=torch.Generator().manual_seed(1))


def run_ffdnet(layers: Layers, x: Tensor, std: float, order: list[tuple[int, int]]) -> Tensor:
    """FFDNet as published: the sub-images in `order` of (row, column), and a map of the std."""
    parts = torch.cat([x[:, :, row::2, column::2] for row, column in order], 1)
    parts = apply_layers(layers, torch.cat([parts, torch.full_like(parts[:, :1], std)], 1))
    out = torch.empty_like(x)
    for i, (row, column) in enumerate(order):
        out[:, :, row::2, column::2] = parts[:, i : i + 1]
    return out


@pytest.mark.parametrize(
    ("ending", "order"), [(".npz", [(0, 0), (1, 0), (0, 1), (1, 1)]), (".pth", [(0, 0), (0, 1), (1, 0), (1, 1)])]
)
def test_ffdnet_is_told_the_noise(ending: str, order: list[tuple[int, int]], tmp_path: Path, x: Tensor) -> None:
    layers, path = make_layers(5, 4), tmp_path / f"ffdnet{ending}"
    save_npz(path, layers) if ending == ".npz" else torch.save(name_layers(layers), path)
    x = x[..., :8]
    for std in (0.05, 0.2):
        expected = run_ffdnet(layers, x, std, order)
        torch.testing.assert_close(load(path).denoise(x, std), expected, atol=1e-5, rtol=1e-4)


def test_more_noise_than_in_the_training_is_scaled_down(tmp_path: Path, x: Tensor) -> None:
    prior, most = load(save_npz(tmp_path / "ffdnet.npz", make_layers(5, 4))), 75 / 255
    expected = 0.5 + (prior.denoise(0.5 + (x - 0.5) / 2, most) - 0.5) * 2
    torch.testing.assert_close(prior.denoise(x, 2 * most), expected, atol=1e-5, rtol=1e-4)


def test_dncnn_denoises_at_its_std_and_weaker_noise_in_part(tmp_path: Path, x: Tensor) -> None:
    layers = [(0.1 * weight, 0.1 * bias) for weight, bias in make_layers(1, 1)]
    prior = load(save_npz(tmp_path / "dncnn.npz", layers), std=STD)
    expected = x - apply_layers(layers, x)
    torch.testing.assert_close(prior.denoise(x, STD), expected)
    assert float(prior.level_stds[0]) == pytest.approx(STD)
    change = prior.denoise(x, STD / 2) - x
    assert 0 <= float((change * (expected - x)).sum()) < float((expected - x).square().sum())
    assert prior.notes == () and rgmkit.restore(x, f"gaussian-noise:noise={STD}", prior).nfe == 1


@pytest.mark.parametrize(
    ("blind", "words"), [(False, "std 0.1 (25.5 of 255) alone"), (True, "any noise up to std 0.1")]
)
def test_what_the_trial_found_is_noted(
    blind: bool, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, x: Tensor
) -> None:
    monkeypatch.setattr("rgmkit.models.foreign.priors.find_noise", lambda *_: probe.DenoiserNoise(STD, blind))
    layers = make_layers(1, 1)
    prior = load(save_npz(tmp_path / "dncnn.npz", layers))
    assert words in rgmkit.restore(x, f"gaussian-noise:noise={STD}", prior).notes[0]
    weak = prior.denoise(x, STD / 4)
    assert weak.isclose(x - apply_layers(layers, x), atol=1e-5).all() == blind


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_matlab_files_hold_the_same_network(version: str, tmp_path: Path, x: Tensor) -> None:
    layers, path = make_layers(5, 4), tmp_path / "net.mat"
    if version == "5":
        scipy_io = pytest.importorskip("scipy.io")
        cells = np.empty(len(layers), dtype=object)
        for i, (weight, bias) in enumerate(layers):
            weights = np.empty(2, dtype=object)
            weights[0], weights[1] = weight.permute(2, 3, 1, 0).numpy(), bias.numpy()
            cells[i] = {"type": "conv", "weights": weights}
        scipy_io.savemat(path, {"net": {"layers": cells}})
    else:
        write_hdf5(path, layers)
    expected = load(save_npz(tmp_path / "net.npz", layers)).denoise(x, STD)
    assert load(path).denoise(x, STD).equal(expected)


def write_hdf5(path: Path, layers: Layers) -> None:
    """Write a MATLAB file of version 7.3; the arrays have their axes reversed."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        cells = []
        for i, (weight, bias) in enumerate(layers):
            group = file.create_group(f"#refs#/{i}")
            group["w"], group["b"] = weight.transpose(2, 3).numpy(), bias[None].numpy()
            pair = [group["w"].ref, group["b"].ref]
            group.create_dataset("weights", data=np.array(pair, dtype=h5py.ref_dtype), dtype=h5py.ref_dtype)
            cells.append(group.ref)
        file.create_group("net").create_dataset("layers", data=np.array(cells), dtype=h5py.ref_dtype)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file")


def make_dncnn(depth: int = 8) -> dict[str, Tensor]:
    return name_layers(make_layers(1, 1, depth=depth))


WRAPPERS: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "bare": lambda state: state,
    "module.": lambda state: {f"module.{name}": weight for name, weight in state.items()},
    "netG.": lambda state: {f"netG.{name}": weight for name, weight in state.items()},
    "params": lambda state: {"params": state},
    "averages first": lambda state: {"params": {k: 2 * v for k, v in state.items()}, "params_ema": state, "epoch": 3},
    "lightning": lambda state: {"state_dict": {f"model.{name}": weight for name, weight in state.items()}, "epoch": 3},
    "half": lambda state: {name: weight.half() for name, weight in state.items()},
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_and_prefixes_are_removed(wrapper: str, tmp_path: Path, x: Tensor) -> None:
    spandrel = pytest.importorskip("spandrel")
    state, path = make_dncnn(), tmp_path / "net.pth"
    torch.save(WRAPPERS[wrapper](state), path)
    expected = spandrel.ModelLoader().load_from_state_dict(state).model(x)
    tolerance = 1e-2 if wrapper == "half" else 1e-6
    torch.testing.assert_close(load(path, std=STD).denoise(x, STD), expected, atol=tolerance, rtol=0)


def save_drunet(path: Path) -> nn.Module:
    drunet = pytest.importorskip("spandrel.architectures.DRUNet")
    torch.manual_seed(0)
    network = drunet.DRUNet(in_nc=2, out_nc=1, nc=[4, 4, 4, 4], nb=2)
    for parameter in network.parameters():
        parameter.data *= 1.5
    torch.save(network.state_dict(), path)
    return network.eval()


@torch.no_grad()
def test_drunet_is_told_the_noise_and_any_size_is_padded(tmp_path: Path) -> None:
    network, x = save_drunet(tmp_path / "drunet.pth"), torch.rand(2, 1, 24, 16)
    prior = load(tmp_path / "drunet.pth")
    for std in (0.02, 0.15):
        expected = network(torch.cat([x, torch.full_like(x, std)], 1))
        torch.testing.assert_close(prior.denoise(x, std), expected, atol=1e-5, rtol=1e-4)
    assert prior.denoise(x[..., :13, :7], 0.1).shape == (2, 1, 13, 7)


@pytest.mark.parametrize("family", ["drunet", "ffdnet", "dncnn"])
def test_tiles_give_the_same_image(family: str, tmp_path: Path) -> None:
    side = 331 if family == "drunet" else 81
    x = torch.rand(1, 1, 24, side, generator=torch.Generator().manual_seed(0))
    if family == "drunet":
        save_drunet(tmp_path / "net.pth")
        prior = load(tmp_path / "net.pth")
    else:
        layers = make_layers(5, 4) if family == "ffdnet" else make_layers(1, 1)
        prior = load(save_npz(tmp_path / "net.npz", layers), **({} if family == "ffdnet" else {"std": STD}))
    whole = rgmkit.restore(x, f"gaussian-noise:noise={STD}", prior).x
    tiled = rgmkit.restore(x, f"gaussian-noise:noise={STD}", prior, tile=16)
    assert any("tiles" in note for note in tiled.notes)
    torch.testing.assert_close(tiled.x, whole, atol=1e-5, rtol=1e-4)


def test_restormer_is_built_by_deepinv(tmp_path: Path) -> None:
    from deepinv.models import Restormer

    torch.manual_seed(0)
    network = Restormer(1, 1, 4, (1, 1, 1, 1), 1, (1, 1, 2, 2), 2.66, False, "BiasFree", pretrained=None).eval()
    torch.save({"params": network.state_dict()}, tmp_path / "restormer.pth")
    x = torch.rand(1, 1, 16, 24)
    prior = load(tmp_path / "restormer.pth", std=STD)
    with torch.no_grad():
        torch.testing.assert_close(prior.denoise(x, STD), network(x), atol=1e-5, rtol=1e-4)
    assert prior.denoise(x[..., :13], STD).shape == (1, 1, 16, 13)


def wavelets(sigma: float | None) -> Callable[[Tensor], Tensor]:
    """A denoiser for noise of std `sigma`, or of any std that it estimates."""
    from skimage.restoration import denoise_wavelet

    return lambda x: torch.from_numpy(denoise_wavelet(x[0, 0].numpy(), sigma=sigma)).float()[None, None]


def test_the_noise_of_a_denoiser_is_found_by_a_trial() -> None:
    found = probe.find_noise(wavelets(STD), 1, "net")
    assert found is not None and not found.blind and found.std == pytest.approx(STD, rel=0.12)
    assert probe.find_noise(wavelets(STD), 1, "net_26_v2") == probe.DenoiserNoise(26 / 255, blind=False)
    blind = probe.find_noise(wavelets(None), 1, "net")
    assert blind is not None and blind.blind and blind.std > 0.2


@pytest.mark.parametrize(
    "network",
    [
        lambda x: x,
        lambda x: 0.5 + 0 * x,
        lambda x: avg_pool2d(x, 3, 1, 1),
        lambda x: 0.5 + 1.5 * (wavelets(STD)(x) - 0.5),
    ],
    ids=["identity", "constant", "weak blur", "contrast"],
)
def test_what_does_not_denoise_is_no_denoiser(network: Callable[[Tensor], Tensor]) -> None:
    assert probe.find_noise(network, 1, "net_25") is None


def save_super_resolution(path: Path) -> nn.Module:
    compact = pytest.importorskip("spandrel.architectures.Compact")
    torch.manual_seed(0)
    network = compact.Compact(num_feat=4, num_conv=2, upscale=2)
    torch.save({"params": network.state_dict()}, path)
    return network.eval()


@torch.no_grad()
def test_a_super_resolution_network_is_a_solver_for_its_factor(tmp_path: Path) -> None:
    network, y = save_super_resolution(tmp_path / "x2.pth"), torch.rand(2, 3, 12, 10)
    prior = rgmkit.load(tmp_path / "x2.pth")
    assert isinstance(prior, InverseNetwork) and prior.factor == 2
    solution = rgmkit.restore(y, "downsample:factor=2", prior)
    torch.testing.assert_close(solution.x, network(y).clamp(0, 1))
    assert solution.nfe == 1 and len(solution.notes) == 1 and "Compact" in solution.notes[0]
    grey = rgmkit.restore(y[:, :1], "downsample:factor=2", prior)
    torch.testing.assert_close(grey.x, network(y[:, :1].expand(-1, 3, -1, -1)).clamp(0, 1).mean(1, keepdim=True))
    assert any("each channel" in note for note in grey.notes)
    with pytest.raises(IncompatibleError, match=r"x2.pth enlarges 2 times, and Downsample"):
        rgmkit.restore(y, "downsample:factor=4", prior)
    with pytest.raises(IncompatibleError, match="needs a prior with restore"):
        rgmkit.restore(y, "downsample:factor=2", prior, solver="pnp-drs")


def test_a_super_resolution_network_works_in_tiles(tmp_path: Path) -> None:
    save_super_resolution(tmp_path / "x2.pth")
    prior, ramp = rgmkit.load(tmp_path / "x2.pth"), torch.linspace(0.2, 0.8, 40).expand(1, 3, 24, 40).contiguous()
    whole, tiled = (rgmkit.restore(ramp, "downsample:factor=2", prior, tile=tile) for tile in (None, 24))
    assert "tiles of 24 pixels" in tiled.notes[-1]
    assert (
        float((tiled.x - whole.x).abs().max()) < 0.05 < float((tiled.x - interpolate(ramp, scale_factor=2)).abs().max())
    )


def test_a_file_is_named_by_path_or_by_its_spec(tmp_path: Path, x: Tensor) -> None:
    save_npz(tmp_path / "dncnn.npz", make_layers(1, 1))
    expected = load(tmp_path / "dncnn.npz", std=STD).denoise(x, STD)
    for given in (
        {"use": "spandrel", "path": "dncnn.npz", "std": STD},
        {"use": "dncnn.npz", "std": STD},
        f"spandrel:path=dncnn.npz,std={STD}",
        f"dncnn.npz:std={STD}",
    ):
        prior = resolve_prior(given, folder=tmp_path)
        assert isinstance(prior, RestoringPrior) and prior.denoise(x, STD).equal(expected)
    with pytest.raises(ConfigError, match="path None"):
        resolve_prior("spandrel")


def test_info_describes_the_network_in_a_file(tmp_path: Path, run: Callable[..., Ran]) -> None:
    save_npz(tmp_path / "ffdnet.npz", make_layers(5, 4))
    told = json.loads(run("info", tmp_path / "ffdnet.npz", "--json").out)
    assert (told["network"], told["channels"], told["use"]) == ("FFDNet", 1, "denoiser that is told the noise")
    save_npz(tmp_path / "dncnn.npz", make_layers(1, 1))  # random weights
    assert json.loads(run("info", tmp_path / "dncnn.npz", "--json").out)["use"] == "restores directly"


def test_options_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = save_npz(tmp_path / "ffdnet.npz", make_layers(5, 4))
    with pytest.raises(ConfigError, match="is told the noise"):
        rgmkit.load(path, std=STD)
    with pytest.raises(ConfigError, match="std is -1"):
        rgmkit.load(path, std=-1)
    with pytest.raises(ConfigError, match="network is given"):
        rgmkit.load(path, network=nn.Identity())
    with pytest.raises(ConfigError, match="not a weights file"):
        rgmkit.load("digits", std=STD)


def test_half_precision_of_a_super_resolution_network_is_close(tmp_path: Path) -> None:
    save_super_resolution(tmp_path / "x2.pth")
    y = torch.rand(1, 3, 12, 10)
    whole, half = (
        rgmkit.restore(y, "downsample:factor=2", rgmkit.load(tmp_path / "x2.pth", dtype=dtype)).x
        for dtype in ("float32", "bf16")
    )
    assert half.dtype == y.dtype and 0 < float((whole - half).abs().max()) < 0.02


def test_half_precision_is_close(tmp_path: Path, x: Tensor) -> None:
    path = save_npz(tmp_path / "ffdnet.npz", make_layers(5, 4))
    whole, half = load(path).denoise(x, STD), load(path, dtype="bf16").denoise(x, STD)
    assert 0 < float((whole - half).abs().max()) < 0.02


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


def write_malicious(path: Path) -> None:
    torch.save({"params": make_dncnn(), "more": Malicious(f"touch {path.parent / 'executed'}")}, path)


def write_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Malicious(f"touch {path.parent / 'executed'}")))


def write_cut(path: Path) -> None:
    torch.save(make_dncnn(), path)
    path.write_bytes(path.read_bytes()[:2000])


def write_incomplete(path: Path) -> None:
    pytest.importorskip("spandrel")
    torch.save(dict(list(make_dncnn(depth=9).items())[:-2]), path)


def write_foreign(path: Path) -> None:
    pytest.importorskip("spandrel")
    torch.save({"conv1.weight": torch.zeros(4, 3, 7, 7), "fc.bias": torch.zeros(2)}, path)


def write_broken(path: Path) -> None:
    torch.save({name: weight * float("nan") for name, weight in make_dncnn().items()}, path)


def write_imdn(path: Path) -> None:
    pytest.importorskip("spandrel")
    torch.save({"fea_conv.weight": torch.zeros(4, 3, 3, 3), "IMDB1.c1.weight": torch.zeros(4, 4, 3, 3)}, path)


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "malicious.pth": (write_malicious, "holds the Python object posix.system beside weights"),
    "pickle.pth": (write_pickle, "cannot be read as a PyTorch checkpoint"),
    "cut.pth": (write_cut, "it is cut off, or something else"),
    "incomplete.pth": (write_incomplete, "is a DnCNN whose output has other channels"),
    "foreign.pth": (write_foreign, "no known network"),
    "broken.pth": (write_broken, "NaN or infinite values"),
    "imdn.pth": (write_imdn, "weights of IMDN"),
    "missing.pth": (lambda path: None, "does not exist"),
    "flax.mpk": (lambda path: path.write_bytes(b"\x81"), "weights of flax"),
    "text.safetensors": (lambda path: path.write_text("text"), "cannot be read as a safetensors file"),
    "text.mat": (lambda path: path.write_text("text"), "is not a network of MatConvNet"),
    "text.npz": (lambda path: path.write_text("text"), "does not hold arrays w0"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_line_and_nothing_runs(name: str, run: Callable[..., Ran], tmp_path: Path) -> None:
    writer, message = BAD[name]
    writer(tmp_path / name)
    write(tmp_path / "y.png", torch.full((1, 1, 16, 16), 0.5))
    ran = run(
        "restore", tmp_path / "y.png", "-d", "gaussian-noise:noise=0.1", "--prior", tmp_path / name, "-o",
        tmp_path / "x.png",
    )  # fmt: skip
    assert ran.code == 2 and message in ran.err and name in ran.err
    assert ran.err.strip().count("\n") == 0 and not (tmp_path / "executed").exists()
    with pytest.raises(CheckpointError):
        rgmkit.load(tmp_path / name)


@pytest.mark.parametrize(("package", "name"), [("spandrel", "dncnn.pth"), ("h5py", "net.mat")])
def test_a_missing_package_is_named(package: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(make_dncnn(), tmp_path / "dncnn.pth")
    (tmp_path / "net.mat").write_bytes(b"MATLAB 7.3 MAT-file")
    monkeypatch.setitem(sys.modules, package, None)
    words = rf"{name} needs the package {package}, which is not installed: pip install 'rgmkit\[published\]'"
    with pytest.raises(CheckpointError, match=words):
        rgmkit.load(tmp_path / name)


def test_an_inpainting_network_is_no_prior(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spandrel = pytest.importorskip("spandrel")
    found = type("Masked", (), {})()
    found.architecture, found.purpose = type("A", (), {"name": "LaMa"}), "Inpainting"
    found.input_channels = found.output_channels = 3
    monkeypatch.setattr(spandrel.ModelLoader, "load_from_state_dict", lambda self, state: found)
    torch.save(make_dncnn(), tmp_path / "lama.pth")
    with pytest.raises(CheckpointError, match="LaMa for Inpainting, which needs a mask"):
        rgmkit.load(tmp_path / "lama.pth")
