"""What becomes of a process whose memory runs out: thirty limits, five kinds of work.

    python bench/memory_limits.py

A model is compiled, then the address space is limited to what is used and 0 to 60 MB more (as
`ulimit -v` does), and the work is done for 1,000 patients; 4,000 are solved, 500,000 projected. It
should be done, or raise MemoryError.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "cases"))

from memory_case import CHILD, KINDS

LIMITS = [0, 0.1, 0.2, 0.5, 1, 1.5, *range(2, 20), 22, 25, 30, 40, 50, 60]  # MB more


def main() -> int:
    """Prints a line a kind; 1 if a process ended otherwise."""
    wrong = 0
    for kind in KINDS:
        seen: Counter[str] = Counter()
        for extra in LIMITS:
            run = subprocess.run(
                [sys.executable, "-c", CHILD, kind, str(extra)],
                capture_output=True,
                text=True,
                check=False,
            )
            word = run.stdout.strip()
            fine = run.returncode == 0 and word in ("done", "MemoryError")
            seen[word if fine else f"return code {run.returncode} at {extra} MB"] += 1
            wrong += not fine
            if not fine:
                print(kind, extra, "MB:", run.returncode, run.stderr[-400:])
        print(f"{kind}: " + ", ".join(f"{count} {word}" for word, count in sorted(seen.items())))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
