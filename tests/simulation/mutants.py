"""Bugs of the driver to plant, which the simulation must find; ``make mutants`` plants them too."""

from tests.mutants.faults import Fault

SIMULATION = "tests/simulation/test_simulation.py"
LEDGER, LINES, JSONL = (f"platform/storage/{name}.py" for name in ("ledger", "sealed_lines", "jsonl"))
SOURCE, RETRIES = (f"platform/execution/{name}.py" for name in ("trial_source", "retries"))
DRIVER = "platform/orchestration/orchestrator.py"


def bug(breaks: str, file: str, text: str, replacement: str) -> Fault:
    """Found by the simulation."""
    return Fault(breaks, file, text, replacement, SIMULATION)


BUGS = (
    bug("a number is given twice", LEDGER, "return self._highest + 1", "return max(0, self._highest)"),
    bug(
        "a proposal can be lost in a crash of the machine",
        *(LEDGER, "**_content(params, memory or {})}, durable=True)", "**_content(params, memory or {})})"),
    ),
    bug(
        "time spent follows a clock that jumps",
        *(
            LEDGER,
            '{"elapsed": round(time.monotonic() - self._started, 3)',
            '{"elapsed": round(time.time() - 1e9, 3)',
        ),
    ),
    bug("a half-written line stays", JSONL, "        os.ftruncate(self._file, self.end)\n", ""),
    bug(
        "a line is joined to an incomplete one",
        *(JSONL, "    os.truncate(path, end)\n", ""),
    ),
    bug("a full disk ends the study", JSONL, "if not fault.size or time", "if fault.size or time"),
    bug(
        "numbers of lines start again",
        LINES,
        "SealedLines(path, found.following, patience)",
        "SealedLines(path, 0, patience)",
    ),
    bug(
        "an interrupted trial is started twice", RETRIES, "        self._trials[ready[0]].waits = False\n", ""
    ),
    bug("a lost worker counts against its trial", RETRIES, "DEATHS = 8", "DEATHS = 1"),
    bug(
        "an exception is retried once less",
        RETRIES,
        "trial.exceptions <= self._recovery.retries",
        "trial.exceptions < self._recovery.retries",
    ),
    bug(
        "an interrupted trial waits for ever",
        RETRIES,
        "trial.ready, trial.waits = now + min",
        "trial.ready, trial.waits = 1e12 + min",
    ),
    bug(
        "retried trials do not start again",
        RETRIES,
        "trial.ready, trial.waits = time.monotonic(), trial",
        "trial.ready, trial.waits = time.monotonic(), False and trial",
    ),
    bug(
        "a trial that waits after an end is started",
        *(
            SOURCE,
            'while number is not None and self.ledger.trials[number].status != "open":',
            "while False:",
        ),
    ),
    bug(
        "a stopped trial keeps its place",
        *(
            SOURCE,
            "        self.ledger.interrupted(number, reason)\n        self.running.discard(number)\n",
            "        self.ledger.interrupted(number, reason)\n",
        ),
    ),
    bug(
        "an ended trial keeps its place",
        *(
            SOURCE,
            "        self.ledger.ended(number, status, reason)\n        self.running.discard(number)\n",
            "        self.ledger.ended(number, status, reason)\n",
        ),
    ),
    bug(
        "a report after the end is taken",
        *(
            SOURCE,
            'if trial.status != "open":\n            return False\n        if reason',
            "if reason",
        ),
    ),
    bug(
        "one trial too many",
        DRIVER,
        "len(self.ledger.trials) >= self.study.budget.trials",
        "len(self.ledger.trials) > self.study.budget.trials",
    ),
    bug(
        "a study ends while a trial waits",
        DRIVER,
        "        if self.retries.waiting:\n            return False\n",
        "",
    ),
    bug(
        "an ended trial is started again", DRIVER, 'waiting if waiting.status == "open" else None', "waiting"
    ),
    bug(
        "trials left open are forgotten",
        DRIVER,
        "self._waiting = deque(self._open_trials())",
        "self._open_trials()\n        self._waiting = deque[Trial]()",
    ),
    bug(
        "the front is that of all trials",
        *(
            "platform/storage/trials.py",
            'if status == "completed":',
            'if status in ("completed", "paused"):',
        ),
    ),
)
