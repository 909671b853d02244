"""`make chaos`: many faults, then a report for docs/reliability.md on stdout. Exit code 1: something was wrong."""

import argparse
import tempfile
from pathlib import Path

from tests.chaos import trial
from tests.harness.upstream import Upstream


def main() -> int:
    """Run a trial without and one with the SDK's own retries."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=4711)
    parser.add_argument("--rounds", type=int, default=20, help="faults in each trial")
    parser.add_argument("--clients", type=int, default=8)
    given = parser.parse_args()
    upstream = Upstream()
    upstream.start()
    bad = 0
    for seed, retries in ((given.seed, 0), (given.seed + 1, 2)):
        with tempfile.TemporaryDirectory(prefix="understudy-chaos-", ignore_cleanup_errors=True) as folder:
            outcome = trial.run(
                Path(folder),
                upstream,
                seed=seed,
                strikes=given.rounds,
                clients=given.clients,
                max_retries=retries,
                longest_s=30.0 if given.rounds >= 20 else 8.0,
            )
        print("\n".join(lines(outcome, retries)), flush=True)
        bad += len(outcome.findings)
    upstream.close()
    return 1 if bad else 0


def lines(outcome: trial.Outcome, retries: int) -> list[str]:
    """Return an outcome as a piece of Markdown."""
    return [
        f"### Seed {outcome.seed}, max_retries={retries}: {outcome.seconds:.0f} s",
        "",
        f"- faults: {', '.join(f'{count} × {name}' for name, count in sorted(outcome.faults.items()))}",
        f"- talks: {outcome.talks}, of which {outcome.refused} met an error; streams read to their end: "
        f"{outcome.streams}",
        f"- runs: {', '.join(f'{count} {status}' for status, count in sorted(outcome.statuses.items()))}",
        *[f"- failed, {count} ×: {message}" for message, count in outcome.errors.items()],
        f"- findings: {len(outcome.findings)}",
        *[f"  - {finding}" for finding in outcome.findings],
        "",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
