"""A clock that says what a test wants it to say."""


class FakeClock:
    """Starts at a thousand seconds, so that a forgotten subtraction shows; stands still unless moved."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Script:
    """A step that takes the scripted durations, the last of them for ever."""

    def __init__(self, *durations, wait=0.0):
        self.clock, self.calls, self.waits = FakeClock(), 0, 0
        self._durations, self._wait = durations, wait

    def __call__(self):
        self.clock.now += self._durations[min(self.calls, len(self._durations) - 1)]
        self.calls += 1
        return self.calls

    def wait(self, result):
        assert result == self.calls, "waited for another call's result than the last one's"
        self.waits += 1
        self.clock.now += self._wait
