from __future__ import annotations

import asyncio
import threading

import pytest

from openwmi.providers.threads import WorkerThreads


async def test_results_and_exceptions_come_back() -> None:
    threads = WorkerThreads("test", 2)
    assert await threads.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await threads.run(divmod, 7, 0)
    threads.close()


@pytest.mark.parametrize("error", [StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit])
async def test_what_would_end_more_than_the_job_is_an_ordinary_error(error: type[BaseException]) -> None:
    def raises() -> None:
        raise error

    threads = WorkerThreads("test", 1)
    with pytest.raises(RuntimeError, match=error.__name__):
        await threads.run(raises)
    threads.close()


async def test_no_more_than_the_limit_run_at_a_time() -> None:
    threads = WorkerThreads("test", 3)
    go, lock = threading.Event(), threading.Lock()
    running: list[int] = []
    reached = threading.Semaphore(0)

    def job(number: int) -> int:
        with lock:
            running.append(number)
        reached.release()
        go.wait(30)
        return number

    futures = [threads.run(job, number) for number in range(8)]
    for _ in range(3):
        assert await asyncio.to_thread(reached.acquire, True, 30)
    with lock:
        assert len(running) == 3
    go.set()
    assert await asyncio.gather(*futures) == list(range(8))
    threads.close()


async def test_a_cancelled_job_that_waits_is_not_run() -> None:
    threads = WorkerThreads("test", 1)
    go = threading.Event()
    ran: list[int] = []
    first = threads.run(go.wait, 30)
    second = threads.run(ran.append, 2)
    third = threads.run(ran.append, 3)
    second.cancel()
    go.set()
    assert await first
    await third
    assert ran == [3]
    threads.close()


async def test_threads_are_daemons_and_end() -> None:
    threads = WorkerThreads("ends", 1)
    thread = await threads.run(threading.current_thread)
    assert thread.daemon
    assert thread.name == "ends"
    threads.close()
    await asyncio.to_thread(thread.join, 30)
    assert not thread.is_alive()
    assert threads.closed
    with pytest.raises(RuntimeError):
        threads.run(print)


def test_a_result_for_a_loop_that_is_closed_is_dropped() -> None:
    threads = WorkerThreads("test", 1)
    go, done = threading.Event(), threading.Event()

    async def begin() -> None:
        threads.run(go.wait, 30)
        threads.run(done.set)

    asyncio.run(begin())
    go.set()
    assert done.wait(30)
    threads.close()


def test_a_pool_without_threads_is_none() -> None:
    with pytest.raises(ValueError, match="at least one"):
        WorkerThreads("test", 0)
