"""Journal of a bulk cancel: an append-only file of outcomes, so that a job that was killed can be resumed.

Each line is a JSON object that ends with a line break:

| key | value |
|---|---|
| `kind` | the kind of the run, such as "splits" |
| `run_id` | the id that was to be cancelled |
| `disposition` | the outcome; an id whose outcome is in `FINAL` is not sent again |
| `status` | the run's status if an answer contained it, else null |
| `reason` | why the run is not cancelled, for people; may be empty |
| `time` | when the outcome was known: RFC 3339, in UTC |

Texts are truncated to 1,000 characters. Unknown keys are ignored.
"""

from retab_async.journal.entry import FINAL, Entry
from retab_async.journal.journal import Journal

__all__ = ["FINAL", "Entry", "Journal"]
