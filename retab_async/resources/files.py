"""Files: the documents that the service has, by themselves."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Literal

import attrs

from retab_async.api.kind import KindSpec
from retab_async.api.parser import RunParser
from retab_async.cleanup import CleanupQueue
from retab_async.documents import Document, is_https, unsigned, upload_document
from retab_async.errors import SchemaMismatchError
from retab_async.listing import Page, RunPager, list_query
from retab_async.models import FileRef, MIMEData, SparseRepr, UploadedFile
from retab_async.protocol import Request, parse_json, response_error, run_path
from retab_async.resources.namespace import Namespace
from retab_async.transport import Transport
from retab_async.validation import one_of

_PATH = "/v1/files"


@attrs.frozen(kw_only=True, repr=False)
class File(FileRef):
    """A file that the service has; it will do as a document wherever its `FileRef` will."""

    object: str = "file"
    created_at: datetime | None = None
    updated_at: datetime | None = None
    page_count: int | None = None


@attrs.frozen(kw_only=True, repr=False)
class DownloadLink(SparseRepr):
    """Where a file can be had: whoever has the `download_url` has the file, for as long as `expires_in` says.

    `mime_data` is the file as a document.
    """

    download_url: str
    expires_in: str = ""
    filename: str = ""
    mime_data: MIMEData | None = None

    def __repr__(self) -> str:
        # Not the URL: it is signed.
        return f"DownloadLink(filename={self.filename!r}, expires_in={self.expires_in!r})"


class Files(Namespace):
    """The files of an account: `/v1/files`; the API deletes none."""

    def __init__(self, transport: Transport, cleanup: CleanupQueue) -> None:
        super().__init__(transport, cleanup)
        self._transport = transport
        self._reader = RunParser(_PATH, File, KindSpec(status_path=()))

    async def upload(self, document: Document) -> UploadedFile:
        """Send a document to the service, and return it as one for any number of creates.

        A create sends, or uploads, its document by itself: this is for a document of several runs, and for what takes
        the id of a file. Raises `InvalidDocumentError` for what cannot be read, or is where the API can have it: a URL,
        a `FileRef`; and what the calls raise.

        `POST /v1/files/upload`, a `PUT` to the address in the answer, `POST /v1/files/upload/{file_id}/complete`
        """
        return await upload_document(self._transport, document)

    async def get(self, file_id: str | FileRef | UploadedFile) -> File:
        """Return what the service knows of a file.

        Raises what the `get` of a collection of runs raises.

        `GET /v1/files/{file_id}`
        """
        id_ = _id_of(file_id)
        response = await self._transport.send(Request("GET", run_path(_PATH, id_)))
        return self._reader.parse_run(response, id_)

    async def download_link(self, file_id: str | FileRef | UploadedFile) -> DownloadLink:
        """Return where a file can be had, by whoever has the link; `ResponseError` for anything but an https:// URL.

        `GET /v1/files/{file_id}/download-link`
        """
        request = Request("GET", run_path(_PATH, _id_of(file_id), "/download-link"))
        response = unsigned(await self._transport.send(request))
        try:
            link = _structurer()(parse_json(response))
        except SchemaMismatchError as error:
            raise response_error(response, str(error), error.path) from None
        if not is_https(link.download_url):
            raise response_error(response, "download_url: expected an https:// URL", "download_url")
        return link

    # The official name.
    get_download_link = download_link

    def list(
        self,
        *,
        filename: str | None = None,
        mime_type: str | None = None,
        from_date: date | None = None,
        to_date: date | None = None,
        sort_by: Literal["created_at", "updated_at"] | None = None,
        order: Literal["asc", "desc"] = "desc",
        limit: int = 100,
        before: str | None = None,
        after: str | None = None,
    ) -> RunPager[File]:
        """Return the files that match all filters, newest first, as `async for` that asks page by page as it goes.

        `sort_by`: what `order` goes by, `created_at` by default. The rest as in `ListedRuns.list`.

        `GET /v1/files`
        """
        query = list_query(
            filename=filename,
            mime_type=mime_type,
            from_date=from_date,
            to_date=to_date,
            sort_by=None if sort_by is None else one_of("sort_by", sort_by, ("created_at", "updated_at")),
            order=order,
            limit=limit,
            before=before,
            after=after,
        )
        return RunPager(self._page, query, _PATH)

    async def _page(self, query: str) -> Page[File]:
        return self._reader.parse_page(await self._transport.send(Request("GET", _PATH, query)))


def _id_of(file: Any) -> Any:
    return file.id if isinstance(file, FileRef | UploadedFile) else file


def _structurer() -> Callable[[object], DownloadLink]:
    # As in `Reader`: what is not needed is not imported.
    from retab_async.converter import make_structurer  # noqa: PLC0415

    return make_structurer(DownloadLink)
