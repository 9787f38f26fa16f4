"""Turns on the device: one at a time, first come first served, long work lets others in between."""

import threading

from mvg.server.device_queue import DeviceQueue


def test_long_work_and_others_take_turns() -> None:
    queue, order = DeviceQueue(), list[str]()

    def waiting(count: int) -> None:
        while queue.waiting < count:
            pass

    def short(name: str) -> None:
        with queue.turn():
            order.append(name)

    def long() -> None:
        with queue.turn():
            threads = []
            for number in range(2):
                threads.append(threading.Thread(target=short, args=(f"short {number}",)))
                threads[-1].start()
                waiting(number + 1)
            order.append("long, first part")
            queue.let_others()
            order.append("long, second part")
            queue.let_others()
            order.append("long, third part")
        for thread in threads:
            thread.join()

    long()
    assert order == ["long, first part", "short 0", "short 1", "long, second part", "long, third part"]


def test_nobody_shares_the_device() -> None:
    queue, inside, most = DeviceQueue(), [0], [0]

    def work() -> None:
        for _ in range(50):
            with queue.turn():
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_an_error_frees_the_device() -> None:
    queue = DeviceQueue()
    try:
        with queue.turn():
            raise ValueError
    except ValueError:
        pass
    with queue.turn():
        assert queue.waiting == 0
