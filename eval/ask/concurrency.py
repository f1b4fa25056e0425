"""How many requests are in flight: a level that finds itself.

It doubles while that still raises the throughput, then probes an eighth more from time to time and falls back where
that gains nothing. It halves when the server pushes back (429, 503, timeouts) or answers so late that timeouts are
near. No clock and no network in here: the client reports what happened.
"""

from __future__ import annotations

from statistics import median

_GAIN = 1.08
"""A round must be this much faster than the best one to be worth more requests in flight."""
_FADE = 0.98
"""The record fades every round, so that a level can be tried again."""
_ANOTHER_TASK = 0.5
"""A round this much slower than the record is not noise: other prompts, other lengths, so the search starts again."""


class ConcurrencyLevel:
    """The level now is `limit`.

    Args:
        fixed: a level that never moves, or 0 to search.
        start, most: first and highest level of the search.
        slow_s: a median latency above this halves the level.
    """

    def __init__(self, fixed: int = 0, start: int = 8, most: int = 512, slow_s: float = 100.0) -> None:
        self.limit = fixed or start
        self._fixed = bool(fixed)
        self._most = most
        self._slow_s = slow_s
        self._climbing = True
        self._best_rate = 0.0
        self._best_limit = self.limit
        self._latencies_s: list[float] = []
        self._round_began_s: float | None = None
        self._cut_at_s = float("-inf")

    def finished(self, now_s: float, latency_s: float) -> None:
        """A request was answered at `now_s` after `latency_s`."""
        if self._fixed:
            return
        if self._round_began_s is None:
            self._round_began_s = now_s
            return
        self._latencies_s.append(latency_s)
        # The answers right after a change still belong to the old level: two rounds' worth drown them.
        if len(self._latencies_s) >= 2 * self.limit:
            rate = len(self._latencies_s) / max(now_s - self._round_began_s, 1e-9)
            if median(self._latencies_s) > self._slow_s:
                self.pushed_back(now_s, 0.0)
                return
            self._judge_round(rate)
            self._latencies_s.clear()
            self._round_began_s = now_s

    def _judge_round(self, rate: float) -> None:
        if rate < self._best_rate * _ANOTHER_TASK:
            self._best_rate, self._climbing = 0.0, True
        if rate > self._best_rate * _GAIN:
            self._best_rate, self._best_limit = rate, self.limit
            step = self.limit if self._climbing else max(1, self.limit // 8)
            self.limit = min(self._most, self.limit + step)
        else:
            self._climbing = False
            self.limit = self._best_limit
            self._best_rate *= _FADE

    def pushed_back(self, now_s: float, latency_s: float) -> None:
        """The server refused or timed out: half as many, once for all requests that were in flight together."""
        if self._fixed or now_s - latency_s < self._cut_at_s:
            return
        self._cut_at_s = now_s
        self._climbing = False
        self.limit = self._best_limit = max(1, self.limit // 2)
        # Whatever the lower level yields becomes the new record; growth goes on from there in small steps.
        self._best_rate = 0.0
        self._latencies_s.clear()
        self._round_began_s = None
