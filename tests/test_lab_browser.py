"""The lab in a real browser, on a server of its own as a user starts it, with a plugin beside it."""

from __future__ import annotations

import base64
import json
import re
import signal
import subprocess
import sys

import chromium
import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WAIT = 300  # seconds, at most
DROP = """
    const [data, name] = arguments, files = new DataTransfer();
    files.items.add(new File([Uint8Array.from(atob(data), c => c.charCodeAt(0))], name));
    for (const kind of ["dragenter", "dragover", "drop"])
        document.body.dispatchEvent(new DragEvent(kind, {dataTransfer: files, bubbles: true, cancelable: true}));
"""
PLUGIN = '''
import rgmkit
from rgmkit_noise.noise import GaussianNoise

class Drizzle(GaussianNoise):
    """Noise.

    Args:
        drops: of rain.
    """

    def __init__(self, *, drops: int = 3, noise: float = 0.1):
        super().__init__(noise=noise)

@rgmkit.hookimpl
def rgmkit_components():
    return [rgmkit.Component("degradation", "drizzle", Drizzle, "A little rain")]
'''


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    plugin = tmp_path_factory.mktemp("lab") / "ops.py"
    plugin.write_text(PLUGIN)
    command = [sys.executable, "-m", "rgmkit", "lab", "--no-browser", "--port", "0", "--plugin", str(plugin)]
    lab = subprocess.Popen([*command, "--device", "cpu"], stderr=subprocess.PIPE, text=True)
    assert lab.stderr
    said = lab.stderr.readline()
    yield re.search(r"http://\S+", said)[0]
    lab.send_signal(signal.SIGINT)
    assert lab.wait(30) == 0
    assert lab.stderr.read() == "the lab has ended\n"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chrome = chromium.start(tmp_path_factory.mktemp("profile"))
    yield chrome
    chrome.quit()


class Tab:
    """A tab with the lab."""

    def __init__(self, browser, address):
        self.browser, self.address = browser, address
        browser.get(address)
        self.wait("document.body.dataset.ready")

    def __call__(self, name):
        return self.browser.find_element("id", name)

    def read(self, script, *given):
        return self.browser.execute_script(f"return {script}", *given)

    def wait(self, script):
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.browser, WAIT, 0.05).until(lambda _: self.read(script))

    def choose(self, name, value):
        script = "const [id, value] = arguments, select = document.getElementById(id); select.value = value;"
        kind = "select.type === 'range' ? 'input' : 'change'"
        self.browser.execute_script(f"{script} select.dispatchEvent(new Event({kind}, {{bubbles: true}}))", name, value)

    def give(self, path):
        """Give the picture, and wait until it is shown or refused."""
        self.browser.execute_script("document.getElementById('status').textContent = 'Reading'")
        self("file").send_keys(str(path))
        self.wait("!document.getElementById('status').textContent.startsWith('Reading')")

    def run(self):
        self("run").click()
        self.wait("!document.getElementById('run').disabled")

    def status(self):
        return self("status").text

    def numbers(self):
        return dict(
            line.split("\n")
            for line in self.read("[...document.querySelectorAll('#numbers > div')].map(d => d.innerText)")
        )


@pytest.fixture
def tab(browser, address):
    """The lab, freshly opened; afterwards: nothing complained, nothing was asked of another server."""
    for log in ("browser", "performance"):
        browser.get_log(log)
    yield Tab(browser, address)
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert urls and all(url.startswith((address, "data:", "blob:")) for url in urls)
    refused = [entry["message"] for entry in browser.get_log("browser") if "422" not in entry["message"]]
    assert refused == []


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    from skimage import data

    path = tmp_path_factory.mktemp("photo") / "my photo.png"
    Image.fromarray(data.camera()[100:196, 200:296]).save(path)
    return path


def test_a_picture_is_dropped_degraded_and_restored(tab, photo):
    tab.browser.execute_script(DROP, base64.b64encode(photo.read_bytes()).decode(), photo.name)
    tab.wait("document.getElementById('picture-name').textContent === 'my photo.png'")
    assert tab("veil").is_displayed() is False and tab("picture-facts").text == "96 × 96, grey, 8 bits"
    tab.choose("choose-degradation", "blur")
    tab.choose("choose-prior", "tv")
    tab.run()
    before, after = map(float, re.findall(r"[\d.]+", tab.numbers()["PSNR"]))
    assert after > before + 1 and tab.numbers()["Network evaluations"] == "0" and tab.status() == ""
    assert tab("shell").text.splitlines()[0] == (
        "rgmkit degrade 'my photo.png' -d blur --noise 0.02 -o measurement.npy"
    )
    assert "rgmkit.restore(y, degradation, 'tv')" in tab("python").text
    saved = tab.read("[...document.querySelectorAll('#downloads a')].map(a => a.textContent)")
    assert saved == ["my photo-restored.png", "measurement.npy"]


def test_the_divider_moves_by_mouse_and_keys(tab, photo):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    tab.give(photo)
    tab.choose("choose-prior", "tikhonov")
    tab.run()
    stage, divider = tab("stage"), tab("divider")

    def cut():
        return re.findall(r"([\d.]+)%", tab.read("getComputedStyle(document.getElementById('over')).clipPath"))

    assert cut() == ["50"]
    divider.send_keys(Keys.ARROW_RIGHT * 3)
    assert cut() == ["53"]
    width = stage.size["width"]
    actions = ActionChains(tab.browser, duration=20).move_to_element_with_offset(stage, 0, 0).click_and_hold()
    actions.move_to_element_with_offset(stage, round(width / 4), 0).release().perform()
    assert abs(float(divider.get_property("value")) - 75) <= 1
    titles = tab.read("[...document.getElementById('right').options].map(option => option.textContent)")
    assert titles == ["measurement", "estimate", "true image"]
    tab.choose("right", "truth")
    assert tab.read("document.querySelector('#over img').alt") == "true image"


