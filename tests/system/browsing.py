"""A headless Chromium on the sandbox's page, and what a person does there."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from ..sandbox.calling import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from selenium.webdriver.remote.webelement import WebElement

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """Run Debian's Chromium with a profile of its own; both programs are found on the PATH, nothing is downloaded."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.fail("install Debian's packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    running = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield running
    finally:
        running.quit()


class Page:
    """The status page in a browser."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser = browser

    def open(self, url: str) -> None:
        self.browser.get(url)
        wait_until(lambda: self.text("#live") == "live")

    def look(self, width: int = 1280, height: int = 800, *, scheme: str = "light") -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def one(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """What a person reads there; nothing, where it is hidden."""
        return self.one(selector).text

    def rows(self, table: str) -> list[list[str]]:
        """The cells of a table's body."""
        cells = "[...row.cells].map(cell => cell.innerText.trim())"
        script = f"return [...document.querySelectorAll(arguments[0])].map(row => {cells})"
        rows: list[list[str]] = self.run(script, f"{table} tbody tr")
        return rows

    def titles(self, selector: str) -> list[str]:
        titles: list[str] = self.run("return [...document.querySelectorAll(arguments[0])].map(n => n.title)", selector)
        return titles

    def move(self, number: str, move: str) -> None:
        self.one(f'#orders tr[data-key="{number}"] [data-move="{move}"]').click()

    def moves(self, number: str) -> list[str]:
        """The buttons that an order has now."""
        buttons = self.browser.find_elements(By.CSS_SELECTOR, f'#orders tr[data-key="{number}"] button')
        return [button.text for button in buttons if button.is_displayed()]

    def colour(self, selector: str, of: str = "color") -> tuple[int, int, int]:
        """Red, green and blue, each 0 to 255."""
        value: str = self.run(
            "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]", selector, of
        )
        red, green, blue = (int(part) for part in value.strip("rgba()").split(",")[:3])
        return red, green, blue

    def run(self, script: str, *arguments: object) -> Any:
        return self.browser.execute_script(script, *arguments)

    def complaints(self) -> list[str]:
        """What the browser's console has said since it was asked last."""
        entries: list[dict[str, str]] = self.browser.get_log("browser")  # type: ignore[no-untyped-call]  # theirs
        return [entry["message"] for entry in entries]

    def refreshed(self, times: int = 2) -> None:
        """Return when the page has asked for the state again."""
        asked = "return performance.getEntriesByName(location.origin + '/state').length"
        before = self.run(asked)
        wait_until(lambda: self.run(asked) >= before + times)


def soon(read: Callable[[], object], wanted: object) -> None:
    """Return once the page shows it; the page asks for news once a second."""
    try:
        wait_until(lambda: read() == wanted)
    except AssertionError:
        assert read() == wanted
