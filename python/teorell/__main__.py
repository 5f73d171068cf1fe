"""`python -m teorell`: the command line without the script that pip installs."""

from __future__ import annotations

from teorell.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
