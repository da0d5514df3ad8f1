"""Work that may block runs beside the event loop, on as few threads as will do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from framekeep.server.threads import Threads

PATIENCE = 30.0


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads(quick=3, heavy=1)
    yield threads
    threads.close()


def run(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(work(), PATIENCE))


def test_one_thread_does_one_thing_after_the_other(threads: Threads) -> None:
    async def work() -> set[int]:
        return {await threads.quick(threading.get_ident) for _ in range(50)}

    found = run(work)
    assert len(found) == 1
    assert threading.get_ident() not in found


def test_things_at_once_have_a_thread_each_up_to_the_limit(threads: Threads) -> None:
    together = threading.Barrier(3, timeout=PATIENCE)

    def meet() -> int:
        together.wait()
        return threading.get_ident()

    async def work() -> list[int]:
        return list(await asyncio.gather(*(threads.quick(meet) for _ in range(6))))

    assert len(set(run(work))) == 3


def test_what_finds_no_thread_waits_for_its_turn(threads: Threads) -> None:
    done: list[int] = []

    async def work() -> None:
        await asyncio.gather(*(threads.heavy(done.append, number) for number in range(100)))

    run(work)
    assert done == list(range(100))


def test_quick_work_does_not_wait_behind_heavy_work(threads: Threads) -> None:
    held = threading.Event()

    async def work() -> str:
        slow = asyncio.ensure_future(threads.heavy(held.wait, PATIENCE))
        answer = await threads.quick(lambda: "quick")
        held.set()
        await slow
        return answer

    assert run(work) == "quick"


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3)])
def test_errors_go_to_whoever_waits(threads: Threads, error: BaseException) -> None:
    def fail() -> None:
        raise error

    async def work() -> int:
        with pytest.raises(type(error)) as caught:
            await threads.quick(fail)
        assert caught.value is error
        return await threads.quick(lambda: 1)

    assert run(work) == 1


def test_arguments_are_handed_on(threads: Threads) -> None:
    async def work() -> Any:
        return await threads.quick(sorted, [3, 1, 2], reverse=True)

    assert run(work) == [3, 2, 1]


def test_what_nobody_waits_for_any_more_is_not_begun(threads: Threads) -> None:
    held, done = threading.Event(), []

    async def work() -> None:
        first = asyncio.ensure_future(threads.heavy(held.wait, PATIENCE))
        second = asyncio.ensure_future(threads.heavy(done.append, "second"))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        held.set()
        await first
        await threads.heavy(done.append, "third")

    run(work)
    assert done == ["third"]


def test_closing_finishes_what_was_asked_for() -> None:
    threads, held, done = Threads(heavy=1), threading.Event(), []

    async def work() -> None:
        waiting = [asyncio.ensure_future(threads.heavy(held.wait, PATIENCE))]
        waiting += [asyncio.ensure_future(threads.heavy(done.append, n)) for n in range(3)]
        await asyncio.sleep(0)
        held.set()
        threads.close()
        await asyncio.gather(*waiting)

    run(work)
    assert done == [0, 1, 2]


def test_nothing_runs_after_closing() -> None:
    threads = Threads()
    threads.close()

    async def work() -> None:
        await threads.quick(int)

    with pytest.raises(RuntimeError, match="stopped"):
        run(work)


def test_what_an_iterator_does_between_its_parts_runs_on_a_thread_and_it_is_closed(threads: Threads) -> None:
    seen: list[int] = []

    def parts() -> Iterator[bytes]:
        try:
            for part in (b"a", b"b", b"c"):
                seen.append(threading.get_ident())
                yield part
        finally:
            seen.append(threading.get_ident())

    async def work() -> list[bytes]:
        found = []
        async for part in threads.each(parts()):
            found.append(part)
            if len(found) == 2:
                break
        return found

    async def closing() -> list[bytes]:
        found = await work()
        async with asyncio.timeout(30):  # it is closed by a task of the loop's own, when nobody holds it
            while len(seen) < 3:
                await asyncio.sleep(0)
        return found

    assert run(closing) == [b"a", b"b"]
    assert len(seen) == 3
    assert threading.get_ident() not in seen
