"""The page in a real browser: it must update itself, be operable, and run nothing of others."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Page, async_playwright, expect

from shortlist.runtime.http_server import serve
from shortlist.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.applications import Starlette

    from testkit.clients.dashboard import Applicants

pytestmark = pytest.mark.browser

QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]


def chromium() -> str:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.fail("Chromium is missing: apt-get install chromium, or leave out -m browser.")
    return path


@pytest.fixture
async def address(dashboard: Starlette) -> AsyncIterator[str]:
    settings = Settings(host="127.0.0.1", port=0, drain_timeout_seconds=1)
    async with serve(dashboard, settings) as server:
        yield f"http://127.0.0.1:{server.port}/"


@pytest.fixture
async def page(address: str) -> AsyncIterator[Page]:
    """A tab that is closed before the server goes: it looks for updates as long as it is open."""
    assert address
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=QUIET)
        page = await browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(error.message))
        yield page
        await browser.close()
    assert complaints == []  # the content policy's complaints come here too


async def test_the_page_follows_an_application_by_itself(
    page: Page, address: str, applicants: Applicants
) -> None:
    await page.goto(address)
    await expect(page.get_by_text("Nothing has been submitted yet")).to_be_visible()

    await applicants.scored("Ada <b>Lovelace</b>", 71.5)

    row = page.get_by_role("row", name="Ada <b>Lovelace</b>")
    await expect(row).to_contain_text("71.50")
    await expect(row).to_have_attribute("data-status", "scored")


async def test_a_row_that_stays_keeps_the_focus(
    page: Page, address: str, applicants: Applicants
) -> None:
    first = await applicants.pending("Ada")
    await page.goto(address)
    link = page.get_by_role("link", name=first.hex[-8:])
    await link.focus()

    await applicants.pending("Grace")

    await expect(page.get_by_role("row", name="Grace")).to_be_visible()
    await expect(link).to_be_focused()


async def test_updates_can_be_paused_from_the_keyboard(
    page: Page, address: str, applicants: Applicants
) -> None:
    await page.goto(address)
    await page.get_by_role("button", name="Pause updates").press("Enter")
    await expect(page.get_by_role("status")).to_have_text("Updates are paused.")

    await applicants.pending("Ada")
    await page.wait_for_timeout(1500)  # longer than between two updates
    await expect(page.get_by_role("row", name="Ada")).to_have_count(0)

    await page.get_by_role("button", name="Pause updates").press("Enter")
    await expect(page.get_by_role("row", name="Ada")).to_be_visible()


async def test_the_page_works_without_scripts(address: str, applicants: Applicants) -> None:
    await applicants.scored("Ada", 71.5)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=QUIET)
        page = await browser.new_page(java_script_enabled=False)
        await page.goto(address)
        await expect(page.get_by_role("row", name="Ada")).to_contain_text("71.50")
        await expect(page.get_by_text("Reload the page")).to_be_visible()
        await expect(page.get_by_role("button")).to_have_count(0)
        await browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_stands_out_from_its_background(
    page: Page, address: str, applicants: Applicants, scheme: str
) -> None:
    """At least 4.5 : 1 (WCAG 2.2, 1.4.3), computed from what the browser really shows."""
    await applicants.pending("Ada")
    await applicants.scoring("Grace")
    await applicants.scored("Alan", 71.5)
    await applicants.failed("Eve", "the model refused")
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    await page.goto(address)
    assert await page.evaluate(WORST_CONTRAST) >= 4.5


@pytest.mark.parametrize("width", [320, 768, 1280])
async def test_the_page_never_scrolls_sideways(
    page: Page, address: str, applicants: Applicants, width: int
) -> None:
    await applicants.scored("A very long name " + "without end" * 9, 71.5)
    await page.set_viewport_size({"width": width, "height": 800})
    await page.goto(address)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width


WORST_CONTRAST = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = parse(colour).slice(0, 3).map((value) => {
      const c = value / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((parse(colour)[3] ?? 1) > 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = [...document.querySelectorAll("body *")].filter((element) =>
    element.checkVisibility() &&
    [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
  return Math.min(...texts.map((element) => {
    const [dark, light] = [getComputedStyle(element).color, background(element)]
      .map(luminance).sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  }));
}"""
