import os
import threading
from concurrent.futures import ThreadPoolExecutor

from worker.local.processes import BACKGROUND_NICENESS, give_way


def priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_threads_that_decode_give_way_and_the_one_that_writes_does_not() -> None:
    before = priority()
    with ThreadPoolExecutor(1, initializer=give_way) as threads:
        assert threads.submit(priority).result() == max(before, BACKGROUND_NICENESS)
    assert priority() == before
