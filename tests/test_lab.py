"""The lab: its server, asked as its page asks it."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import shlex
import sys
import threading
import urllib.error
import urllib.request
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import rgmkit
from rgmkit import plugins
from rgmkit.cli.app import cli
from rgmkit.config import Option, options_of
from rgmkit.errors import CheckpointError, ConfigError, DataError, PluginError
from rgmkit.lab import handler, work
from rgmkit.lab import jobs as lab_jobs
from rgmkit.lab.commands import restore_commands
from rgmkit.lab.forms import KINDS, describe_forms, describe_option
from rgmkit.lab.jobs import Cancelled, Jobs, QueueFull, Result
from rgmkit.lab.pictures import Upload, read_upload
from rgmkit.lab.request import RestoreRequest
from rgmkit.lab.server import Lab, serve
from rgmkit.plugins import registry

NEEDS_A_NETWORK = {"network", "regulariser"}
BLUR, WHITE = {"name": "blur", "options": {"std": "1"}}, {"name": "white", "options": {"std": "0.02"}}


@dataclass
class Page:
    """What the page does."""

    lab: Lab
    headers: dict[str, str] = field(default_factory=lambda: {handler.MARK: "1"})

    def open(self, path, body=None, headers=None):
        """Status, headers and content of an answer."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.lab.url.rstrip("/") + path, data, headers or self.headers)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def ask(self, path, body=None, **options):
        return json.loads(self.open(path, body, **options)[2])

    def run(self, path, **body):
        """The state of a job when it has ended."""
        begun = self.ask(path, body)
        if "error" in begun:
            return begun
        assert self.lab.jobs.wait(self.lab.jobs.find(begun["id"]), 300) not in ("waiting", "running")
        return self.ask(f"/api/jobs/{begun['id']}") | {"id": begun["id"]}

    def restore(self, picture, degradation=BLUR, noise=WHITE, prior="tv", simulate=True, **more):
        prior = prior and {"name": prior, "options": {}}
        given = {"degradation": degradation, "noise": noise, "prior": prior, "simulate": simulate, **more}
        return self.run("/api/restore", picture=picture, **given)

    def files(self, job):
        return {name: self.open(f"/jobs/{job['id']}/{name}")[2] for name in job["result"]["downloads"]}


@contextlib.contextmanager
def serving(**options):
    lab = Lab("127.0.0.1", 0, device="cpu", **options)
    thread = threading.Thread(target=lab.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield Page(lab)
    lab.shutdown()
    thread.join()
    lab.server_close()


@pytest.fixture(scope="module")
def page():
    with serving() as page:
        yield page


def upload(name, data):
    return {"name": name, "data": base64.b64encode(data).decode()}


def encode(array, **options):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG", **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def camera(page):
    picture = Image.open(io.BytesIO(page.open("/samples/camera.png")[2])).crop((40, 40, 88, 80))
    return upload("camera.png", encode(np.asarray(picture)))


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data))).astype(int)


# ---- forms ----------------------------------------------------------------------------------------------


def test_forms_have_every_component_and_option_of_plugins_too(distribution, monkeypatch):
    source = """
        import rgmkit

        class Rain(rgmkit.Degradation):
            '''Rain.

            Args:
                strength: of the rain.
                mask: where it falls.
            '''

            def __init__(self, *, strength: float = 0.5, mask: "Path | None" = None): ...

        from pathlib import Path

        @rgmkit.hookimpl
        def rgmkit_components():
            return [rgmkit.Component("degradation", "rain", Rain, "Streaks")]
    """
    distribution("acme-rain", source)
    monkeypatch.setattr(registry, "_installed", None)
    forms = describe_forms(["runs/mine"])
    for kind in KINDS:
        named = {form["name"]: form for form in forms[kind] if not form.get("model")}
        expected = set(rgmkit.available(kind)) - (NEEDS_A_NETWORK if kind == "prior" else set())
        assert set(named) == expected
        for name, form in named.items():
            known = options_of(plugins.load_class(kind, name))
            assert form["summary"] and {option["name"] for option in form["options"]} == set(known) - {"noise"}
    rain = next(form for form in forms["degradation"] if form["name"] == "rain")
    assert rain["origin"] == "acme-rain 1.0" and not rain["noisy"]
    shown = [(o["name"], o["widget"], o["default"], o["meaning"]) for o in rain["options"]]
    assert shown == [("strength", "number", "0.5", "of the rain."), ("mask", "file", "", "where it falls.")]
    models = [form["name"] for form in forms["prior"] if form.get("model")]
    assert models == [*rgmkit.available("model"), "runs/mine"]


