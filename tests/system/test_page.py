"""The status page in a real browser: what it shows, what its buttons do, and that nothing from outside runs in it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import httpx
import pytest
from selenium.webdriver.common.keys import Keys

from collectssl_async.sandbox import Sandbox
from collectssl_async.sandbox.overview import ANSWERS_SHOWN

from ..sandbox.calling import Caller, wait_until
from .browsing import Page, chromium, soon

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium import webdriver

    from collectssl_async.sandbox import SandboxServer

pytestmark = pytest.mark.system

ALL = Keys.CONTROL + "a" + Keys.NULL
"""Selects what stands in a field, to be typed over."""

EVIL = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Sandbox, SandboxServer]]:
    sandbox = Sandbox(seed=1)
    with sandbox.serve() as running:
        yield sandbox, running


@pytest.fixture
def caller(server: tuple[Sandbox, SandboxServer]) -> Iterator[Caller]:
    sandbox, running = server
    sandbox.reset(seed=1)
    caller = Caller(sandbox, running.endpoint, running.ssl_context)
    with caller.http:
        yield caller


@pytest.fixture
def sandbox(caller: Caller) -> Sandbox:
    return caller.sandbox


@pytest.fixture
def page(browser: webdriver.Chrome, server: tuple[Sandbox, SandboxServer], sandbox: Sandbox) -> Page:
    del sandbox  # it has been reset
    page = Page(browser)
    page.look()
    page.open(server[1].page)
    return page


def overlap(caller: Caller, *, refused: int = 1) -> None:
    """Make a call, and others while it is in work."""
    caller.sandbox.latency = 0.3
    before = len(caller.sandbox.calls)
    first = threading.Thread(target=caller.post)
    first.start()
    wait_until(lambda: len(caller.sandbox.calls) > before)
    for _ in range(refused):
        caller.post()
    first.join()
    caller.sandbox.latency = 0


# --- at a glance ------------------------------------------------------------------------------------------------------


def test_what_to_do_first_is_said_while_there_is_nothing(page: Page) -> None:
    assert page.text("#first li").startswith("Place an order with the form above")
    assert page.text("#answers .empty") == "No call yet."


def test_what_to_do_first_goes_when_there_is_an_order(page: Page, sandbox: Sandbox) -> None:
    sandbox.place_order("shop.example.com")
    soon(lambda: page.text("#first"), "")


def test_endpoint_ca_and_credentials_are_shown(
    page: Page, caller: Caller, server: tuple[Sandbox, SandboxServer]
) -> None:
    shown = {name: page.text(f"#{name}") for name in ("endpoint", "ca_file", "login_name", "login_password")}
    assert shown == {
        "endpoint": server[1].endpoint,
        "ca_file": str(server[1].ca_file),
        "login_name": caller.login()["loginName"],
        "login_password": caller.login()["loginPassword"],
    }


@pytest.mark.parametrize("what", ["endpoint", "ca_file", "login_name", "login_password", "curl"])
def test_a_button_copies(page: Page, what: str) -> None:
    grant = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    page.browser.execute_cdp_cmd("Browser.grantPermissions", grant)
    page.one(f'[data-copy="{what}"]').click()
    soon(lambda: page.text(f'[data-copy="{what}"]'), "Copied")
    assert page.run("return navigator.clipboard.readText()") == page.run(f"return {what}.textContent")


def test_what_cannot_be_copied_is_selected(page: Page) -> None:
    page.run("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.one('[data-copy="endpoint"]').click()
    soon(lambda: page.text('[data-copy="endpoint"]'), "Selected")
    assert page.run("return getSelection().toString()") == page.text("#endpoint")


def test_no_overlap_is_a_green_nought(page: Page, caller: Caller) -> None:
    caller.post()
    soon(lambda: page.text("#call-count"), "of 1")
    red, green, _ = page.colour("#overlap-count")
    assert (page.text("#overlap-count"), green > red) == ("0", True)


def test_overlaps_are_one_red_number(page: Page, caller: Caller) -> None:
    overlap(caller, refused=3)
    soon(lambda: page.text("#overlap-count"), "3")
    red, green, _ = page.colour("#overlap-count")
    assert red > 2 * green
    assert page.browser.title == "(3) CollectSSL sandbox"


def test_an_overlap_is_red_on_the_timeline_with_both_numbers(page: Page, caller: Caller) -> None:
    caller.post()
    overlap(caller)
    soon(lambda: page.text("#refused"), "call 3 during 2")
    classes = "return [...document.querySelectorAll('#alone .bar')].map(bar => bar.classList.contains('refused'))"
    assert page.run(classes) == [False, True]
    red, green, _ = page.colour("#refused .bar", "background-color")
    assert red > 2 * green
    assert page.titles("#refused .bar") == ["call 3: -14 refused during call 2"]


def test_calls_refused_together_have_one_caption(page: Page, caller: Caller) -> None:
    overlap(caller, refused=4)
    soon(lambda: page.text("#refused"), "calls 2\N{EN DASH}5 during 1")


def test_captions_do_not_lie_on_each_other(page: Page, caller: Caller) -> None:
    for _ in range(6):
        overlap(caller)
    soon(lambda: page.text("#overlap-count"), "6")
    page.refreshed()
    boxes = page.run("return [...document.querySelectorAll('.label')].map(n => n.getBoundingClientRect().toJSON())")
    assert len(boxes) > 3
    for place, one in enumerate(boxes):
        assert one["left"] >= 0
        assert one["right"] <= 1280
        for other in boxes[:place]:
            apart = one["left"] >= other["right"] or other["left"] >= one["right"] or one["top"] != other["top"]
            assert apart, (one, other)


def test_a_bar_is_as_long_as_its_call(page: Page, caller: Caller) -> None:
    caller.sandbox.latency = 1.2
    caller.post()
    soon(lambda: len(page.titles("#alone .bar")), 1)
    share = page.run("const lane = alone; return lane.firstElementChild.offsetWidth / lane.clientWidth")
    assert share == pytest.approx(1.2 / 60, rel=0.25)


def test_a_call_whose_caller_left_is_hatched(page: Page, caller: Caller, sandbox: Sandbox) -> None:
    sandbox.fail_next("timeout")
    caller.http.timeout = 0.2
    with pytest.raises(httpx.ReadTimeout):
        caller.post()
    wait_until(lambda: sandbox.calls[0].end is not None)
    soon(lambda: page.run("return document.querySelectorAll('#alone .bar.abandoned').length"), 1)


def test_a_locked_account_is_shown_and_unlocked(page: Page, caller: Caller, sandbox: Sandbox) -> None:
    assert (page.text("#account"), page.text("#unlock")) == ("open", "")
    order = sandbox.place_order("shop.example.com")
    for _ in range(10):
        caller.post(order, loginPassword="wrong")
    soon(lambda: page.text("#account"), "LOCKED")
    page.one("#unlock").click()
    soon(lambda: page.text("#account"), "open")
    assert not sandbox.locked


def test_armed_faults_are_shown(page: Page, sandbox: Sandbox) -> None:
    assert page.text("#faults") == "none"
    sandbox.fail_next("timeout", 2)
    sandbox.fail_next(-14)
    soon(lambda: page.text("#faults"), "timeout \N{MULTIPLICATION SIGN}2, -14")


def test_orders_are_shown_newest_first(page: Page, sandbox: Sandbox) -> None:
    orders = [sandbox.place_order(f"{name}.example") for name in ("a", "b", "c")]
    numbers = [order.order_number for order in reversed(orders)]
    soon(lambda: [row[0] for row in page.rows("#orders")], numbers)


def test_an_order_is_shown_with_its_steps_and_polls(page: Page, caller: Caller, sandbox: Sandbox) -> None:
    names = ["www.example.com", "mail.example.com"]
    order = sandbox.place_order("shop.example.com", names=names, product="ov", issue_after=None)
    caller.post(order)
    caller.post(order)
    soon(lambda: len(page.rows("#orders")), 1)
    soon(lambda: page.rows("#orders")[0][4], "2")
    number, what, state, steps, _, _ = page.rows("#orders")[0]
    assert (number, state, steps) == (order.order_number, "processing", "1 of 4")
    assert what.split("\n") == ["shop.example.com", "OV, and 2 more"]


def test_the_last_answers_are_shown_newest_first(page: Page, caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    for _ in range(ANSWERS_SHOWN):
        caller.post(order)
    caller.post(order, queryType=1)
    soon(lambda: len(page.rows("#answers")), ANSWERS_SHOWN)
    call, _, number, answer = page.rows("#answers")[0]
    assert (call, number, answer) == ("21", order.order_number, "2 certificate sent")


# --- what its buttons do ----------------------------------------------------------------------------------------------


def test_an_order_is_placed_by_the_form(page: Page, sandbox: Sandbox) -> None:
    page.one("#place [name=fqdn]").send_keys("a.example b.example, c.example")
    page.one("#place [name=product] [value=ev]").click()
    page.one("#place [name=issue_after] [value=null]").click()
    page.one("#place button").click()
    soon(lambda: len(page.rows("#orders")), 1)
    what = page.rows("#orders")[0][1]
    assert what.split("\n") == ["a.example", "EV, and 2 more"]
    assert page.one("#place [name=fqdn]").get_property("value") == ""


@pytest.mark.parametrize(
    ("move", "state"), [("issue", "issued"), ("reject", "rejected"), ("await_payment", "awaiting payment")]
)
def test_an_order_is_moved_by_its_buttons(page: Page, sandbox: Sandbox, move: str, state: str) -> None:
    order = sandbox.place_order("shop.example.com", issue_after=None)
    soon(lambda: len(page.rows("#orders")), 1)
    page.move(order.order_number, move)
    soon(lambda: page.rows("#orders")[0][2], state)


def test_steps_are_done_one_by_one(page: Page, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com", product="ov", issue_after=None)
    soon(lambda: len(page.rows("#orders")), 1)
    for done in ("2 of 4", "3 of 4", "4 of 4"):
        page.move(order.order_number, "step")
        soon(lambda: page.rows("#orders")[0][3], done)
    assert page.moves(order.order_number) == ["Issue", "Await payment", "Reject"]


def test_an_order_has_the_buttons_that_its_state_allows(page: Page, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    soon(lambda: len(page.rows("#orders")), 1)
    assert page.moves(order.order_number) == ["Replace", "Revoke"]
    page.move(order.order_number, "revoke")
    soon(lambda: page.moves(order.order_number), ["Issue"])


def test_a_fault_is_armed_by_the_form(page: Page, sandbox: Sandbox) -> None:
    page.one("#arm [name=kind]").send_keys("-22")
    page.one("#arm button").click()
    soon(lambda: page.text("#faults"), "-22")
    page.one("#arm [name=kind]").send_keys("html")
    page.one("#arm [name=times]").send_keys(ALL, "3", Keys.ENTER)
    soon(lambda: page.text("#faults"), "-22, html \N{MULTIPLICATION SIGN}3")
    assert sandbox.service.faults.next() == -22


def test_settings_are_changed(page: Page, sandbox: Sandbox) -> None:
    page.one("#settings [name=latency]").send_keys(ALL, "1.5", Keys.TAB)
    wait_until(lambda: sandbox.latency == 1.5)
    page.one("#settings [name=strict]").click()
    wait_until(lambda: not sandbox.switches)


def test_a_refusal_is_told_in_the_api_s_words(page: Page) -> None:
    page.one("#arm [name=kind]").send_keys("flood", Keys.ENTER)
    soon(lambda: page.text("#message")[:28], "kind: 'flood' is no fault: u")
    assert page.one("#arm [name=kind]").get_property("value") == "flood"


def test_reset_empties_the_page(page: Page, caller: Caller, sandbox: Sandbox) -> None:
    caller.post(sandbox.place_order("shop.example.com"))
    soon(lambda: len(page.rows("#answers")), 1)
    page.one("#reset").click()
    soon(lambda: (page.rows("#orders"), page.rows("#answers"), page.titles(".bar")), ([], [], []))


# --- a refresh takes nothing from the user ----------------------------------------------------------------------------


def test_what_is_being_typed_stays(page: Page, caller: Caller, sandbox: Sandbox) -> None:
    page.one("#place [name=fqdn]").send_keys("half.a.na")
    page.one("#settings [name=latency]").send_keys(ALL, "2")
    caller.post(sandbox.place_order("shop.example.com"))
    soon(lambda: len(page.rows("#orders")), 1)
    page.refreshed()
    typed = [page.one(f"[name={name}]").get_property("value") for name in ("fqdn", "latency")]
    assert typed == ["half.a.na", "2"]


def test_focus_and_selection_stay_though_a_newer_order_comes(page: Page, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com", issue_after=None)
    soon(lambda: len(page.rows("#orders")), 1)
    page.run("document.querySelector('[data-move=reject]').focus()")
    page.run("getSelection().selectAllChildren(document.querySelector('.names span'))")
    sandbox.place_order("other.example.com")
    soon(lambda: len(page.rows("#orders")), 2)
    active = "return [document.activeElement.dataset.move, document.activeElement.closest('tr').dataset.key]"
    assert page.run(active) == ["reject", order.order_number]
    assert page.run("return getSelection().toString()") == "shop.example.com"


def test_focus_goes_to_the_next_button_when_its_own_is_gone(page: Page, sandbox: Sandbox) -> None:
    sandbox.place_order("shop.example.com", issue_after=None)
    soon(lambda: len(page.rows("#orders")), 1)
    page.run("document.querySelector('[data-move=await_payment]').focus()")
    page.run("document.activeElement.click()")
    soon(lambda: page.rows("#orders")[0][2], "awaiting payment")
    assert page.run("return document.activeElement.dataset.move") == "issue"


# --- nothing from outside runs, nothing comes from elsewhere ----------------------------------------------------------


def test_names_and_numbers_are_text(page: Page, caller: Caller) -> None:
    caller.post(orderNumber=EVIL)
    soon(lambda: len(page.rows("#answers")), 1)
    page.refreshed()
    assert page.rows("#answers")[0][2] == EVIL[:64]
    assert EVIL[:64] in page.titles("#alone .bar")[0]
    assert page.run("return document.querySelectorAll('img, body script').length") == 0
    assert page.browser.title == "CollectSSL sandbox"


def test_a_script_that_got_in_would_not_run(page: Page) -> None:
    page.run("document.body.insertAdjacentHTML('beforeend', arguments[0])", EVIL)
    page.refreshed()
    assert page.browser.title == "CollectSSL sandbox"
    assert any("Content Security Policy" in complaint for complaint in page.complaints())


def test_everything_comes_from_the_sandbox(page: Page, server: tuple[Sandbox, SandboxServer]) -> None:
    page.refreshed()
    addresses = page.run("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert {address.removeprefix(server[1].page) for address in addresses} == {"page.css", "page.js", "state"}


def test_the_browser_has_nothing_to_complain_about(page: Page, caller: Caller, sandbox: Sandbox) -> None:
    page.complaints()
    sandbox.place_order("shop.example.com")
    overlap(caller)
    page.refreshed()
    assert page.complaints() == []


# --- wherever it is looked at -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1280, 800])
def test_it_fits_without_scrolling_sideways(page: Page, caller: Caller, sandbox: Sandbox, width: int) -> None:
    page.look(width)
    sandbox.place_order("a" * 60 + ".example.com", product="ev", issue_after=None, names=["b.example"])
    sandbox.place_order("shop.example.com", issue_after=None).await_payment()
    overlap(caller)
    caller.post(orderNumber="9" * 64)
    soon(lambda: len(page.rows("#answers")), 3)
    assert page.run("return document.documentElement.scrollWidth") == width
    right = "return Math.max(...[...document.querySelectorAll('button')].map(b => b.getBoundingClientRect().right))"
    assert page.run(right) < width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_read_in_either_scheme(page: Page, scheme: str) -> None:
    page.look(scheme=scheme)
    ground, ink = sum(page.colour("body", "background-color")), sum(page.colour("body"))
    assert (ground > ink) is (scheme == "light")
    assert abs(ground - ink) > 450


def test_a_sandbox_that_stopped_is_not_shown_as_live(browser: webdriver.Chrome) -> None:
    page = Page(browser)
    with Sandbox().serve() as server:
        page.open(server.page)
    soon(lambda: page.text("#live"), "not reachable: has it stopped?")


def test_a_sandbox_that_came_back_is_shown_as_it_is_now(browser: webdriver.Chrome) -> None:
    page = Page(browser)
    with Sandbox().serve() as server:
        page.open(server.page)
    again = Sandbox()
    with again.serve(management_port=int(server.management.rpartition(":")[2])) as server:
        soon(lambda: page.text("#login_name"), again.credentials.login_name)
        assert page.text("#endpoint") == server.endpoint
