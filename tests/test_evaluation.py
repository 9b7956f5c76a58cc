"""`rgmkit evaluate`: distances between sets of images, the command, its cache, and the feature networks."""

from __future__ import annotations

import json
import math
import sys
import threading

import numpy as np
import pytest
import torch

import rgmkit
from rgmkit.config import build
from rgmkit.core.features import Features
from rgmkit.evaluation import model
from rgmkit.evaluation.comparison import Comparer
from rgmkit.evaluation.data import RealImages
from rgmkit.models.build import build_prior
from rgmkit.models.features import list_features, load_features, save_features
from rgmkit.training.data.digits import Digits
from rgmkit.training.data.toys import GMM

QUICK = ("--count", "40", "--reference", "60", "--restored", "2", "--levels", "2")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own for each test."""
    monkeypatch.setenv("RGMKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def normal(n: int, d: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def compare(name: str, generated: torch.Tensor, real: torch.Tensor, **options: int) -> tuple[float, ...]:
    return build("comparison", {"use": name, **options})(generated, real)


def test_frechet_distance_of_gaussians():
    """|m - m'|^2 + sum (s_i - s'_i)^2 for independent coordinates."""
    x, scale, shift = normal(400), torch.tensor([2.0, 0.5, 3.0]).double(), torch.tensor([1.0, -2.0, 0.5]).double()
    white = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov())).T
    expected = shift.square().sum() + (scale - 1).square().sum()
    assert compare("frechet", scale * white + shift, white)[0] == pytest.approx(float(expected), rel=1e-6)


def test_kernel_distance_against_all_pairs():
    a, b = normal(30, seed=1) + 0.5, normal(20, seed=2)

    def kernel(x, y):
        return (float(x @ y) / 3 + 1) ** 3

    a20 = a[:20]
    inside = [kernel(x[i], x[j]) for x in (a20, b) for i in range(20) for j in range(20) if i != j]
    across = [kernel(x, y) for x in a20 for y in b]
    assert compare("kernel", a, b)[0] == pytest.approx(sum(inside) / 380 - 2 * sum(across) / 400, rel=1e-9)


def test_kernel_distance_is_averaged_over_blocks(monkeypatch):
    from rgmkit_metrics import distances

    a, b = normal(24, seed=1), normal(24, seed=2)
    monkeypatch.setattr(distances, "BLOCK", 8)
    blocks = [compare("kernel", x, y)[0] for x, y in zip(a.split(8), b.split(8), strict=True)]
    assert compare("kernel", a, b)[0] == pytest.approx(sum(blocks) / 3)


@pytest.mark.parametrize("k", [1, 3])
def test_neighbours_against_loops(k, monkeypatch):
    from rgmkit_metrics import neighbours

    monkeypatch.setattr(neighbours, "ROWS", 7)  # so that the last part is shorter
    g, x = normal(25, seed=3) * 1.2 + 1.5, normal(25, seed=4)

    def radius(points, i):
        return sorted(math.dist(points[i], points[j]) for j in range(25) if j != i)[k - 1]

    inside = [[math.dist(g[j], x[i]) <= radius(x, i) for i in range(25)] for j in range(25)]
    recalled = [any(math.dist(g[j], x[i]) <= radius(g, j) for j in range(25)) for i in range(25)]
    precision, recall = compare("precision-recall", g, x, neighbours=k)
    assert precision == pytest.approx(sum(map(any, inside)) / 25) and recall == pytest.approx(sum(recalled) / 25)
    density, coverage = compare("density-coverage", g, x, neighbours=k)
    assert density == pytest.approx(sum(map(sum, inside)) / 25 / k)
    assert coverage == pytest.approx(sum(map(any, zip(*inside, strict=True))) / 25)
    assert 0 < precision < 1 and 0 < recall < 1 and 0 < coverage < 1


def test_sets_of_unequal_length_are_cut():
    a, b = normal(40, seed=5), normal(60, seed=6)
    for name in ("precision-recall", "density-coverage"):
        assert compare(name, a, b) == compare(name, a, b[:40]) and compare(name, b, a) == compare(name, b[:40], a)
    with pytest.raises(rgmkit.DataError, match="3 images have no 3 neighbours"):
        compare("precision-recall", a[:3], b)


def test_the_command_prints_tables(run):
    ran = run("evaluate", "digits", "--data", "digits", "--test", "digits:split=held-out", "--seeds", 2, *QUICK)
    assert ran.code == 0 and ran.err == ""
    for word in (
        "40 images compared with 60 of digits by digits, means of 2 seeds",
        "chain started at level 2",
        "other real images",
        "random sets",
        "4 network evaluations",
        "2 restored images",
        "PSNR (dB)",
    ):
        assert word in ran.out, word
    assert "FID" not in ran.out and "level 1" not in ran.out


def test_the_command_prints_json(run):
    ran = run("evaluate", "digits", "--data", "digits", "--json", "-d", "blur:std=1,noise=0.05", *QUICK)
    found = json.loads(ran.out)
    assert found["cost"]["nfe"] == 4 and found["cost"]["images_per_second"] > 0
    noise, _, other, real = found["generation"]
    assert [row["level"] for row in found["generation"]] == [4, 2, 0, None] and other["score"]["confident"] > 0.7
    assert real["metrics"]["of real"] == 1
    assert noise["metrics"]["of real"] == pytest.approx(noise["metrics"]["Fréchet"] / real["metrics"]["Fréchet"])
    (restored,) = found["restoration"]
    assert restored["degradation"] == "blur:std=1,noise=0.05" and restored["images"] == 2
    assert restored["metrics"]["PSNR (dB)"] > restored["before"]["PSNR (dB)"]


def test_it_measures_what_generate_gives():
    """The same images as a user gets, and for a chain those of `cascade:start=…`."""
    found = rgmkit.evaluate(
        "digits", "digits", test="digits:split=held-out", count=40, seeds=[3], levels=[1], reference=60, restored=0
    )
    images = Digits(split="held-out").part(range(40), 40, seed=0, step=-1)
    expected = {
        "noise": rgmkit.generate("digits", 40, seed=3),
        "chain started at level 1": rgmkit.generate("digits", 40, seed=3, solver="cascade:start=1", images=images),
        "other real images": images,
    }
    for row in found.generation[:-1]:
        score = Digits().score(expected[row.start])
        assert row.score == pytest.approx(score, rel=1e-4), row.start


def test_every_option_of_the_command_reaches_the_evaluation(run):
    ran = run("evaluate", "digits", "--data", "digits", "--count", 20, "--reference", 20, "--seed", 5, "--seeds", 2,
              "--levels", "2", "--restored", 0, "--solver", "cascade:eta=1", "--batch", 7, "--device", "cpu",
              "--features", "digits", "--json")  # fmt: skip
    found = json.loads(ran.out)
    images = RealImages(Digits(), 20, 20).starts(20)
    for row, options in zip(found["generation"], ({}, {"start": 2}), strict=False):
        solver = {"use": "cascade", "eta": 1.0, **options}
        begin = images if options else None
        x = [rgmkit.generate("digits", 20, seed=seed, solver=solver, images=begin) for seed in (5, 6)]
        confident = sum(Digits().score(each)["confident"] for each in x) / 2
        assert row["score"]["confident"] == pytest.approx(confident), row["start"]
    assert len(found["generation"]) == 4 and found["restoration"] == [] and found["seeds"] == [5, 6]
    assert found["generation"][0]["metrics_std"]["Fréchet"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("digits",), "Missing option '--data'"),
        (("digits", "--data", "missing/folder"), "missing/folder does not exist: give a folder"),
        (("digits", "--data", "digts"), "the nearest is 'digits'"),
        (("digts", "--data", "digits"), "digits"),
        (("digits", "--data", "digits", "--features", "incepton"), "the nearest is 'inception'"),
        (("digits", "--data", "digits", "--levels", "9"), "levels is [9]: this prior has the levels 1 to 4"),
        (("digits", "--data", "digits", "--levels", "a"), "give levels such as 1,3"),
        (("digits", "--data", "gmm"), "the model was trained on grey (1, 16, 16), and the image is points"),
        (
            ("digits", "--data", "torchvision:name=FakeData,size=20,channels=grey"),
            "the images of the data are (1, 20, 20)",
        ),
        (("digits", "--data", "digits", "--count", "5"), "give 20 or more"),
        (("digits", "--data", "digits", "--metric", "pnsr"), "the nearest is 'psnr'"),
        (("tv", "--data", "."), "of a size that the model does not say"),
    ],
)
def test_bad_input_is_one_line(run, arguments, message):
    given = ["--count", "20", "--restored", "0", *arguments] if "--count" not in arguments else arguments
    ran = run("evaluate", *given)
    assert ran.code == 2 and ran.out == ""
    (line,) = ran.err.splitlines()
    assert line.startswith("error: ") and message in line


def test_a_prior_that_does_not_generate_is_measured_by_restorations(run):
    ran = run("evaluate", "tv", "--data", "digits", "-d", "gaussian-noise:noise=0.1", "--restored", 2)
    assert ran.code == 0 and "note: this prior generates no images" in ran.err
    assert ran.out.startswith("2 restored images") and "PSNR" in ran.out and "Fréchet" not in ran.out


def test_a_denoiser_restores_images_of_any_size(tmp_path):
    rgmkit.images.write(tmp_path / "a.png", torch.rand(3, 20, 24))
    found = rgmkit.evaluate("photographs", f"folder:path={tmp_path},size=20", degradations=["inpaint:keep=0.9,noise=0"])
    assert found.restoration[0].images == 1 and found.generation == [] and "generates no images" in found.notes[0]


def test_a_note_if_chains_start_from_images_that_are_compared_with():
    found = rgmkit.evaluate("digits", "digits:split=held-out", features="digits", count=20, levels=[1], restored=0)
    assert "give held-out ones as test" in found.notes[0]
    assert [row.start for row in found.generation] == [
        "noise",
        "chain started at level 1",
        "random sets of the real images",
    ]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("digits", "digits"),
        ("torchvision:name=FakeData,size=64", "cifar10"),
        ("torchvision:name=FakeData,size=65", "inception"),
    ],
)
def test_default_features(data, name, monkeypatch):
    monkeypatch.setattr(model, "load_features", lambda name: name)
    assert model._choose_features(None, build("data", data)) == (name, name)


def test_points_are_their_own_features():
    config = {"process": "gaussian:levels=2", "network": "mlp:width=8", "images": {"shape": [2], "center": 0.0}}
    prior = build_prior(config)
    found = rgmkit.evaluate(prior, "gmm", count=40, reference=50)
    assert found.features == "coordinates" and found.restoration == [] and found.cost.nfe == 2
    x, real = rgmkit.generate(prior, 40, seed=0), GMM().part(range(50, 100), 100, seed=0, step=-1)
    assert found.generation[0].metrics["Fréchet"] == pytest.approx(compare("frechet", x, real)[0], rel=1e-5)
    assert found.generation[0].score == pytest.approx(GMM().score(x))


def test_folders_archives_and_arrays(tmp_path):
    import tarfile

    x = Digits(split="held-out").images[:70]
    (tmp_path / "pictures").mkdir()
    for i, image in enumerate(x):
        rgmkit.images.write(tmp_path / "pictures" / f"{i:02d}.png", image)
    with tarfile.open(tmp_path / "pictures.tar", "w") as tar:
        tar.add(tmp_path / "pictures", "pictures")
    np.savez(tmp_path / "pictures.npz", images=(x * 255).round().byte().movedim(1, -1).numpy())
    rows = []
    for name in ("pictures", "pictures.tar", "pictures.npz"):
        found = rgmkit.evaluate("digits", tmp_path / name, features="digits", count=20, levels=[], restored=0)
        rows.append(found.generation[0].metrics)
        assert found.reference == 70 and found.features == "digits"
    assert rows[0] == rows[1] == rows[2]


class Counted(Features):
    """The mean and the std of images; counts its calls."""

    calls = 0

    def __init__(self, factor: float = 1.0, power: int = 1) -> None:
        super().__init__()
        self.register_buffer("factor", torch.tensor(factor))
        self.power = power

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Counted.calls += 1
        assert not self.training
        return self.factor * torch.stack([x.mean((1, 2, 3)), x.std((1, 2, 3))], 1) ** self.power


def comparer(features: Features, reference: int = 50) -> Comparer:
    return Comparer(RealImages(Digits(), reference, 30), features, None, count=30, progress=False)


def test_cached_features_equal_fresh_ones(cache):
    images = Digits(split="held-out").images
    fresh = comparer(Counted())
    before = Counted.calls
    again = comparer(Counted())
    assert Counted.calls == before
    assert again.compare(again.features_of(images)) == fresh.compare(fresh.features_of(images))
    (file,) = (cache / "features").iterdir()
    for features, reference in ((Counted(2.0), 50), (Counted(power=2), 50), (Counted(), 51)):
        before = Counted.calls
        comparer(features, reference)
        assert Counted.calls > before
    file.write_bytes(file.read_bytes()[:100])  # cut off: computed again, and replaced
    assert comparer(Counted())._real.equal(fresh._real)
    assert np.load(file).shape == (50, 2)


def test_the_images_compared_with_do_not_depend_on_the_others():
    one, other = RealImages(Digits(), 50, 10), RealImages(Digits(), 50, 200)
    assert torch.cat([*one.chunks()]).equal(torch.cat([*other.chunks()]))
    apart = other.starts(200).flatten(1)
    assert float(torch.cdist(apart, torch.cat([*other.chunks()]).flatten(1)).min()) > 0
    assert not other.overlaps and RealImages(Digits(split="held-out"), 250, 100).overlaps


def test_two_evaluations_at_once_share_a_cache(cache):
    found = []
    threads = [threading.Thread(target=lambda: found.append(comparer(Counted())._real)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and all(each.equal(found[0]) for each in found)
    assert [file.suffix for file in (cache / "features").iterdir()] == [".npy"]


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RGMKIT_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="will be computed again"):
        comparer(Counted())


@pytest.mark.parametrize("name", list_features())
def test_shipped_feature_networks_classify(name):
    features = load_features(name)
    assert sum(weight.numel() for weight in features.state_dict().values()) < 1e6
    if name == "digits":
        held_out = Digits(split="held-out")
        assert float((features.classify(held_out.images).argmax(1) == held_out.labels).float().mean()) > 0.98


def test_a_feature_network_survives_its_folder(tmp_path, run):
    torch.manual_seed(0)
    features = build("features", "classifier:classes=3,channels=1,widths=[4,8]").eval()
    config = {"features": {"use": "classifier", "classes": 3, "channels": 1, "widths": [4, 8]}}
    save_features(tmp_path / "mine", features, config, {"test accuracy": 0.5})
    again, x = load_features(tmp_path / "mine"), torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(again.of(x), features.of(x), atol=1e-2, rtol=1e-2)
    assert "test accuracy" in run("info", tmp_path / "mine").out
    config = (tmp_path / "mine" / "config.yaml").read_text()
    (tmp_path / "mine" / "config.yaml").write_text(config.replace("- 8", "- 9"))
    with pytest.raises(rgmkit.CheckpointError, match=r"model.safetensors does not fit .*config.yaml: .* in place of"):
        load_features(tmp_path / "mine")
    ran = run("generate", tmp_path / "mine", "-o", tmp_path / "x.png")
    assert ran.code == 2 and "feature network" in ran.err
    with pytest.raises(rgmkit.CheckpointError, match="not the model folder of a feature network"):
        load_features(rgmkit.models.locate("digits"))


def test_grey_images_with_features_of_colour():
    features = build("features", "classifier:classes=3,channels=3,widths=[4,8]").eval()
    x = torch.rand(2, 1, 16, 16)
    assert features.of(x).equal(features.of(x.expand(-1, 3, -1, -1)))
    with pytest.raises(rgmkit.IncompatibleError, match="with 3 channels, not 2"):
        features.of(torch.rand(2, 2, 16, 16))


def test_fid_is_named_with_inception_only(tmp_path):
    """With a file of random weights; the names of the metrics follow the features."""
    inception = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    assert build("features", "classifier:classes=3").metric_names == {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: {})
        with pytest.raises(rgmkit.ConfigError, match=r"need their weights.*inception:weights=FILE.*weights-inception"):
            build("features", "inception")
    with pytest.raises(rgmkit.ConfigError, match=r"none.pth cannot be read.*weights-inception"):
        build("features", f"inception:weights={tmp_path}/none.pth")


def test_inception_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(rgmkit.ConfigError, match=r"pip install 'rgmkit\[fid\]'.*weights-inception"):
        build("features", "inception")


def test_names_of_metrics_follow_the_features():
    class Inceptionlike(Counted):
        metric_names = {"Fréchet": "FID", "kernel": "KID"}  # noqa: RUF012

    found = comparer(Inceptionlike()).between_real().metrics
    assert list(found)[:3] == ["FID", "KID", "precision"] and "Fréchet" not in found


def test_the_distance_of_real_images_is_that_of_a_perfect_model():
    """The Fréchet distance depends on the number of images: that of 100 digits is not that of halves of 1,000."""
    real, features = RealImages(Digits(), 1000, 500), load_features("digits")
    comparer = Comparer(real, features, None, count=100, progress=False)
    sets = comparer.features_of(real.starts(500)).split(100)
    found = [comparer.compare(each)["of real"] for each in sets]
    assert sum(found) / len(found) == pytest.approx(1, abs=0.5)  # 2.6 with halves


def test_few_test_images_are_restored_and_start_no_chains(tmp_path):
    """And of more, but fewer than are generated, a note says that the rows do not compare."""
    options = {"features": "digits", "count": 20, "reference": 20, "levels": [1]}
    few, more = tmp_path / "few.npy", tmp_path / "more.npy"
    for file, images in ((few, Digits().images[:3]), (more, Digits().images[:12])):
        np.save(file, images.permute(0, 2, 3, 1).numpy())
    found = rgmkit.evaluate("digits", "digits", test=few, restored=3, degradations=["gaussian-noise"], **options)
    assert [row.start for row in found.generation] == ["noise", "random sets of the real images"]
    assert found.restoration[0].images == 3 and "there are 3 of them, and 10 are needed" in found.notes[0]
    found = rgmkit.evaluate("digits", "digits", test=more, restored=0, **options)
    assert (
        len(found.generation) == 4 and "12 images are compared in the rows from real images, and 20" in found.notes[0]
    )


def test_operators_that_print_alike_are_all_measured():
    masks = [torch.ones(1, 16, 16), (torch.arange(16) % 2).expand(1, 16, 16).float()]
    operators = [rgmkit.degradation("inpaint", mask=mask, noise=0.1) for mask in masks]
    found = rgmkit.evaluate("digits", "digits", count=0, restored=2, degradations=operators).restoration
    assert len(found) == 2 and found[0].before != found[1].before


def test_it_measures_what_restore_gives():
    spec = "downsample:factor=3,noise=0.05"  # of images that it does not divide
    found = rgmkit.evaluate("digits", "digits", count=0, restored=3, degradations=[spec], metrics=["psnr"], seeds=[2])
    truth = RealImages(Digits(), 10_000, 3).starts(3)[..., :15, :15]
    degradation, psnr = rgmkit.degradation(spec), rgmkit.metric("psnr")
    y = degradation(truth, generator=rgmkit.Streams(2, range(3)))
    solution = rgmkit.restore(y, degradation, "digits", seed=2)
    (restored,) = found.restoration
    assert restored.metrics == {"PSNR (dB)": pytest.approx(float(psnr(solution.x.clamp(0, 1), truth).mean()), abs=1e-4)}
    assert restored.before == {"PSNR (dB)": pytest.approx(float(psnr(degradation.embed(y).clamp(0, 1), truth).mean()))}
    assert restored.cost.nfe == solution.nfe and found.generation == []


def test_too_few_real_images_and_nothing_to_measure_are_refused(tmp_path):
    np.savez(tmp_path / "one.npz", images=np.zeros((1, 16, 16, 1), np.uint8))
    with pytest.raises(rgmkit.DataError, match="holds 1 images: give 20 or more"):
        rgmkit.evaluate("digits", tmp_path / "one.npz", features="digits", count=20, levels=[], restored=0)
    with pytest.raises(rgmkit.ConfigError, match="count and restored are 0"):
        rgmkit.evaluate("digits", "digits", count=0, restored=0)


def test_a_solver_without_a_start_has_no_chains():
    options = {"test": "digits:split=held-out", "features": "digits", "count": 20, "reference": 40, "restored": 0}
    found = rgmkit.evaluate("digits", "digits", solver="langevin:iterations=1", **options)
    assert not any("chain" in row.start for row in found.generation)
