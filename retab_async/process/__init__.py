"""Process jobs: many documents through one kind of run, bounded, resumable, and with no run left behind."""

from typing import TYPE_CHECKING

from retab_async.lazy import lazy_names

if TYPE_CHECKING:
    from retab_async.process.arguments import (
        ProcessingOptions as ProcessingOptions,
    )
    from retab_async.process.job import (
        ProcessJob as ProcessJob,
    )
    from retab_async.process.options import (
        ProcessOptions as ProcessOptions,
    )
    from retab_async.process.results import (
        ProcessDisposition as ProcessDisposition,
        ProcessReport as ProcessReport,
        ProcessResult as ProcessResult,
    )
    from retab_async.process.source import (
        DocumentSource as DocumentSource,
    )
    from retab_async.process.worker import (
        ProcessTarget as ProcessTarget,
    )
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "DocumentSource": "source",
            "ProcessDisposition": "results",
            "ProcessJob": "job",
            "ProcessOptions": "options",
            "ProcessReport": "results",
            "ProcessResult": "results",
            "ProcessTarget": "worker",
            "ProcessingOptions": "arguments",
        },
    )
