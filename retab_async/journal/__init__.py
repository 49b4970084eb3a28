"""The journal of a bulk cancel: one line an outcome, so that a job that was killed can go on where it stood.

A line is a JSON object, ended by a line break:

| key | value |
|---|---|
| `collection` | the kind of run, as "splits" |
| `run_id` | the id that was to be cancelled |
| `disposition` | what came of it; a word of `FINAL` is not asked about again |
| `status` | the run's status where an answer told it, else null |
| `reason` | why it is not cancelled, for people; may be empty |
| `time` | when that was known: RFC 3339, in UTC |

A text is kept to its first 1,000 characters. Keys that are not known are passed over.
"""

from retab_async.journal.entry import FINAL, Entry
from retab_async.journal.journal import Journal

__all__ = ["FINAL", "Entry", "Journal"]
