"""Chromium without a window, for the tests of the report and of the lab."""

from __future__ import annotations

import os
import shutil

import pytest


def find_files():
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        missing = "the report and the lab are tested in Chromium: install chromium and chromium-driver"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    return browser, driver


def start(profile):
    """Start the browser with a folder for its profile; its network is watched."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    binary, driver = find_files()
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    quiet = "headless=new no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    for flag in f"{quiet} disable-component-update disable-sync disable-dev-shm-usage window-size=1280,1000".split():
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={profile}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    chrome.execute_cdp_cmd("Network.enable", {})
    return chrome