def test_fields_follow_the_annotations():
    forms = {form["name"]: {o["name"]: o for o in form["options"]} for kind in KINDS for form in describe_forms()[kind]}
    blur, iterations = forms["blur"], forms["langevin"]["iterations"]
    assert (blur["kernel"]["widget"], blur["kernel"]["choices"], blur["kernel"]["file"]) == (
        "choice", ["gaussian", "motion"], True,
    )  # fmt: skip
    assert (blur["std"]["widget"], blur["std"]["default"]) == ("number", "2")  # what None stands for
    assert (iterations["integer"], iterations["min"], iterations["max"]) == (True, 1, 1_000_000)
    assert forms["tv"]["coupled"]["choices"] == ["true", "false"]
    assert forms["compose"]["of"]["widget"] == "text" and forms["compose"]["of"]["required"]
    assert "file" not in {o["widget"] for o in forms["deepinv.DRUNet"].values()}  # weights are not uploaded
    assert describe_option(Option("weights", Path, None), "", files=False) is None


# ---- restorations ---------------------------------------------------------------------------------------


def test_blur_and_tv_do_what_the_commands_do(page, camera, tmp_path, monkeypatch):
    job = page.restore(camera, seed="3")
    result = job["result"]
    psnr = next(metric for metric in result["metrics"] if metric["name"] == "PSNR")
    assert float(psnr["after"]) > float(psnr["before"]) + 1 and psnr["unit"] == "dB"
    assert result["nfe"] == 0 and result["seconds"] > 0 and result["solver"] == "ADMM()"
    assert [entry["key"] for entry in result["pictures"]] == ["measurement", "estimate", "truth"]
    files = page.files(job)
    assert set(files) == {"camera-restored.png", "measurement.npy"}

    monkeypatch.chdir(tmp_path)
    Path("camera.png").write_bytes(base64.b64decode(camera["data"]))
    for line in result["commands"]["shell"].splitlines():
        cli.main(shlex.split(line)[1:], standalone_mode=False)
    assert (np.load("measurement.npy") == np.load(io.BytesIO(files["measurement.npy"]))).all()
    assert (pixels(Path("camera-restored.png").read_bytes()) == pixels(files["camera-restored.png"])).all()
    Path("camera-restored.png").unlink()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(result["commands"]["python"], {})
    assert (pixels(Path("camera-restored.png").read_bytes()) == pixels(files["camera-restored.png"])).all()
    assert float(re.findall(r"\d+\.\d+", said.getvalue())[0]) == pytest.approx(float(psnr["after"]), abs=0.01)


RNG = np.random.default_rng(0)
PICTURES = {
    "deep.png": RNG.integers(0, 2**16, (24, 20), np.uint16),
    "alpha.png": RNG.integers(0, 256, (24, 20, 4), np.uint8),
    "stack.tiff": RNG.integers(0, 2**16, (3, 24, 20), np.uint16),
    "floats.npy": RNG.random((24, 20, 3), np.float32),
    "complex.npy": (RNG.random((1, 1, 24, 20)) + 1j).astype(np.complex64),
    "noending": RNG.integers(0, 256, (24, 20), np.uint8),
}


