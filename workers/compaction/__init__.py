"""What a compaction rewrites, and into what: `plan` cuts it into ingestions, `existing` reads what segments know."""

from __future__ import annotations