def test_the_zoom_follows_the_pointer_and_the_keys(tab, photo):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    tab.give(photo)
    tab.choose("choose-prior", "tikhonov")
    tab.run()
    tab.choose("zoom", "4")
    stage = tab("stage")

    def look():
        return tab.read(
            "['#under img', '#over img'].map(s => getComputedStyle(document.querySelector(s)))"
            ".map(s => [s.transform, ...s.transformOrigin.split(' ').map(parseFloat)])"
        )

    width = stage.size["width"]
    ActionChains(tab.browser, duration=20).move_to_element_with_offset(stage, round(width / 4), 0).perform()
    under, over = look()
    assert under == over and under[0] == "matrix(4, 0, 0, 4, 0, 0)" and abs(under[1] / width - 0.75) < 0.02
    stage.send_keys(Keys.ARROW_LEFT)
    assert look()[0][1] / width == pytest.approx(under[1] / width - 0.05, abs=0.001)
    assert tab("divider").get_property("value") == "50"


def start_long_run(tab):
    tab.choose("choose-prior", "tv")
    tab.choose("choose-solver", "admm")
    tab("solver-iterations").send_keys("100000")
    tab("solver-tolerance").send_keys("0")
    tab("run").click()


def test_a_run_is_cancelled(tab):
    start_long_run(tab)
    tab.wait("document.querySelector('#under img').alt === 'the estimate so far'")
    assert re.fullmatch(r"Step \d+ of 100000 …", tab.status())
    tab("cancel").click()
    tab.wait("!document.getElementById('run').disabled")
    assert tab.status() == "Cancelled." and not tab("progress").is_displayed()


def test_a_second_tab_waits_and_says_so(tab, address):
    first = tab.browser.current_window_handle
    start_long_run(tab)
    tab.wait("document.getElementById('status').textContent.startsWith('Step')")
    tab.browser.switch_to.new_window("tab")
    second = Tab(tab.browser, address)
    second.choose("choose-prior", "tikhonov")
    second("run").click()
    second.wait("document.getElementById('status').textContent.startsWith('Waiting')")
    assert second.status() == "Waiting: the lab runs one job at a time, and yours is next."
    tab.browser.switch_to.window(first)
    tab("cancel").click()
    tab.browser.switch_to.window(next(handle for handle in tab.browser.window_handles if handle != first))
    second.wait("!document.getElementById('run').disabled")
    assert "PSNR" in second.numbers()
    tab.browser.close()
    tab.browser.switch_to.window(first)


def test_a_grid_is_generated(tab):
    tab("tab-generate").click()
    assert tab("prior-legend").text == "Model" and not tab("picture-field").is_displayed()
    tab.run()
    assert tab.numbers()["Images"] == "16 of 1 × 16 × 16"
    assert tab.read("document.querySelector('#under img').decode().then(() => true)")
    assert tab("shell").text == "rgmkit generate digits -n 16 --seed 0 -o generated.png"


def test_a_plugin_beside_it_has_a_form(tab, photo):
    tab.give(photo)
    tab.choose("choose-degradation", "drizzle")
    assert "A little rain" in tab("summary-degradation").text
    field = tab("degradation-drops")
    assert field.get_property("type") == "number" and field.get_property("placeholder") == "3"
    assert tab("noise-std").get_property("value") == "0.1"  # its default
    field.send_keys("5")
    tab.choose("choose-prior", "tikhonov")
    tab.run()
    assert "-d drizzle:drops=5 --noise 0.1" in tab("shell").text


def test_what_is_no_picture_or_too_large_is_said(tab, tmp_path):
    text, wide = tmp_path / "notes.txt", tmp_path / "wide.png"
    text.write_text("Dear diary")
    Image.fromarray(np.zeros((10, 100_000), bool)).save(wide)
    tab.give(text)
    assert tab.status() == "notes.txt is not a picture that can be read: give PNG, JPEG, TIFF or .npy"
    tab.give(wide)
    assert tab.status().startswith("wide.png has 100000 x 10 pixels, and the lab takes 16 million")
    tab("run").click()
    tab.wait("document.getElementById('status').textContent.startsWith('Drop')")
    assert tab.status() == "Drop a picture on the page, or pick a sample"


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_a_screen_of_any_width_scrolls_down_only(tab, photo, width):
    screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    tab.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    tab.give(photo)
    tab.choose("choose-prior", "tikhonov")
    tab.run()
    assert tab.read("document.documentElement.scrollWidth") <= width
    tab.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_every_field_has_a_name(tab):
    for mode in ("simulate", "measured", "generate"):
        tab(f"tab-{mode}").click()
        assert (
            tab.read("""[...document.querySelectorAll('input, select, button')]
            .filter(e => e.checkVisibility() && !(e.labels?.length || e.ariaLabel || e.innerText))
            .map(e => e.outerHTML)""")
            == []
        )


def test_the_tabs_follow_the_arrow_keys(tab):
    from selenium.webdriver.common.keys import Keys

    tab("tab-simulate").send_keys(Keys.ARROW_RIGHT)
    assert tab.read("document.activeElement.id") == "tab-measured" and tab("range").get_property("value") == ""
    assert tab("choose-noise").get_property("value") == "unknown"
    tab.browser.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    assert tab.read("document.body.dataset.mode") == "simulate"
