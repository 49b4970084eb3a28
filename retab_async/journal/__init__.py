"""Journal of a bulk job: an append-only file of outcomes, so that a job that was killed can be resumed.

Each line is a JSON object that ends with a line break. The first one is a header:

| key | value |
|---|---|
| `journal` | always "retab_async", as the first key: a file that begins otherwise is no journal |
| `version` | the version of this format: 1 |
| `kinds` | the kinds of the job's runs, such as ["splits"]; empty for a job of any kind |
| `base_url` | the base URL of the API |
| `credential` | a hash of the API key or token |
| `job` | "process"; absent for a bulk cancel |

A later header replaces it: a job with another key may take over a journal in which nothing is settled yet. Every other
line is the outcome of one id:

| key | value |
|---|---|
| `kind` | the kind of the run, such as "splits" |
| `run_id` | the id that was to be cancelled |
| `disposition` | the outcome, such as "cancelled" |
| `final` | whether the id is settled, and not sent again when the job is resumed |
| `status` | the run's status if an answer contained it, else null |
| `reason` | why the run is not cancelled, for people; may be empty |
| `time` | when the outcome was known: RFC 3339, in UTC |

The journal of a process job has a line for each run that was created, with the disposition "active" and `final` false,
and one for each outcome. A document that is uploaded before its create has one more, with the disposition "uploaded"
and `final` false. All have two more keys:

| key | value |
|---|---|
| `item` | a hash of the document's name or content and of the arguments of its run |
| `name` | the name of the document, without the query of a URL |
| `file` | of an uploaded document: the `filename` and `url` by which its create names it |

Texts are truncated to 1,000 characters. Unknown keys are ignored. A last line that was torn by a crash is dropped.
"""

from retab_async.journal.entry import ACTIVE, UPLOADED, Entry, JournalHeader, Settled
from retab_async.journal.journal import Journal

__all__ = ["ACTIVE", "UPLOADED", "Entry", "Journal", "JournalHeader", "Settled"]
