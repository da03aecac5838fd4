"""Which batch a child gets next, and which one it may fetch ahead."""

from celery_batches import SimpleRequest

from worker.line import Batch, Line
from worker.tagging.fetch_ahead import Foreseen


class Worker:
    """A line of batches with names, and what was handed over: (batch, foreseen)."""

    def __init__(self, children: int) -> None:
        self.handed_over: list[tuple[str, str | None]] = []
        self.batches: dict[str, Batch] = {}
        self.line = Line(self._submit, lambda batch: Foreseen(uris=(name(batch),), of_run=False))
        self.line.reconnected(children)

    def add(self, *names: str, alone: bool = False) -> None:
        for each in names:
            part = SimpleRequest(each, "task", (), {}, {}, None, False, None, None, {})
            self.batches[each] = Batch(messages=[], parts=[part], alone=alone)
            self.line.add(self.batches[each])

    def accept(self, *names: str) -> None:
        for each in names:
            self.line.accepted(self.batches[each], 1)

    def end(self, name: str, *, died: bool = False) -> None:
        self.line.ended(self.batches[name], died=died)

    def _submit(self, batch: Batch, foreseen: Foreseen | None) -> None:
        self.handed_over.append((name(batch), foreseen.uris[0] if foreseen else None))


def name(batch: Batch) -> str:
    return str(batch.parts[0].id)


def test_no_more_is_handed_over_than_there_are_children() -> None:
    worker = Worker(2)
    worker.add("a", "b", "c", "d")
    assert [each for each, _ in worker.handed_over] == ["a", "b"]
    worker.end("a")
    assert [each for each, _ in worker.handed_over] == ["a", "b", "c"]


def test_a_child_gets_what_it_fetched_ahead_whichever_child_ends_first() -> None:
    worker = Worker(2)
    for each in ("a", "b"):  # as they come in: nothing waits yet that could be foreseen
        worker.add(each)
    worker.add("c", "d", "e", "f", "g")
    worker.end("b")
    worker.end("a")
    assert worker.handed_over[2:] == [("c", "d"), ("e", "f")]
    worker.end("e")
    worker.end("c")
    assert worker.handed_over[4:] == [("f", "g"), ("d", None)]


def test_no_two_children_fetch_the_same_batch() -> None:
    worker = Worker(2)
    worker.add("a", "b", "c", "d", "e", "f")
    worker.end("a")
    worker.end("b")
    foreseen = [each for _, each in worker.handed_over if each]
    assert len(foreseen) == len(set(foreseen)) == 2


def test_an_idle_child_takes_what_another_fetches() -> None:
    worker = Worker(2)
    worker.add("a", "b", "c", "d")
    worker.end("a")
    assert worker.handed_over[-1] == ("c", "d")
    worker.end("b")  # and nothing else waits
    assert worker.handed_over[-1] == ("d", None)
    worker.end("c")
    assert len(worker.handed_over) == 4


def test_while_a_child_idles_nothing_is_fetched_ahead_as_nothing_waits() -> None:
    worker = Worker(3)
    worker.add("a", "b")
    assert worker.handed_over == [("a", None), ("b", None)]


def test_what_a_dead_child_had_fetched_ahead_goes_to_whoever_is_next() -> None:
    worker = Worker(1)
    worker.add("a", "b", "c", "d")
    worker.end("a")
    assert worker.handed_over[-1] == ("b", "c")
    worker.end("b", died=True)
    assert worker.handed_over[-1] == ("c", "d")


def test_a_suspect_comes_before_all_that_waits_and_foresees_nothing() -> None:
    worker = Worker(1)
    worker.add("a", "b", "c")
    worker.add("suspect", alone=True)
    worker.end("a")
    assert worker.handed_over[-1] == ("suspect", None)
    worker.end("suspect")
    assert worker.handed_over[-1] == ("b", "c")


def test_after_a_reconnect_what_no_child_took_up_is_forgotten_and_holds_no_place() -> None:
    worker = Worker(2)
    worker.add("a", "b", "c")
    worker.accept("a")
    worker.line.reconnected(2)
    worker.add("again b", "again c")
    assert [each for each, _ in worker.handed_over] == ["a", "b", "again b"]
    worker.end("a")
    assert worker.handed_over[-1] == ("again c", None)


def test_what_a_child_took_up_after_all_counts_again() -> None:
    worker = Worker(1)
    worker.add("a")
    worker.line.reconnected(1)
    worker.accept("a")
    worker.add("b")
    assert [each for each, _ in worker.handed_over] == ["a"]
    worker.end("a")
    assert worker.handed_over[-1] == ("b", None)


def test_a_pool_that_works_in_this_process_takes_one_after_the_other() -> None:
    order: list[str] = []

    def submit(batch: Batch, _: Foreseen | None) -> None:
        order.append(f"begin {name(batch)}")
        line.accepted(batch, 1)
        line.ended(batch)
        order.append(f"end {name(batch)}")

    line = Line(submit, lambda _: None)
    for each in ("a", "b"):
        part = SimpleRequest(each, "task", (), {}, {}, None, False, None, None, {})
        line.add(Batch(messages=[], parts=[part], alone=False))
    assert order == ["begin a", "end a", "begin b", "end b"]
