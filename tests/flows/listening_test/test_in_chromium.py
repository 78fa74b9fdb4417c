"""Real sessions in headless Chromium: by keyboard on a desktop, by touch on a phone, and what axe says of every page."""

from __future__ import annotations

import re
import threading
import time

import pytest
import uvicorn
from playwright.sync_api import Page, expect, sync_playwright

from flows.listening_test.command import _listener
from tests.chromium import chromium as path_of_chromium

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PATIENCE_MS = 60_000  # of a busy machine; half a second of sound takes seconds there
expect.set_options(timeout=PATIENCE_MS)
FINGER_PX = 44
"""Smallest target for a finger: WCAG 2.2, success criterion 2.5.5."""


@pytest.fixture(scope="module")
def chromium():
    path = path_of_chromium()
    with sync_playwright() as playwright:
        # root in a container has no sandbox; sound is rendered, to nobody
        yield playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--mute-audio"])


@pytest.fixture
def on_air(served):
    """on_air(**settings) -> (link, answer book), served on a free port of this machine."""
    servers = []

    def make(**settings):
        app, book, _, _ = served(**{"pairs_per_rater": 2, "attention_checks": 1, **settings})
        listener = _listener("127.0.0.1", 0)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
        servers.append((server, thread := threading.Thread(target=server.run, kwargs={"sockets": [listener]})))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        return f"http://127.0.0.1:{listener.getsockname()[1]}/t/{book.token()}/", book

    yield make
    for server, thread in servers:
        server.should_exit = True
        thread.join()


@pytest.fixture
def open_page(chromium):
    """open_page(**context) -> Page that notes what it complains of and what it fetches from elsewhere."""
    contexts = []

    def make(**options) -> Page:
        contexts.append(context := chromium.new_context(**options))
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: request.url.startswith(("http://127.0.0.1:", "data:")) or complaints.append(request.url),
        )
        return page

    complaints: list[str] = []
    yield make
    for context in contexts:
        context.close()
    assert complaints == []


def hear(page: Page, *names: str) -> None:
    """Play clips to their ends by their keys."""
    for name in names:
        page.keyboard.press(name)
        said = page.locator(f"#heard-{ {'1': 'first', '2': 'second', 'x': 'x'}[name] }")
        expect(said).to_have_text("heard")


def violations(page: Page) -> list[str]:
    """What axe finds against WCAG 2.2 AA and its best practices."""
    from axe_playwright_python.sync_playwright import Axe

    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in Axe().run(page).response["violations"]]


def test_a_session_by_keyboard_is_kept_and_goes_on_after_a_break(on_air, open_page):
    link, book = on_air()
    page = open_page(**DESKTOP)
    page.goto(link)
    page.get_by_role("button", name="Start").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading")).to_be_focused()
    hear(page, "1", "2")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="Choose 2")).to_be_checked()
    page.keyboard.press("Enter")
    expect(page).to_have_title("Pair 2 of 3")

    later = open_page(**DESKTOP, storage_state=page.context.storage_state())
    later.goto(link)
    later.get_by_role("link", name="Go on with pair 2 of 3").click()
    for choice in ("ArrowLeft", "ArrowRight"):
        hear(later, "1", "2")
        later.keyboard.press(choice)
        later.keyboard.press("Enter")
        later.wait_for_load_state()
        expect(later).not_to_have_title("Pair 2 of 3")
    expect(later.get_by_role("heading", name="Thank you")).to_be_visible()

    (session,) = book.sessions()
    places = [trial.first == answer.picked for trial, answer in zip(session.plan, session.answers, strict=True)]
    assert places == [False, True, False]
    assert all(a.plays_first == a.plays_second == 1 and a.response_ms >= 900 for a in session.answers)


def test_a_phone_shows_all_of_a_trial_and_takes_an_answer_by_touch(on_air, open_page):
    link, book = on_air(design="abx")
    page = open_page(**PHONE)
    page.goto(link)
    page.get_by_role("button", name="Start").tap()
    expect(page).to_have_title("Pair 1 of 3")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for target in (*page.get_by_role("button").all(), *page.locator("label.choice").all()):
        box = target.bounding_box()
        assert box["height"] >= FINGER_PX and box["y"] + box["height"] <= PHONE["viewport"]["height"]
    page.get_by_role("button", name="Next").tap()
    expect(page.get_by_role("alert")).to_have_text("Please listen to X to its end first.")
    expect(page.get_by_role("button", name="Play X")).to_be_focused()
    for name, slot in (("X", "x"), ("1", "first"), ("2", "second")):
        page.get_by_role("button", name=f"Play {name}").tap()
        expect(page.locator(f"#heard-{slot}")).to_have_text("heard")
    page.get_by_role("button", name="Next").tap()
    expect(page.get_by_role("alert")).to_have_text("Please choose one of the two.")
    page.get_by_text("X is 1").tap()
    page.get_by_role("button", name="Next").tap()
    expect(page).to_have_title("Pair 2 of 3")
    (session,) = book.sessions()
    assert session.answers[0].picked == session.plan[0].first and session.answers[0].plays_x == 1


def test_one_clip_plays_at_a_time_and_only_a_whole_one_counts_as_heard(on_air, open_page):
    link, _ = on_air()
    page = open_page(**DESKTOP)
    page.goto(link)
    page.get_by_role("button", name="Start").click()
    one, two = page.get_by_role("button", name="Play 1"), page.get_by_role("button", name="Play 2")
    one.click()
    expect(one).to_have_attribute("aria-pressed", "true")
    two.click()
    expect(one).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#heard-second")).to_have_text("heard")
    expect(page.locator("#heard-first")).to_have_text("not heard yet")
    hear(page, "1")


def test_keys_can_be_turned_off(on_air, open_page):
    link, _ = on_air()
    page = open_page(**DESKTOP)
    page.goto(link)
    page.get_by_role("button", name="Start").click()
    page.get_by_label("Keys").uncheck()
    page.get_by_role("heading").focus()
    page.keyboard.press("1")
    expect(page.get_by_role("button", name="Play 1")).to_have_attribute("aria-pressed", "false")
    page.reload()
    expect(page.get_by_label("Keys")).not_to_be_checked()  # WCAG 2.1.4: single-character keys can be turned off


@pytest.mark.parametrize("context", [PHONE, DESKTOP | {"color_scheme": "dark"}], ids=["phone", "dark desktop"])
def test_axe_finds_nothing_to_complain_of(on_air, open_page, context):
    link, _ = on_air(design="abx")
    page = open_page(**context)
    page.goto(link)
    found = violations(page)
    page.get_by_role("button", name="Start").click()
    page.get_by_text("X is 2").click()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("alert")).to_have_text(re.compile("listen"))
    assert found + violations(page) == []