@pytest.mark.parametrize("simulate", [True, False])
@pytest.mark.parametrize("name", PICTURES)
def test_files_of_any_kind_are_those_of_the_commands(page, tmp_path, monkeypatch, name, simulate):
    monkeypatch.chdir(tmp_path)
    if name.endswith(".npy"):
        np.save(name, PICTURES[name])
    elif name.endswith(".tiff"):
        tifffile.imwrite(name, PICTURES[name], photometric="minisblack")
    else:
        Path(name).write_bytes(encode(PICTURES[name]))
    noise = {"name": "gaussian-noise", "options": {}}
    job = page.restore(upload(name, Path(name).read_bytes()), noise, prior="tikhonov", simulate=simulate)
    if simulate and name == "complex.npy":
        assert job["error"] == "this is not a grey or colour picture: choose that it is a measurement"
        return
    files = page.files(job)
    if simulate and name == "stack.tiff":
        assert job["result"]["notes"][0] == "the first of 3 frames"
        Path("stack-1.npy").write_bytes(files.pop("stack-1.npy"))
    for line in job["result"]["commands"]["shell"].splitlines():
        cli.main(shlex.split(line)[1:], standalone_mode=False)
    for name, data in files.items():
        assert Path(name).read_bytes() == data, name
    assert len(files) == 1 + simulate
    assert simulate or "stack.tiff" not in job["result"]["commands"]["shell"] or "stack-restored.tiff" in files


def test_a_large_picture_is_shrunk_and_an_odd_one_cropped(page, camera):
    job = page.restore(camera, degradation={"name": "downsample", "options": {"factor": "4"}}, side="42")
    notes = job["result"]["notes"]
    assert notes[:2] == [
        "shrunk from 48x40 to 42x35 pixels",
        "cropped from 42x35 to 40x32, a size that Downsample can take",
    ]
    commands = job["result"]["commands"]
    assert "rgmkit degrade camera-42x35.png" in commands["shell"] and "[..., :32, :40]" in commands["python"]
    assert pixels(page.files(job)["camera-42x35.png"]).shape == (35, 42)


def test_draws_have_a_mean_an_interval_and_a_spread(page, tmp_path, monkeypatch):
    digit = upload("digit.png", page.open("/samples/digit.png")[2])
    half = {"name": "downsample", "options": {}}
    job = page.restore(digit, half, {"name": "poisson", "options": {"photons": "200"}}, "digits", samples="9", seed="4")
    result = job["result"]
    assert result["interval"]["coverage"] == pytest.approx(0.8) and 0.4 < result["interval"]["inside"] <= 1
    assert result["std"]["mean"] > 0 and result["nfe"] > 0
    assert "digit-restored-std.npy" in result["downloads"]
    keys = [entry["key"] for entry in result["pictures"]]
    assert keys[:2] == ["measurement", "estimate"] and keys[3:7] == ["std", "low", "high", "draw1"]
    ends = [pixels(page.open(f"/jobs/{job['id']}/{name}.png")[2]) for name in ("low", "estimate", "high")]
    assert (ends[0] <= ends[2]).all() and ends[0].mean() < ends[1].mean() < ends[2].mean()
    assert "--noise poisson:photons=200 --prior digits --samples 9 --seed 4" in result["commands"]["shell"]
    monkeypatch.chdir(tmp_path)
    Path("digit.png").write_bytes(base64.b64decode(digit["data"]))
    for line in result["commands"]["shell"].splitlines():
        cli.main(shlex.split(line)[1:], standalone_mode=False)
    assert Path("digit-restored.png").read_bytes() == page.files(job)["digit-restored.png"]
    assert "noise=rgmkit.noise('poisson', photons=200)" in result["commands"]["python"]


