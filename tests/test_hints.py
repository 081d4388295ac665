"""Who is told of a hint, and how long one is kept that nobody waits for."""

from __future__ import annotations

import anyio
import pytest

from collectssl_async import OrderRef
from collectssl_async._hints import KEPT, KEPT_FOR, Hint, HintBoard

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_clock]

BY_NUMBER = OrderRef(order_number="1")
BY_ID = OrderRef(certificate_id=7)
HINT = Hint("1", 7)


class Ear:
    """A listener that remembers what it was told."""

    def __init__(self, *, waits: bool = True) -> None:
        self.waits = waits
        self.heard: list[Hint] = []

    def __call__(self, hint: Hint, /) -> bool:
        self.heard.append(hint)
        return self.waits


@pytest.mark.parametrize("order", [BY_NUMBER, BY_ID, OrderRef(order_number="other", certificate_id=7)])
async def test_a_hint_reaches_who_waits_for_the_order_by_any_of_its_names(order: OrderRef) -> None:
    board, ear = HintBoard(), Ear()
    board.listen(ear, order)
    board.post(HINT)
    assert ear.heard == [HINT]


@pytest.mark.parametrize(
    "order", [OrderRef(order_number="7"), OrderRef(certificate_id=1), OrderRef(base_order_number=1)]
)
async def test_a_hint_does_not_reach_who_waits_for_another_order(order: OrderRef) -> None:
    board, ear = HintBoard(), Ear()
    board.listen(ear, order)
    board.post(HINT)
    assert ear.heard == []


async def test_all_who_wait_for_an_order_are_told_once_each() -> None:
    board, ears = HintBoard(), [Ear() for _ in range(3)]
    for ear, order in zip(ears, (None, BY_NUMBER, OrderRef(order_number="1", certificate_id=7)), strict=True):
        board.listen(ear, order)
    board.post(HINT)
    assert [ear.heard for ear in ears] == [[HINT]] * 3


async def test_an_early_hint_is_kept_for_who_comes() -> None:
    board, ear = HintBoard(), Ear()
    board.post(HINT)
    board.listen(ear, BY_ID)
    assert ear.heard == [HINT]


async def test_a_hint_is_used_once() -> None:
    board, late = HintBoard(), Ear()
    board.post(HINT)
    board.listen(Ear(), BY_NUMBER)
    board.listen(late, BY_NUMBER)
    assert late.heard == []


async def test_a_hint_that_was_heard_by_a_waiter_is_not_kept() -> None:
    board = HintBoard()
    board.post(HINT)
    board.listen(Ear(waits=False))
    board.listen(Ear(), BY_NUMBER)
    board.post(HINT)
    assert not board.recall(BY_NUMBER)


async def test_a_hint_that_no_listener_waits_for_is_kept() -> None:
    board = HintBoard()
    board.listen(Ear(waits=False))
    board.post(HINT)
    assert board.recall(BY_NUMBER)


async def test_a_kept_hint_is_recalled_once() -> None:
    board = HintBoard()
    board.post(HINT)
    assert [board.recall(BY_NUMBER), board.recall(BY_NUMBER)] == [True, False]


async def test_who_has_left_is_told_nothing() -> None:
    board, ear = HintBoard(), Ear()
    leave = board.listen(ear, BY_NUMBER)
    leave()
    board.post(HINT)
    assert ear.heard == []


async def test_who_has_left_leaves_nothing_behind() -> None:
    board = HintBoard()
    for leave in [board.listen(Ear(), order) for order in (BY_NUMBER, BY_ID, BY_NUMBER, None)]:
        leave()
    assert (board._to_order, board._to_all) == ({}, {})


async def test_hints_are_forgotten_after_a_day() -> None:
    board = HintBoard()
    board.post(HINT)
    await anyio.sleep(KEPT_FOR + 1)
    assert not board.recall(BY_NUMBER)


async def test_a_repeated_hint_is_as_young_as_its_last_repeat() -> None:
    board = HintBoard()
    board.post(HINT)
    await anyio.sleep(KEPT_FOR - 1)
    board.post(HINT)
    await anyio.sleep(KEPT_FOR - 1)
    assert board.recall(BY_NUMBER)


async def test_of_many_hints_the_oldest_give_way() -> None:
    board = HintBoard()
    for number in range(KEPT + 1):
        board.post(Hint(str(number), None))
    assert [board.recall(OrderRef(order_number=number)) for number in ("0", "1")] == [False, True]
