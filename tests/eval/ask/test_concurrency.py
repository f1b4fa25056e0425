"""The level finds what a server can take, from what it is told alone."""

from eval.ask.concurrency import ConcurrencyLevel


def play(level: ConcurrencyLevel, service_s: float, slots: int, requests: int, start_s: float = 0.0) -> float:
    """A server that answers `slots` requests at a time, each after `service_s`; returns the time it ends."""
    now = start_s
    while requests > 0:
        batch = min(level.limit, requests)
        requests -= batch
        for place in range(batch):
            waits_s = service_s * (1 + place // slots)
            level.finished(now + waits_s, waits_s)
        now += service_s * (1 + (batch - 1) // slots)
    return now


def test_it_climbs_to_what_the_server_takes_and_stays() -> None:
    level = ConcurrencyLevel()
    play(level, 0.05, slots=64, requests=20_000)
    assert 48 <= level.limit <= 128


def test_it_stays_low_where_more_gains_nothing() -> None:
    level = ConcurrencyLevel()
    play(level, 0.05, slots=4, requests=2_000)
    assert level.limit <= 16


def test_it_has_a_ceiling() -> None:
    level = ConcurrencyLevel(most=100)
    play(level, 0.05, slots=10_000, requests=20_000)
    assert level.limit == 100


def test_push_back_halves_once_for_a_burst() -> None:
    level = ConcurrencyLevel(start=64)
    for _ in range(20):
        level.pushed_back(now_s=10.0, latency_s=0.1)
    assert level.limit == 32
    level.pushed_back(now_s=11.0, latency_s=0.1)
    assert level.limit == 16


def test_it_never_stops_asking_and_recovers() -> None:
    level = ConcurrencyLevel()
    for second in range(20):
        level.pushed_back(now_s=float(second), latency_s=0.1)
    assert level.limit == 1
    play(level, 0.05, slots=32, requests=5_000, start_s=30.0)
    assert level.limit >= 8


def test_answers_close_to_the_timeout_halve_it() -> None:
    level = ConcurrencyLevel(start=32, slow_s=10.0)
    play(level, 12.0, slots=32, requests=70)
    assert level.limit < 32


def test_a_fixed_level_never_moves() -> None:
    level = ConcurrencyLevel(fixed=5)
    level.pushed_back(1.0, 0.1)
    play(level, 0.01, slots=100, requests=500)
    assert level.limit == 5