def test_a_measurement_of_unknown_noise_and_given_range(page, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    counts = (2000 + 100 * rng.standard_normal((40, 48))).astype(np.uint16)
    given = upload("counts.png", encode(counts))
    job = page.restore(given, {"name": "gaussian-noise", "options": {}}, None, simulate=False, range="0,4095")
    result = job["result"]
    assert "metrics" not in result and float(result["noise"]) == pytest.approx(100 / 4095, rel=0.2)
    assert any("relative to the range 0 … 4095" in note for note in result["notes"])
    assert any("noise estimated from the measurement" in note for note in result["notes"])
    monkeypatch.chdir(tmp_path)
    Path("counts.png").write_bytes(base64.b64decode(given["data"]))
    (line,) = result["commands"]["shell"].splitlines()
    assert "--range=0,4095" in line
    cli.main(shlex.split(line)[1:], standalone_mode=False)
    restored = pixels(page.files(job)["counts-restored.png"])
    assert (pixels(Path("counts-restored.png").read_bytes()) == restored).all() and 1900 < restored.mean() < 2100
    Path("counts-restored.png").unlink()
    exec(result["commands"]["python"], {})
    assert np.abs(pixels(Path("counts-restored.png").read_bytes()) - restored).max() <= 1


def test_a_mask_is_uploaded_and_no_other_file_is_opened(page, camera, tmp_path):
    mask = np.full((40, 48), 255, np.uint8)
    mask[10:20, 10:20], mask[0, 0] = 0, 100
    inpaint = {"name": "inpaint", "options": {"mask": upload("../../my mask.png", encode(mask))}}
    result = page.restore(camera, inpaint)["result"]
    assert "'inpaint:mask=my mask.png'" in result["commands"]["shell"]
    assert any(note.startswith("the mask my mask.png has 1 grey pixels") for note in result["notes"])
    assert "tmp" not in result["degradation"] + "".join(result["notes"])
    secret = tmp_path / "secret.png"
    secret.write_bytes(encode(mask))
    for kind, name, options in (
        ("degradation", "inpaint", {"mask": str(secret)}),
        ("degradation", "blur", {"kernel": str(secret)}),
        ("degradation", "compose", {"of": f"[inpaint:mask={secret}]"}),
        ("noise", "per-pixel", {"std": str(secret)}),
        ("prior", "deepinv.DRUNet", {"weights": str(secret)}),
    ):
        given = {"degradation": BLUR, "noise": WHITE, "prior": {"name": "tv"}} | {
            kind: {"name": name, "options": options}
        }
        said = page.run("/api/restore", picture=camera, simulate=True, **given)
        assert said["state"] == "failed" and "the lab opens only files that were given to the page" in said["error"]


def test_only_what_is_in_the_forms_is_built(page, camera, tmp_path):
    for name in (str(tmp_path), "hf:user/repo", "network", "../tv"):
        assert "the lab has no prior" in page.restore(camera, prior=name)["error"]
    assert "the lab has no degradation" in page.restore(camera, degradation={"name": "numpy:array"})["error"]


def test_wrong_choices_are_said(page, camera):
    wrong = {"name": "blur", "options": {"std": "wide"}}
    assert page.restore(camera, wrong)["error"] == "degradation.std is 'wide': give a number or null"
    said = page.restore(camera, solver={"name": "cascade"})
    assert said["state"] == "failed" and said["error"].startswith("solver Cascade needs a prior with restore")
    assert page.restore(camera, samples="1000")["error"] == "samples is 1000: give 1 or more, 64 at most"
    assert page.restore(None)["error"] == "there is no picture: drop one on the page, or pick a sample"
    assert page.restore(camera, degradation=None)["error"] == "choose a degradation"


def test_a_mistake_of_a_plugin_is_said_and_the_next_job_runs(page, camera, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(work, "restore_batch", lambda *_, **__: 1 / 0)
        assert page.restore(camera)["error"] == "ZeroDivisionError: division by zero"
        patch.setattr(work, "restore_batch", lambda *_, **__: sys.exit("enough"))
        assert page.restore(camera)["error"] == "SystemExit: enough"
    assert "ZeroDivisionError" in caplog.text
    assert page.restore(camera)["state"] == "done"


def test_a_warning_is_a_note(page, camera, monkeypatch):
    def warn(*given, **options):
        warnings.warn("it is late", stacklevel=2)
        return restore_batch(*given, **options)

    restore_batch = work.restore_batch
    monkeypatch.setattr(work, "restore_batch", warn)
    assert page.restore(camera, prior="tikhonov")["result"]["notes"] == ["it is late"]


def test_a_grid_is_generated_as_by_the_command(page, tmp_path, monkeypatch):
    job = page.run("/api/generate", prior={"name": "digits"}, count="5", seed="1")
    result = job["result"]
    assert result["count"] == 5 and result["shape"] == [1, 16, 16]
    monkeypatch.chdir(tmp_path)
    cli.main(shlex.split(result["commands"]["shell"])[1:], standalone_mode=False)
    made = pixels(page.files(job)["generated.png"])
    assert (pixels(Path("generated.png").read_bytes()) == made).all()
    Path("generated.png").unlink()
    exec(result["commands"]["python"], {})
    assert np.abs(pixels(Path("generated.png").read_bytes()) - made).max() <= 1
    assert page.run("/api/generate", prior={"name": "tv"})["error"] == "choose a model"


# ---- pictures -------------------------------------------------------------------------------------------


def test_what_is_no_picture_or_too_large_is_said(page):
    wide = upload("wide.png", encode(np.zeros((2, 100_000), bool)))
    said = page.open("/api/look", {"picture": wide})
    assert said[0] == 422 and json.loads(said[2])["error"].startswith(
        "wide.png has 100000 x 2 pixels, and the lab takes"
    )
    large = upload("large.png", encode(np.zeros((5000, 5000), bool)))
    assert "has 5000 x 5000 pixels" in page.ask("/api/look", {"picture": large})["error"]
    assert "has 5000 x 5000 pixels" in page.restore(large)["error"]
    stack = io.BytesIO()
    np.save(stack, np.zeros((500, 200, 200), np.uint8))
    assert (
        "has 500 x 200 x 200 pixels" in page.ask("/api/look", {"picture": upload("s.npy", stack.getvalue())})["error"]
    )
    text = page.ask("/api/look", {"picture": upload("notes.txt", b"Dear diary")})
    assert text["error"] == "notes.txt is not a picture that can be read: give PNG, JPEG, TIFF or .npy"
    assert (
        "cut off"
        in page.ask("/api/look", {"picture": upload("half.png", encode(np.zeros((90, 90), np.uint8))[:60])})["error"]
    )
    assert "did not arrive whole" in page.ask("/api/look", {"picture": {"name": "a.png", "data": "§"}})["error"]


def test_a_request_that_is_too_large_is_refused(page, monkeypatch):
    monkeypatch.setattr(handler, "MOST_BYTES", 3000)
    status, headers, said = page.open("/api/look", b"x" * 100_000)
    assert status == 413 and "the lab takes up to" in json.loads(said)["error"] and headers["Connection"] == "close"


def test_a_picture_is_described(page):
    facts = page.ask("/api/look", {"picture": upload("a/b.png", encode(np.zeros((9, 7, 4), np.uint8)))})
    assert facts | {"preview": None} == {
        "name": "b.png", "shape": [1, 3, 9, 7], "bits": 8, "notes": ["its transparency is set aside"], "preview": None,
        "height": 9, "width": 7, "channels": 3,
    }  # fmt: skip
    assert facts["preview"].startswith("data:image/png;base64,")


def test_messages_do_not_name_the_folder_of_uploads(tmp_path):
    with pytest.raises(DataError, match=r"^notes\.txt is not"):
        read_upload(Upload("notes.txt", b"text"), most=10**6)


# ---- the queue ------------------------------------------------------------------------------------------


@pytest.fixture
def queue():
    queue = Jobs()
    yield queue
    queue.close()


class Busy:
    """A job that steps until it is cancelled or released."""

    def __init__(self):
        self.begun, self.release = threading.Event(), threading.Event()

    def __call__(self, job):
        self.begun.set()
        while not self.release.is_set():
            job.report(1, 2)
            job.stopped.wait(0.001)
        return Result({}, {})


def test_one_job_at_a_time_and_the_others_in_order(queue):
    busy, done = Busy(), []
    first = queue.submit(busy)
    others = [queue.submit(lambda job, i=i: done.append(i) or Result({})) for i in range(3)]
    busy.begun.wait()
    assert [queue.place(job) for job in (first, *others)] == [0, 1, 2, 3]
    queue.cancel(others[1])
    assert (others[1].state, queue.place(others[2])) == ("cancelled", 2) and not done
    busy.release.set()
    assert queue.wait(others[2]) == "done" and done == [0, 2]


def test_a_running_job_is_cancelled_at_its_next_step(queue):
    busy = Busy()
    job = queue.submit(busy)
    busy.begun.wait()
    queue.cancel(job)
    assert queue.wait(job) == "cancelled" and job.result is None and job.work is None


def test_a_long_step_is_cancelled_at_its_next_operation(queue):
    begun = threading.Event()

    def work(job):
        x = torch.zeros(1)
        while not job.stopped.is_set():
            x = x + 1
            begun.set()
        torch.sin(x)
        return Result({})

    job = queue.submit(work)
    begun.wait()
    queue.cancel(job)
    assert queue.wait(job) == "cancelled"


def test_a_second_tab_waits_for_the_first(page, camera):
    busy = Busy()
    first = page.lab.jobs.submit(busy)
    busy.begun.wait()
    second = page.ask("/api/restore", {"picture": camera, "degradation": BLUR, "noise": WHITE, "prior": {"name": "tv"}})
    assert second["place"] == 1
    state = page.ask(f"/api/jobs/{second['id']}")
    assert (state["state"], state["place"]) == ("waiting", 1)
    assert page.ask(f"/api/jobs/{first.id}/cancel", {}) and page.lab.jobs.wait(first) == "cancelled"
    assert page.lab.jobs.wait(page.lab.jobs.find(second["id"])) == "done"


def test_a_restoration_stops_at_the_step_after_the_cancellation(page, camera, monkeypatch):
    steps, follow = [], work._Follow.__call__

    def cancel_at_the_second(self, step, steps_, x):
        steps.append(step)
        if len(steps) == 2:
            page.lab.jobs.cancel(self.job)
        follow(self, step, steps_, x)

    monkeypatch.setattr(work._Follow, "__call__", cancel_at_the_second)
    assert page.restore(camera)["state"] == "cancelled" and len(steps) == 2


def test_few_results_are_kept_and_few_jobs_wait(queue, monkeypatch):
    monkeypatch.setattr(lab_jobs, "KEPT", 2)
    monkeypatch.setattr(lab_jobs, "MOST_WAITING", 3)
    ended = [queue.submit(lambda _: Result({}, {"x": b"12345"})) for _ in range(3)]
    assert [queue.wait(job) for job in ended] == ["done"] * 3
    assert [queue.find(job.id) for job in ended] == [None, *ended[1:]]
    monkeypatch.setattr(lab_jobs, "KEPT_BYTES", 7)
    last = queue.submit(lambda _: Result({}, {"x": b"12345"}))
    queue.wait(last)
    assert [queue.find(job.id) for job in (*ended, last)] == [None, None, None, last]
    busy = Busy()
    queue.submit(busy)
    busy.begun.wait()
    for _ in range(3):
        queue.submit(lambda _: Result({}))
    with pytest.raises(QueueFull, match="3 jobs are waiting: try again later"):
        queue.submit(lambda _: Result({}))


def test_closing_cancels_what_runs_and_waits():
    queue, busy = Jobs(), Busy()
    jobs = [queue.submit(busy), queue.submit(busy)]
    busy.begun.wait()
    queue.close()
    assert [job.state for job in jobs] == ["cancelled", "cancelled"]


def test_a_cancellation_is_no_error_that_a_plugin_could_swallow():
    assert not issubclass(Cancelled, Exception)


# ---- who is answered ------------------------------------------------------------------------------------


def test_other_names_and_other_pages_are_refused(page):
    host = page.lab.url[len("http://") : -1]
    port = host.rpartition(":")[2]
    good = {handler.MARK: "1", "Origin": f"http://{host}"}
    body = {"picture": None}
    assert page.open("/api/look", body, good)[0] == 422  # answered: there is no picture
    for headers in (
        {**good, "Host": f"evil.example:{port}"},
        {**good, "Origin": "http://evil.example"},
        {**good, "Origin": f"http://127.0.0.1:{int(port) - 1}"},
        {**good, "Origin": "null"},
        {"Origin": f"http://{host}"},
    ):
        assert page.open("/api/look", body, headers)[0] == 403
    assert page.open("/", None, {"Host": "evil.example"})[0] == 403
    assert page.open("/", None, {"Host": f"localhost:{port}"})[0] == 200


def test_answers_keep_the_page_to_itself(page):
    for path in ("/", "/lab.js", "/lab.css", "/api/forms", "/samples/digit.png", "/nothing"):
        _, headers, _ = page.open(path)
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers


def test_the_page_loads_nothing_from_elsewhere_and_has_no_inline_code():
    text = "".join(file.read_text(encoding="utf-8") for file in handler.HERE.iterdir())
    assert set(re.findall(r"https?://[\w.]+", text)) == {"http://www.w3.org"}  # of SVG
    html = (handler.HERE / "lab.html").read_text(encoding="utf-8")
    assert not re.search(r"\son\w+=|style=|<style|<script(?! src=)", html)


@pytest.mark.parametrize(
    "path", ["/../server.py", "/server.py", "/page/lab.html", "/samples/..png", "/jobs/x/y", "/api/jobs/x", "/%2e%2e/a"]
)
def test_other_addresses_are_not_found(page, path):
    assert page.open(path)[0] == 404


def test_names_of_files_are_made_harmless():
    assert Upload.of(upload("../../etc/$(rm) it.png", b"")).name == "__rm_ it.png"
    assert Upload.of(upload("~/..", b"")).name == "picture"


def test_requests_name_what_is_wrong():
    forms = describe_forms()
    with pytest.raises(PluginError, match="the lab has no solver 'x'"):
        RestoreRequest.of({"degradation": BLUR, "solver": {"name": "x"}}, forms)
    with pytest.raises(ConfigError, match="seed is 'one': give a whole number"):
        RestoreRequest.of({"degradation": BLUR, "picture": upload("a", b""), "seed": "one"}, forms)


def test_two_files_of_one_name_are_refused_unless_they_are_the_same():
    first, other = upload("a.png", b"1"), upload("a.png", b"2")
    asked = {"picture": first, "noise": {"name": "per-pixel", "options": {"std": first}}}
    for mask, refusal in ((first, contextlib.nullcontext()), (other, pytest.raises(ConfigError, match=r"'a\.png'"))):
        with refusal:
            degradation = {"name": "inpaint", "options": {"mask": mask}}
            RestoreRequest.of({**asked, "degradation": degradation}, describe_forms())


@pytest.mark.parametrize(("given", "written"), [("0,1234567", "0,1234567"), ("-0.1,1e-7", "-0.1,1e-07")])
def test_the_command_has_the_range_of_the_page(given, written):
    asked = {"picture": upload("a.npy", b""), "simulate": False, "degradation": BLUR, "range": given}
    request = RestoreRequest.of(asked, describe_forms())
    shell = restore_commands(request, truth="", out="x.npy", size=None)["shell"]
    assert f" --range={written} " in shell


def test_serving_says_where_and_refuses_a_taken_port_and_a_missing_model(page, monkeypatch):
    monkeypatch.setattr(Lab, "serve_forever", lambda _: pytest.fail("it serves"))
    with pytest.raises(ConfigError, match=r"cannot listen at 127.0.0.1, port \d+: .*; give another --port"):
        serve("127.0.0.1", page.lab.server_port, browser=False)
    with pytest.raises(CheckpointError, match="runs/none"):
        serve("127.0.0.1", 0, models=["runs/none"], browser=False)


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_serving_other_machines_is_warned_of(host, warned, monkeypatch):
    monkeypatch.setattr(Lab, "serve_forever", lambda _: None)
    said = []
    serve(host, 0, device="cpu", browser=False, say=said.append)
    assert said[0].startswith("the lab is at http://127.0.0.1:")
    assert (
        said[1:]
        == [f"warning: anyone who can reach {host} can use the lab, without a password; they see none of your files"]
        * warned
    )
