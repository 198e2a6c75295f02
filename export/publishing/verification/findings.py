"""What a verification found, item by item."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from export.core.console import printable

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")  # could tell a terminal anything


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was verified: `ok`, or False where it differs, or None where it could not be looked at."""

    subject: str
    ok: bool | None
    text: str

    def line(self) -> str:
        """Return it for the terminal."""
        mark = {True: "ok    ", False: "DIFFERS", None: "not verified"}[self.ok]
        subject = printable(self.subject).replace("\n", "\\n")
        line = f"{mark} {subject}" + (f": {self.text}" if self.text else "")
        return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", line)


@dataclass(slots=True)
class Findings:
    """All findings in order; `tell` is called with each."""

    tell: Callable[[Finding], None]
    all: list[Finding] = field(default_factory=list)

    def add(self, subject: str, ok: bool | None, text: str = "") -> bool:
        """Add a finding, and return whether nothing differs."""
        finding = Finding(subject, ok, text)
        self.all.append(finding)
        self.tell(finding)
        return ok is not False

    def count(self, ok: bool | None) -> int:
        """Return how many findings are so."""
        return sum(finding.ok is ok for finding in self.all)
