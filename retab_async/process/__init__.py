"""Process jobs: many documents through one kind of run, bounded, resumable, and with no run left behind."""

from retab_async.process.job import ProcessJob
from retab_async.process.options import ProcessingOptions, ProcessOptions
from retab_async.process.results import ProcessDisposition, ProcessReport, ProcessResult
from retab_async.process.source import DocumentSource
from retab_async.process.worker import ProcessTarget

__all__ = [
    "DocumentSource",
    "ProcessDisposition",
    "ProcessJob",
    "ProcessOptions",
    "ProcessReport",
    "ProcessResult",
    "ProcessTarget",
    "ProcessingOptions",
]
