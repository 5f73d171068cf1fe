"""Prints what README.md fences: its pip commands, one a line, or its Python code as one script."""

import re
import sys
from pathlib import Path

what, readme = sys.argv[1:]
fences = re.findall(
    r"^```(\w+)\n(.*?)^```$",
    Path(readme).read_text(encoding="utf-8"),
    flags=re.MULTILINE | re.DOTALL,
)
if what == "commands":
    print(
        "".join(
            text
            for language, text in fences
            if language in ("sh", "bash") and "pip install" in text
        ),
        end="",
    )
else:
    print("\n".join(text for language, text in fences if language == "python"))
