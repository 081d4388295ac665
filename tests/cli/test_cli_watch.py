"""`collectssl watch` against the sandbox: files of each order as it ends, what failed, and what the next run does."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

import collectssl_async.cli.watch
from collectssl_async import CertificatePayload, ResponseType, ServerUnavailableError
from collectssl_async._endings import certificates_as_text, error_as_text
from collectssl_async._kept import Kept
from collectssl_async.cli.deploying import deploy_bundle
from collectssl_async.stores import SQLiteStore

from .. import pki
from ..disk import no_room
from .harness import Ended, Watch, free_port, key_file, put

if TYPE_CHECKING:
    from collectssl_async import OrderRef
    from collectssl_async.cli.deploying import Deployed

FILES = [".collected", "cert.pem", "chain.pem", "fullchain.pem"]


# --- what comes of orders ---------------------------------------------------------------------------------------------


def test_every_order_has_its_files_in_a_folder_of_its_own(watch: Watch) -> None:
    first = watch.service.sandbox.place_order("a.example.com", issue_after=None, issue_after_polls=2)
    second = watch.service.sandbox.place_order("b.example.com")
    key = key_file(second, watch.folder)
    ended = watch(first.order_number, watch.listing(f"{second.order_number},shop,{key.name}"))
    assert (ended.code, watch.files(first.order_number)) == (0, FILES)
    assert watch.files("shop") == sorted([*FILES, "privkey.pem"])


def test_outcomes_go_to_stdout_and_polls_to_stderr(watch: Watch) -> None:
    order = watch.service.sandbox.place_order("a.example.com", issue_after=None, issue_after_polls=1)
    ended = watch(order.order_number)
    (line,) = ended.out.splitlines()
    assert line.endswith(f"wrote {watch.directory}/{order.order_number}")
    assert f"{order.order_number} a.example.com: collected, valid until " in line
    first, second, summary = ended.err.splitlines()
    assert f"{order.order_number} a.example.com: 0 processing, done " in first
    assert f"{order.order_number} a.example.com: 1 available, done " in second
    assert summary == "0 waiting, 1 collected"


def test_an_order_that_the_api_refuses_ends_alone(watch: Watch) -> None:
    bad, good = (watch.service.sandbox.place_order(f"{name}.example.com") for name in "ab")
    bad.reject()
    ended = watch(bad.order_number, good.order_number)
    assert (ended.code, watch.files(good.order_number)) == (4, FILES)
    assert f"{bad.order_number}: -20: " in ended.out
    assert watch.files(bad.order_number) == []


def test_a_document_a_line_tells_each_outcome(watch: Watch) -> None:
    bad, good = (watch.service.sandbox.place_order(f"{name}.example.com") for name in "ab")
    bad.reject()
    ended = watch(bad.order_number, good.order_number, "--json", "--layout", "versioned")
    refused, collected = map(json.loads, ended.out.splitlines())
    assert (refused["order_number"], refused["error"], refused["code"]) == (bad.order_number, "OrderRejectedError", -20)
    assert (collected["order_number"], collected["dns_names"]) == (good.order_number, ["b.example.com"])
    assert collected["fullchain"] == f"{watch.directory}/{good.order_number}/current/fullchain.pem"


def test_a_failed_order_outweighs_a_refused_one(watch: Watch) -> None:
    bad, full = (watch.service.sandbox.place_order(f"{name}.example.com") for name in "ab")
    bad.reject()
    watch.directory.mkdir()
    (watch.directory / full.order_number).touch()
    assert [watch(*pair).code for pair in ((full.order_number, bad.order_number), (bad.order_number,))] == [1, 1]


# --- what could not be done is done by the next run -------------------------------------------------------------------


def test_a_key_that_does_not_match_fails_its_order_alone_until_the_key_is_right(watch: Watch) -> None:
    first, second = (watch.service.sandbox.place_order(f"{name}.example.com") for name in "ab")
    wrong, right = key_file(second, watch.folder), key_file(first, watch.folder)
    ended = watch(watch.listing(f"{first.order_number},shop,{wrong.name}", second.order_number))
    assert (ended.code, watch.files("shop"), watch.files(second.order_number)) == (1, [], FILES)
    assert f"{first.order_number} shop: the key in {wrong} does not belong to the certificate for a.example.com" in (
        ended.out
    )
    calls = watch.answers
    ended = watch(watch.listing(f"{first.order_number},shop,{right.name}", second.order_number))
    assert (ended.code, watch.files("shop")) == (0, sorted([*FILES, "privkey.pem"]))
    assert watch.answers == calls == [1, 2, 1, 2]


def test_files_that_cannot_be_written_are_written_by_the_next_run_without_a_call(watch: Watch) -> None:
    first, second = (watch.service.sandbox.place_order(f"{name}.example.com") for name in "ab")
    watch.directory.mkdir()
    (watch.directory / first.order_number).touch()
    ended = watch(first.order_number, second.order_number)
    assert (ended.code, watch.files(second.order_number)) == (1, FILES)
    assert f"{first.order_number} a.example.com: " in ended.out
    assert "a file stands where a directory is needed" in ended.out
    (watch.directory / first.order_number).unlink()
    calls = watch.answers
    assert watch().code == 0
    assert (watch.files(first.order_number), watch.answers) == (FILES, calls)


def test_without_a_store_what_failed_is_collected_again(watch: Watch) -> None:
    order = watch.service.sandbox.place_order("a.example.com")
    watch.directory.mkdir()
    (watch.directory / order.order_number).touch()
    assert watch(order.order_number, stored=False).code == 1
    (watch.directory / order.order_number).unlink()
    assert watch(order.order_number, stored=False).code == 0
    assert (watch.files(order.order_number), watch.answers) == (FILES, [1, 2, 1, 2])


def test_a_hook_that_fails_runs_again_the_next_time_and_the_files_stay(watch: Watch) -> None:
    order = watch.service.sandbox.place_order("a.example.com")
    hook = f'echo "run for $COLLECTSSL_ORDER" >> {watch.folder}/log; test -e {watch.folder}/mended'
    ended = watch(order.order_number, "--deploy-hook", hook)
    assert (ended.code, len(ended.out.splitlines())) == (1, 1)
    assert f"{order.order_number}: the deploy hook failed with exit status 1" in ended.err
    assert "0 waiting, 0 collected, 1 failed" in ended.err
    assert watch.files(order.order_number) == [".deploy-hook-pending", "cert.pem", "chain.pem", "fullchain.pem"]
    (watch.folder / "mended").touch()
    calls = watch.answers
    ended = watch("--deploy-hook", hook)
    assert (ended.code, watch.files(order.order_number), watch.answers) == (0, FILES, calls)
    assert (watch.folder / "log").read_text() == f"run for {order.order_number}\n" * 2


def test_the_same_orders_are_not_asked_for_again(watch: Watch) -> None:
    listing = watch.listing(*(watch.service.sandbox.place_order(f"{name}.example.com").order_number for name in "ab"))
    watch(listing, stored=False)
    calls = watch.answers
    ended = watch(listing, stored=False)
    assert (ended.code, ended.out, watch.answers) == (0, "", calls)
    assert ended.err.startswith("2 collected before: .collected in their folders says so\n")


def test_an_order_whose_folder_has_gone_is_collected_again(watch: Watch) -> None:
    order = watch.service.sandbox.place_order("a.example.com")
    watch(order.order_number)
    watch.directory.rename(watch.folder / "moved")
    assert watch(order.order_number).code == 0
    assert watch.files(order.order_number) == FILES


def test_the_next_order_of_a_name_takes_the_folder_over_and_the_last_one_does_not_take_it_back(watch: Watch) -> None:
    last, renewed = (watch.service.sandbox.place_order("shop.example.com").order_number for _ in range(2))
    for order in (last, renewed):
        watch(watch.listing(f"{order},shop"))
    assert (watch.directory / "shop" / ".collected").read_text() == f"{last}\n{renewed}\n"
    calls, certificate = watch.answers, (watch.directory / "shop" / "cert.pem").read_bytes()
    watch(watch.listing(f"{last},shop"))
    assert (watch.answers, (watch.directory / "shop" / "cert.pem").read_bytes()) == (calls, certificate)


def test_an_order_that_nobody_answered_for_waits_again_in_the_next_run(watch: Watch) -> None:
    order, now = watch.service.sandbox.place_order("a.example.com").order_number, time.time()
    failed = error_as_text(ServerUnavailableError("HTTP 503", status_code=503))
    put(watch.store, Kept(order, started_at=now, next_poll_at=now, failures=40, ending=failed))
    ended = watch()
    assert (ended.code, watch.answers) == (1, [])
    assert f"{order}: HTTP 503" in ended.out
    assert (watch().code, watch.files(order)) == (0, FILES)


def test_an_order_that_was_refused_is_not_kept_for_the_next_run(watch: Watch) -> None:
    order = watch.service.sandbox.place_order("a.example.com")
    order.reject()
    assert [watch(order.order_number).code, watch().code] == [4, 0]
    assert watch.answers == [-20]


def test_a_disk_that_is_full_for_one_order_s_files_costs_the_others_nothing(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (watch.service.sandbox.place_order(f"{name}.example.com").order_number for name in "ab")

    async def with_little_room(order: OrderRef, *others: Any) -> Deployed:
        with no_room() if str(order) == first else nullcontext():
            return await deploy_bundle(order, *others)

    with monkeypatch.context() as patched:
        patched.setattr(collectssl_async.cli.watch, "deploy_bundle", with_little_room)
        ended = watch(first, second)
    assert (ended.code, watch.files(first), watch.files(second)) == (1, [], FILES)
    assert "File too large" in ended.out
    assert (watch().code, watch.files(first), watch.answers) == (0, FILES, [1, 2, 1, 2])


def test_a_full_disk_behind_the_store_is_told_in_one_line(watch: Watch) -> None:
    order = watch.service.sandbox.place_order("a.example.com").order_number
    with no_room():
        ended = watch(order)
    assert (ended.code, ended.err.count("\n"), watch.answers) == (1, 1, [])
    assert ended.err.startswith(f"collectssl: store {watch.store}: ")


# --- wrong credentials ------------------------------------------------------------------------------------------------


def test_wrong_credentials_cost_one_call_and_no_order(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = [watch.service.sandbox.place_order(f"{n}.example.com").order_number for n in range(5)]
    monkeypatch.setenv("COLLECTSSL_LOGIN_PASSWORD", "wrong")
    ended = watch(*orders)
    assert (ended.code, ended.out, watch.answers) == (5, "", [-16])
    assert ended.err.startswith("collectssl: -16: ")
    monkeypatch.setenv("COLLECTSSL_LOGIN_PASSWORD", watch.service.password)
    assert watch().code == 0
    assert all(watch.files(order) == FILES for order in orders)


def test_wrong_credentials_end_it_as_plainly_where_it_is_notified(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = watch.service.sandbox.place_order("a.example.com").order_number
    monkeypatch.setenv("COLLECTSSL_LOGIN_PASSWORD", "wrong")
    ended = watch(order, "--push-port", str(free_port()))
    assert (ended.code, watch.answers, ended.err.count("\n")) == (5, [-16], 1)


# --- the store --------------------------------------------------------------------------------------------------------


def test_orders_that_the_store_alone_knows_are_told(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    order = watch.service.sandbox.place_order("a.example.com").order_number
    monkeypatch.setenv("COLLECTSSL_LOGIN_PASSWORD", "wrong")
    watch(watch.listing(f"{order},shop"))
    monkeypatch.setenv("COLLECTSSL_LOGIN_PASSWORD", watch.service.password)
    ended = watch()
    assert ended.err.startswith("1 from the store alone: their folders are the order numbers, without a key\n")
    assert watch.files(order) == FILES


@pytest.mark.parametrize("number", ["../outside", ".", "..", "a/b", "/tmp/outside"])
def test_an_order_of_the_store_never_leaves_the_directory(watch: Watch, number: str) -> None:
    chain = pki.hierarchy("a.example.com")
    now = time.time()
    payload = CertificatePayload(
        response_type=ResponseType.INDIVIDUAL, data=None, certificates=(chain.leaf.der,), leaf=chain.leaf.der
    )
    put(watch.store, Kept(number, started_at=now, next_poll_at=now, ending=certificates_as_text(payload)))
    ended = watch()
    assert (ended.code, watch.answers) == (1, [])
    assert f"{number!r} cannot be its folder" in ended.out
    assert sorted(each.name for each in watch.folder.iterdir() if "orders.db" not in each.name) == []


def test_an_order_of_the_store_does_not_take_another_one_s_folder(watch: Watch) -> None:
    stored, named = (watch.service.sandbox.place_order(f"{name}.example.com").order_number for name in "ab")
    now = time.time()
    put(watch.store, Kept(stored, started_at=now, next_poll_at=now))
    ended = watch(watch.listing(f"{named},{stored}"))
    assert ended.code == 1
    assert (watch.directory / stored / ".collected").read_text() == f"{named}\n"


@pytest.mark.parametrize("trouble", ["another program's", "empty", "no folder"])
def test_a_store_that_cannot_be_used_is_told_in_one_line_and_left_alone(watch: Watch, trouble: str) -> None:
    content = {"another program's": b"SQLite format 3\0" + bytes(200), "empty": b"", "no folder": None}[trouble]
    if content is None:
        watch.store = watch.folder / "missing" / "orders.db"
    else:
        watch.store.write_bytes(content)
    ended = watch("123")
    assert (ended.code, ended.out, ended.err.count("\n"), watch.answers) == (1, "", 1, [])
    assert ended.err.startswith(f"collectssl: store {watch.store}: ")
    assert content is None or watch.store.read_bytes() == content


def test_a_store_that_another_watcher_has_is_told(watch: Watch) -> None:
    async def work() -> Ended:
        await other.open()
        ended = await asyncio.to_thread(lambda: watch.service.start("watch", *arguments).communicate(timeout=20))
        await other.close()
        return Ended(1, *ended)

    arguments = ("123", "-o", watch.directory, "--store", watch.store)
    other = SQLiteStore(watch.store)
    ended = asyncio.run(work())
    assert (ended.out, ended.err.count("\n"), watch.answers) == ("", 1, [])
    assert "in use by another watcher" in ended.err
