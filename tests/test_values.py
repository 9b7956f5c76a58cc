"""Values of any range, and arrays of any layout: the same pictures as scaled and cut by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import rgmkit
import rgmkit.resolve
from rgmkit.adapters import split_complex
from rgmkit.core.degradation import Degradation
from rgmkit.errors import ConfigError, DataError, IncompatibleError, RangeWarning
from rgmkit.images.array_layout import unpack
from rgmkit.inference import restore
from rgmkit.solvers import sampling

TV = {"prior": "tv:weight=3", "solver": "admm:iterations=3"}
BLUR = "blur:std=1,noise=0.05"


def picture(*shape, seed=0):
    """A smooth random picture in [0, 1]."""
    x = np.random.default_rng(seed).random(shape)
    for axis in (-1, -2):
        x = (x + np.roll(x, 1, axis) + np.roll(x, 2, axis)) / 3
    return x


class Half(Degradation):
    """Loses half of the light of the left half."""

    def A(self, x):
        return torch.cat([x[..., :4] / 2, x[..., 4:]], -1)


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [(0, 4095, np.float32), (0, 65535, np.float64), (-1, 1, np.float32), (-1024, 3071, np.int16), (0, 1e6, np.uint32),
     (100, 4095, np.uint16), (0, 100, np.int64)],
)  # fmt: skip
def test_a_range_gives_the_picture_that_is_scaled_by_hand(low, high, dtype):
    whole = np.dtype(dtype).kind in "iu"
    values = low + (high - low) * picture(16, 18)
    y = (np.rint(values) if whole else values).astype(dtype)
    floats = np.float32 if whole else dtype
    by_hand = restore(((y.astype(float) - low) / (high - low)).astype(floats), BLUR, **TV).x
    solution = restore(y, BLUR, **TV, range=(low, high))
    assert (solution.x.dtype, solution.x.shape) == (y.dtype, y.shape)
    scaled = (solution.x.astype(float) - low) / (high - low)
    np.testing.assert_allclose(scaled, by_hand, atol=(0.5 / (high - low) if whole else 0) + 1e-5)
    assert f"a standard deviation of {0.05 * (high - low):.4g}" in "".join(solution.notes)


def test_the_range_is_that_of_the_image_whatever_the_operator_does_to_black():
    x = picture(16, 18)
    y = Half()(torch.from_numpy(-1 + 2 * x)[None])[0].numpy()
    np.testing.assert_allclose(restore(y, Half(noise=0.01), range=(-1, 1)).x, -1 + 2 * x, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int8])
def test_the_ends_of_a_type_come_back(dtype):
    ends = np.iinfo(dtype)
    array = np.array([[ends.min, ends.max]], dtype)
    x, layout = unpack(array, range=(ends.min, ends.max))
    assert x.flatten().tolist() == [0, 1]
    assert (layout.pack(x) == array).all() and (layout.pack(3 * x - 1) == array).all()


def test_samples_and_their_std_are_in_units_of_the_range():
    y = torch.from_numpy(picture(1, 16, 16)).float()
    one = restore(y, "gaussian-noise:noise=0.2", "digits", samples=4)
    many = restore(4095 * y, "gaussian-noise:noise=0.2", "digits", samples=4, range=(0, 4095))
    for name in ("x", "std", "samples"):
        torch.testing.assert_close(getattr(many, name) / 4095, getattr(one, name), atol=1e-3, rtol=0)


@pytest.mark.parametrize("given", [(0, 0), (1, 0), (0, float("nan")), (0, float("inf")), 4095, "0,1", (0, 1, 2)])
def test_what_is_no_range_is_refused(given):
    with pytest.raises(ConfigError, match=r"range is .*: give two finite numbers"):
        restore(np.zeros((8, 8)), "gaussian-noise", range=given)


def test_noise_in_units_of_the_range_is_refused_with_the_right_number():
    with pytest.raises(ConfigError, match=r"relative to the range 0 … 4095: .* of 82 in its units give noise=0.02002"):
        restore(np.zeros((8, 8)), "gaussian-noise:noise=82", "tv", range=(0, 4095))
    per_channel = rgmkit.degradation("gaussian-noise", noise=rgmkit.noise("per-channel", std=[25, 30]))
    for degradation, shape in (("gaussian-noise:noise=25", (8, 8)), (per_channel, (8, 8, 2))):
        with pytest.raises(
            ConfigError, match=r"relative to the range of the type: .* of 25 in 8 bits give noise=0.098"
        ):
            restore(np.zeros(shape, np.uint8), degradation, "tv", axes="YXC"[: len(shape)])


@pytest.mark.parametrize(
    ("scale", "shift", "guess"),
    [(4095, 0, "0,4095"), (65535, 0, "0,65535"), (2, -1, "-1,1"), (100, 0, "0,100"), (0.01, 0, "0,1")],
)
def test_floats_outside_0_to_1_are_questioned(scale, shift, guess, photo):
    y = scale * photo[0, 0].numpy() + shift
    with pytest.warns(RangeWarning, match=f"give the values of black and white, such as .* or --range {guess}"):
        solution = restore(y, "blur:noise=0.05", "tv", solver="admm:iterations=1")
    assert "range=" in solution.notes[0]


def test_a_range_that_does_not_fit_the_values_is_noted(photo, recwarn):
    y = 4095 * photo[0, 0].numpy()
    notes = restore(y, "blur:noise=0.05", "tv", solver="admm:iterations=1", range=(0, 255)).notes
    assert "its range is 0 … 255: are these black and white?" in notes[1]
    for fits in ((0, 4095), (0, 1)):
        assert "black and white" not in "".join(
            restore(y, "blur:noise=0.05", "tv", solver="admm:iterations=1", range=fits).notes
        )
    assert not [w for w in recwarn if w.category is RangeWarning]


@pytest.mark.parametrize(
    ("operator", "noise"),
    [("gaussian-noise", 0.8), ("blur:std=1", 0.3), ("downsample:factor=2", 0.3), ("inpaint", 0.1), ("doubled", 0.02)],
)
def test_noise_and_the_gain_of_an_operator_raise_no_question(operator, noise, recwarn):
    class Double(Degradation):
        def A(self, x):
            return 2 * x

    degradation = (Double() if operator == "doubled" else rgmkit.degradation(operator)).with_noise(noise)
    x = torch.from_numpy(picture(1, 1, 32, 32)).float()
    y = degradation(x, generator=rgmkit.Streams(0, [0]))
    assert not restore(y, degradation, "tv", solver="admm:iterations=1").notes
    assert not [w for w in recwarn if w.category is RangeWarning]


def test_12_bits_in_16_are_noted_and_whole_numbers_of_other_types_need_a_range():
    y = (4095 * picture(16, 16)).astype(np.uint16)
    assert "if it has 12 bits, give its range, 0,4095" in restore(y, BLUR, **TV).notes[0]
    assert "12 bits" not in "".join(restore(y, BLUR, **TV, range=(0, 4095)).notes)
    assert not restore(16 * y, BLUR, **TV).notes
    with pytest.raises(DataError, match=r"y holds int16, .*: give the values of black and white, range="):
        restore(y.astype(np.int16), BLUR, **TV)


AXES = {
    "ZYX": (5, 12, 10), "YXZ": (12, 10, 5), "CYX": (5, 12, 10), "YXC": (12, 10, 4), "TCYX": (2, 4, 12, 10),
    "BTZYX": (2, 2, 2, 12, 10), "XY": (10, 12), "TYXC": (3, 12, 10, 1),
}  # fmt: skip


@pytest.mark.parametrize("as_tensor", [False, True], ids=["array", "tensor"])
@pytest.mark.parametrize("axes", AXES)
def test_every_frame_and_band_is_restored(axes, as_tensor):
    y = picture(*AXES[axes]).astype(np.float32)
    x = restore(
        torch.from_numpy(y) if as_tensor else y,
        BLUR,
        "tv:weight=3,coupled=false",
        solver="admm:iterations=2",
        axes=axes,
    ).x
    assert type(x) is (torch.Tensor if as_tensor else np.ndarray) and x.shape == y.shape
    rows, columns = axes.index("Y"), axes.index("X")
    planes = np.moveaxis(y, (rows, columns), (-2, -1)).reshape(-1, 12, 10)
    restored = np.moveaxis(np.asarray(x), (rows, columns), (-2, -1)).reshape(-1, 12, 10)
    for plane, answer in zip(planes, restored, strict=True):
        np.testing.assert_allclose(answer, restore(plane, BLUR, "tv:weight=3", solver="admm:iterations=2").x, atol=5e-3)


def test_answers_of_another_size_or_number_of_channels_keep_the_axes():
    y = picture(3, 8, 10)
    assert restore(y, "downsample:factor=2", axes="ZYX").x.shape == (3, 16, 20)
    assert restore(y, "downsample:factor=2", axes="YXZ").x.shape == (6, 16, 10)
    grey = rgmkit.degradation("grayscale", noise=0.01)
    assert restore(y, grey, axes="ZYX").x.shape == (3, 8, 10, 3)
    assert restore(torch.from_numpy(y), grey, axes="ZYX").x.shape == (3, 3, 8, 10)


@pytest.mark.parametrize("options", [{}, {"range": (-1, 1)}], ids=["no range", "range"])
def test_a_measurement_that_does_not_fit_the_operator_is_refused_whatever_its_values(options):
    class Crop(Degradation):
        def A(self, x):
            return x[..., :4]

        def adjoint(self, y):
            return torch.stack([y])[:, :, :, :, 100]

    with pytest.raises(IncompatibleError, match=r"Crop maps an image of shape .* but the measurement has"):
        restore(np.full((8, 8), 5.0), Crop(noise=0.1), "tv", **options)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ("ZZYX", "axes is 'ZZYX'"),
        ("QYX", "axes is 'QYX'"),
        ("ZY", "Y and X"),
        ("YX", "axes YX are 2, and y has 3"),
        ("", "axes is ''"),
    ],
)
def test_axes_that_are_none_are_refused(axes, message):
    with pytest.raises((ConfigError, DataError), match=message):
        restore(np.zeros((3, 8, 8)), "gaussian-noise", axes=axes)


def test_the_last_of_4_channels_is_alpha_only_until_version_0_3():
    y = picture(12, 10, 4)
    with pytest.warns(FutureWarning, match='for bands give axes="YXC"'):
        solution = restore(y, BLUR, **TV)
    assert (solution.x[..., 3] == y[..., 3]).all() and "alpha" in solution.notes[0]
    bands = restore(y, BLUR, **TV, axes="YXC").x
    assert abs(bands[..., 3] - y[..., 3]).max() > 0.01


@pytest.mark.parametrize("options", [{}, {"samples": 4}], ids=["estimate", "samples"])
def test_a_large_stack_is_restored_a_few_images_at_a_time(options, monkeypatch):
    y = picture(5, 16, 16).astype(np.float32) + np.float32(0.1) * np.random.default_rng(1).standard_normal(
        (5, 16, 16), np.float32
    )
    given = ("gaussian-noise:noise=0.1", "digits")
    whole = restore(y, *given, axes="ZYX", **options)
    seen, sizes = [], []

    def follow(step, steps, x):
        seen.append((step, steps))
        sizes.append(len(x))

    monkeypatch.setattr(sampling, "CPU_VALUES", 2 * 256)
    parts = restore(y, *given, axes="ZYX", callback=follow, **options)
    np.testing.assert_allclose(parts.x, whole.x, atol=1e-4)  # the network amplifies rounding
    if options:
        np.testing.assert_allclose(parts.samples, whole.samples, atol=1e-4)
    assert (max(sizes), sizes[-1]) == (2, 1)
    assert seen[-1][0] == seen[-1][1] and [step for step, _ in seen] == sorted(step for step, _ in seen)
    assert parts.noise == 0.1 and parts.nfe == whole.nfe


def test_the_noise_of_many_images_is_noted_in_one_line():
    noise = np.linspace(0.02, 0.2, 6)[:, None, None] * np.random.default_rng(0).standard_normal((6, 32, 32))
    notes = restore(0.5 + noise, "gaussian-noise", "tv", solver="admm:iterations=1", axes="TYX").notes
    assert len(notes) == 1 and "for each of 6 images: std 0.0" in notes[0]


class Fourier(Degradation):
    """Half of the Fourier coefficients, complex."""

    def A(self, x):
        return torch.fft.fft2(x, norm="ortho")[..., ::2, :]

    def image_shape(self, y_shape):
        return (*y_shape[:-2], 2 * y_shape[-2], y_shape[-1])

    def embed(self, y):
        return torch.cat([y, y], -2)


@pytest.mark.parametrize("as_tensor", [False, True], ids=["array", "tensor"])
def test_complex_values_of_a_real_image_are_two_real_ones(as_tensor):
    operator, x = Fourier(noise=0.02), torch.from_numpy(picture(1, 1, 16, 18)).float()
    y = operator(x, generator=rgmkit.Streams(0, [0]))
    given = y if as_tensor else y[0, 0].numpy()
    estimate = restore(given, operator, "tikhonov:weight=1e-4").x
    assert estimate.shape == (tuple(x.shape) if as_tensor else (16, 18)) and estimate.dtype in (
        torch.float32,
        np.float32,
    )
    assert float((operator.A(torch.as_tensor(estimate).reshape(x.shape)) - y).abs().square().mean().sqrt()) < 0.02
    residual = restore(y, operator, "tikhonov", solver="admm:iterations=2").trace[-1]["residual"]
    assert residual < 0.1
    _, parts, _ = split_complex(y, operator, y.device)
    noise = parts(torch.zeros(1, 1, 64, 64), generator=rgmkit.Streams(0, [0]))
    assert float(noise.std()) == pytest.approx(0.02 / 2**0.5, rel=0.05)  # of each part
    scaled = restore(4095 * y, operator, "tikhonov:weight=1e-4", range=(0, 4095))
    torch.testing.assert_close(scaled.x / 4095, torch.as_tensor(estimate).reshape(x.shape), atol=1e-3, rtol=0)
    assert "noise=0.02 is relative" in scaled.notes[0]


@pytest.mark.parametrize("shape", [(16, 18), (1, 16, 18), (1, 1, 16, 18)])
def test_complex_images_of_deepinv_are_complex_again(shape):
    import deepinv

    mask = torch.zeros(1, 2, 16, 18)
    mask[..., ::2, :] = mask[..., :4, :] = 1
    operator = deepinv.physics.MRI(mask=mask, img_size=(2, 16, 18))
    x = torch.from_numpy(picture(1, 2, 16, 18)).float()
    y, solver = operator(x), "admm:iterations=2"
    degradation = rgmkit.resolve.resolve_degradation(operator).with_noise(0.01)
    two = restore(y, degradation, "tv", solver=solver).x
    k = torch.complex(y[0, 0], y[0, 1]).reshape(shape)
    estimate = restore(k if len(shape) > 2 else k.numpy(), degradation, "tv", solver=solver).x
    assert estimate.shape == shape and "complex64" in str(estimate.dtype)
    torch.testing.assert_close(torch.as_tensor(estimate).reshape(16, 18), torch.complex(two[0, 0], two[0, 1]))


def test_complex_values_of_a_component_of_deepinv_are_those_of_a_real_image():
    spec = "deepinv.MRI:shape=[16, 18],acceleration=2,noise=0.01"
    y = rgmkit.degradation(spec)(torch.from_numpy(picture(1, 1, 16, 18)).float(), generator=rgmkit.Streams(0, [0]))
    given = ("tv", {"use": "admm", "iterations": 2})
    estimate = restore(torch.complex(y[0, 0], y[0, 1]).numpy(), spec, given[0], solver=given[1]).x
    assert (estimate.shape, estimate.dtype) == ((16, 18), np.float32)
    torch.testing.assert_close(torch.from_numpy(estimate), restore(y, spec, given[0], solver=given[1]).x[0, 0])


def test_complex_values_take_every_noise_that_is_not_photons():
    x, prior = torch.from_numpy(picture(1, 1, 16, 18)).float(), "tikhonov:weight=1e-4"
    operator = Fourier(noise=0.02)
    y = operator(x, generator=rgmkit.Streams(0, [0]))
    expected = restore(y, operator, prior).x
    models = [
        rgmkit.noise("per-pixel", std=torch.full((8, 18), 0.02)),
        rgmkit.noise("per-channel", std=[0.02]),
        rgmkit.noise("correlated", kernel=np.ones((1, 1)), std=0.02),
    ]
    for noise in models:  # each the same as white noise
        torch.testing.assert_close(restore(y, operator.with_noise(noise), prior).x, expected, rtol=0, atol=1e-4)
        _, parts, _ = split_complex(y, operator.with_noise(noise), y.device)
        drawn = parts(x, generator=rgmkit.Streams(0, [0])) - parts.A(x)
        assert float(drawn.std()) == pytest.approx(0.02 / 2**0.5, rel=0.1)  # of each part
        torch.testing.assert_close(parts.noise.colour(parts.noise.whiten(drawn, drawn), drawn), drawn)
    with pytest.raises(IncompatibleError, match="photons are real, and the measurement is complex"):
        restore(y, operator.with_noise(rgmkit.noise("poisson", photons=30)), prior)


def test_complex_values_that_fit_no_operator_are_refused():
    y = torch.zeros(1, 1, 8, 8, dtype=torch.complex64)
    with pytest.raises(IncompatibleError, match=r"complex, of shape \(1, 1, 8, 8\), and Grayscale gives neither"):
        restore(y, "grayscale:noise=0.1", "tv")
    assert restore(y + 1j, Half(noise=0.1)).x.dtype == torch.complex64  # each part on its own
    with pytest.raises(ConfigError, match="complex values have no black"):
        restore(y, Fourier(noise=0.1), "tv", range=(-1, 1))
    with pytest.raises(DataError, match="give noise="):
        restore(y, Fourier(noise=None), "tv")


def test_gradients_flow_through_the_range_and_the_axes():
    y = (4095 * torch.from_numpy(picture(2, 8, 8)).float()).requires_grad_()
    gain = torch.nn.Parameter(torch.tensor(0.5))

    class Gain(Degradation):
        def __init__(self):
            super().__init__(noise=0.05)
            self.gain = gain

        def A(self, x):
            return self.gain * x

    options = {"axes": "ZYX", "range": (-1000, 4095), "differentiable": True}
    x = restore(y, Gain(), "tikhonov", solver="admm:iterations=2", **options).x
    by_gain, by_y = torch.autograd.grad(x.mean(), [gain, y])
    with torch.no_grad():
        gain += 1e-3
    shifted = restore(y, Gain(), "tikhonov", solver="admm:iterations=2", **options).x
    assert float(by_gain) == pytest.approx(float(shifted.detach().mean() - x.detach().mean()) / 1e-3, rel=0.02)
    assert by_y.shape == y.shape and float(by_y.sum()) > 0.5
