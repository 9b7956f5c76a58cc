from __future__ import annotations

import base64
import json
import re
from dataclasses import replace

import chromium
import numpy as np
import pytest
from small_run import PHOTOS, colours, make_run

from rgmkit.experiments.report import write_report
from rgmkit.experiments.results import Results
from rgmkit.images import read

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chrome = chromium.start(tmp_path_factory.mktemp("profile"))
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    chrome.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    yield chrome
    chrome.quit()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with a failed cell and a lost picture, and its records."""
    folder = tmp_path_factory.mktemp("run <1>")
    records = make_run(folder, seeds=(0, 1))
    records[-1] = replace(records[-1], error="IncompatibleError: <3> channels", after={}, path=[])
    (folder / records[0].pictures["restored"]).unlink()
    write_report(Results(folder, records, title="A <run> & more"))
    return folder, records


@pytest.fixture
def page(browser, run):
    """The report, freshly opened from the disk; afterwards: nothing complained, nothing was asked of a network."""
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get((run[0] / "report.html").as_uri())
    yield browser
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert urls and all(url.startswith(("file:", "data:")) for url in urls)
    assert browser.get_log("browser") == []


def choose(page, name, value):
    page.execute_script(
        "const [id, value] = arguments, select = document.getElementById(id); select.value = value;"
        "select.dispatchEvent(new Event(select.type === 'range' ? 'input' : 'change', {bubbles: true}))",
        name,
        str(value),
    )


def loaded(page):
    """The names and sizes of all pictures that are shown, when they are decoded."""
    return page.execute_async_script(
        "const done = arguments[0], all = [...document.images];"
        "Promise.allSettled(all.map(image => image.decode()))"
        ".then(() => done(all.map(image => [image.alt, image.naturalWidth, image.src])))"
    )


def style(page, element, name):
    """The value of a number that the script hands to the style sheet."""
    return float(
        page.execute_script("return getComputedStyle(arguments[0]).getPropertyValue(arguments[1])", element, name)
    )


def pixels(page, selector):
    return colours(page.find_element("css selector", selector).screenshot_as_png).astype(int)


def test_every_choice_shows_its_pictures(page, run):
    folder, _ = run
    assert page.find_element("css selector", "h1").text == "A <run> & more"
    assert len(page.find_elements("css selector", "svg.plot")) == 2
    seen = {}
    for place in np.ndindex(2, 2, 2):
        for name, value in zip(("degradation", "image", "seed"), place, strict=True):
            choose(page, name, value)
        images = loaded(page)
        assert images and all(width > 0 for _, width, _ in images)
        seen[place] = {alt: source for alt, _, source in images}
        path = f"pictures/{list(PHOTOS)[place[1]]}"
        for alt, file in (("truth", path), ("measurement", f"{path}-{place[0]}-{place[2]}")):
            shown = base64.b64decode(seen[place][alt].partition(",")[2])
            assert shown == (folder / f"{file}.png").read_bytes()
    gaps = page.find_elements("css selector", "#row .gap")
    assert [gap.text for gap in gaps] == ["failed: IncompatibleError: <3> channels"]
    for name in ("degradation", "image", "seed"):
        choose(page, name, 0)
    assert "does not exist" in page.find_element("css selector", "#row .gap").text
    assert "smooth" not in seen[0, 0, 0] and "smooth" in seen[0, 0, 1]
    page.find_element("id", "next").click()
    assert page.find_element("id", "image").get_property("value") == "1"
    assert {alt: source for alt, _, source in loaded(page)} == seen[0, 1, 0]


def test_degradation_and_image_are_of_the_same_set(browser, tmp_path):
    records = [replace(record, set=record.image[0]) for record in make_run(tmp_path)]
    write_report(Results(tmp_path, sorted(records, key=lambda record: record.set)))
    browser.get((tmp_path / "report.html").as_uri())

    def chosen():
        return [browser.find_element("id", name).get_property("value") for name in ("degradation", "image")]

    choose(browser, "degradation", 2)
    assert chosen() == ["2", "1"] and loaded(browser)
    choose(browser, "image", 0)
    assert chosen() == ["0", "0"]
    browser.find_element("id", "next").click()
    assert chosen() == ["2", "1"]


def test_the_divider_moves(page):
    from selenium.webdriver.common.keys import Keys

    choose(page, "image", 1)
    choose(page, "right", 2)
    loaded(page)
    shots = {}
    for value in (0, 50, 100):
        choose(page, "divider", value)
        clip = page.execute_script("return getComputedStyle(document.getElementById('over')).clipPath")
        assert re.findall(r"[\d.]+%", clip) == [f"{value}%"]
        shots[value] = pixels(page, "#stage")
    width, edge = shots[0].shape[1], 12  # of the divider itself
    half = width // 2
    assert np.abs(shots[0] - shots[100])[:, edge:-edge].mean() > 4  # smoothed noise and noise
    assert (shots[50][:, edge : half - edge] == shots[100][:, edge : half - edge]).all()  # measured
    assert (shots[50][:, half + edge : -edge] == shots[0][:, half + edge : -edge]).all()  # restored
    divider = page.find_element("id", "divider")
    choose(page, "divider", 50)
    divider.send_keys(Keys.ARROW_RIGHT * 3)
    assert divider.get_property("value") == "53"
    stage = page.find_element("id", "stage")
    assert style(page, stage, "--cut") == 53
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", stage)
    drag(page, stage, (-0.3, 0), (0.25, 0))
    assert abs(float(divider.get_property("value")) - 75) <= 1


def drag(page, element, start, end):
    """Press at `start`, move to `end` (from the centre, in parts of the size), let go."""
    from selenium.webdriver import ActionChains

    width, height = element.size["width"], element.size["height"]
    at = [(round(x * width), round(y * height)) for x, y in (start, end)]
    actions = ActionChains(page, duration=20).move_to_element_with_offset(element, *at[0]).click_and_hold()
    actions.move_to_element_with_offset(element, *at[1]).release().perform()


def test_one_zoom_for_all_pictures(page, run):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    choose(page, "image", 1)
    loaded(page)
    row, frames = page.find_element("id", "row"), page.find_elements("css selector", "#row .frame")
    images = page.find_elements("css selector", "#row .frame img, #stage img")
    assert len(frames) == 7 and len(images) == 9  # four pictures, three error maps, two at the divider
    assert {image.value_of_css_property("transform") for image in images} == {"none"}
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", frames[0])
    ActionChains(page, duration=20).move_to_element(frames[1]).perform()  # hovers
    assert {image.value_of_css_property("transform") for image in images} == {"matrix(4, 0, 0, 4, 0, 0)"}
    ActionChains(page, duration=20).move_to_element(page.find_element("css selector", "h2")).perform()
    assert {image.value_of_css_property("transform") for image in images} == {"none"}
    row.send_keys(Keys.ENTER)
    assert page.find_element("id", "hold").get_attribute("aria-pressed") == "true"
    choose(page, "factor", 8)
    for _ in range(2):
        u, v = (style(page, row, name) for name in ("--u", "--v"))
        for frame, name in zip((frames[0], frames[1]), ("camera", "camera-0-0"), strict=True):  # truth and measurement
            image = read(run[0] / f"pictures/{name}.png").x[0, 0].numpy() * 255
            shown = colours(frame.screenshot_as_png)[..., 0]
            rows, columns = (
                (n * (part + ((np.arange(length) + 0.5) / length - part) / 8)).astype(int)
                for n, part, length in zip(image.shape, (v, u), shown.shape, strict=True)
            )
            same = np.abs(image[np.ix_(rows, columns)] - shown) < 1
            assert same.mean() > 0.85  # all but the mark, the corners and the edges of pixels
        row.send_keys(Keys.ARROW_RIGHT * 2 + Keys.ARROW_UP)
        assert style(page, row, "--u") == pytest.approx(u + 0.05)
    row.send_keys(Keys.ESCAPE)
    assert {image.value_of_css_property("transform") for image in images} == {"none"}


def test_a_narrow_screen_scrolls_down_only(page):
    screen = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    loaded(page)
    wide = page.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    hint = page.find_element("css selector", ".narrow")
    assert hint.is_displayed() and hint.text == "Wide tables scroll sideways."
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide[0] <= wide[1] == 390
    assert not hint.is_displayed()


def test_the_policy_of_the_page_keeps_it_off_the_network(browser, run):
    browser.get((run[0] / "report.html").as_uri())
    stopped = browser.execute_async_script(
        "const [done] = arguments, stopped = [];"
        "document.addEventListener('securitypolicyviolation', event => {"
        "  stopped.push(event.effectiveDirective); if (stopped.length === 3) done(stopped.sort()) });"
        "fetch('http://127.0.0.1:9/').catch(() => null);"
        "new Image().src = 'http://127.0.0.1:9/a.png';"
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = true'}))"
    )
    assert stopped == ["connect-src", "img-src", "script-src-elem"]
    assert browser.execute_script("return window.ran") is None
