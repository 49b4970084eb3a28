"""Files of an account: upload, look-up, download links and the list."""

from collections.abc import Callable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

import attrs

from retab_async import documents
from retab_async.api.kind import KindSpec
from retab_async.api.parser import RunParser
from retab_async.documents import Document, UploadCallback
from retab_async.errors import SchemaMismatchError
from retab_async.listing import Page, RunPager, list_query
from retab_async.models import FileRef, MIMEData, SparseRepr, UploadedFile
from retab_async.official_names import explain_parameters
from retab_async.protocol import Request, Response, parse_json, response_error, run_path
from retab_async.resources.namespace import Namespace
from retab_async.validation import one_of, optional_callable

if TYPE_CHECKING:
    from retab_async.cleanup import CleanupQueue
    from retab_async.transport import Transport

_PATH = "/v1/files"


@attrs.frozen(kw_only=True, repr=False)
class File(FileRef):
    """A file that the service has; like any `FileRef`, it can be the document of a run."""

    object: str = "file"
    created_at: datetime | None = None
    updated_at: datetime | None = None
    page_count: int | None = None


@attrs.frozen(kw_only=True, repr=False)
class DownloadLink(SparseRepr):
    """Signed URL of a file: it gives access to the file, without any key, until it expires.

    Attributes:
        download_url: The signed URL.
        expires_in: How long the URL is valid, as the service writes it.
        filename: The filename.
        mime_data: The file as a document of another run.
    """

    download_url: str = attrs.field(repr=False)
    expires_in: str = ""
    filename: str = ""
    mime_data: MIMEData | None = None

    def __repr__(self) -> str:
        # Not the URL: it is signed.
        return f"DownloadLink(filename={self.filename!r}, expires_in={self.expires_in!r})"


@explain_parameters
class Files(Namespace):
    """Files of an account: `/v1/files`; the API cannot delete any."""

    def __init__(self, transport: "Transport", cleanup: "Callable[[], CleanupQueue]") -> None:
        super().__init__(transport, cleanup)
        self._reader = RunParser(_PATH, File, KindSpec(status_path=()))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {_PATH}>"

    async def upload(
        self, document: Document, *, filename: str | None = None, on_upload: UploadCallback | None = None
    ) -> UploadedFile:
        """Upload a document, for any number of creates and for calls that take the id of a file.

        A create sends its document by itself, so a document of one run needs no upload.

        Args:
            document: Bytes, a path, a binary file object or a `data:` URL, or a pair of a filename and one of them.
            filename: The filename to send; by default the document's own.
            on_upload: Called with an `UploadProgress` whenever a part of the document was sent.

        Raises:
            InvalidDocumentError: The document cannot be read, or the API can fetch it itself: a URL, a `FileRef`.
            RequestError: One of the requests failed.

        `POST /v1/files/upload`, a `PUT` to the address in the answer, `POST /v1/files/upload/{file_id}/complete`
        """
        return await documents.upload_document(
            self._transport, document, filename, optional_callable("on_upload", on_upload)
        )

    async def get(self, file_id: str | FileRef | UploadedFile) -> File:
        """Return the metadata of a file.

        Args:
            file_id: The id, or an object that has it.

        Raises:
            NotFoundError: The service has no such file.
            RequestError: As for the `get` of runs.

        `GET /v1/files/{file_id}`
        """
        id_ = _id_of(file_id)
        response = await self._transport.send(Request("GET", run_path(_PATH, id_)))
        return self._reader.parse_run(response, id_)

    async def download_link(self, file_id: str | FileRef | UploadedFile) -> DownloadLink:
        """Return a signed URL of a file.

        Args:
            file_id: The id, or an object that has it.

        Raises:
            ResponseError: The answer has no https:// URL.
            RequestError: As for the `get` of runs.

        `GET /v1/files/{file_id}/download-link`
        """
        _, link = await self._get_link(file_id)
        return link

    # The name of the published API.
    get_download_link = download_link

    async def download(self, file_id: str | FileRef | UploadedFile) -> bytes:
        """Return the content of a file; the service that stores it is sent no credential.

        Args:
            file_id: The id, or an object that has it.

        Raises:
            ResponseError: The answer has no URL of a public https:// address.
            ResponseTooLargeError: The file is larger than the client's `max_response_bytes`.
            RequestError: As for the `get` of runs.

        `GET /v1/files/{file_id}/download-link`, a `GET` of the address in the answer
        """
        response, link = await self._get_link(file_id)
        if not documents.is_storage_url(link.download_url, self._transport.base_url):
            raise response_error(response, "download_url: expected a public address", "download_url")
        request = Request("GET", "", external_url=link.download_url)
        return (await documents.send_to_storage(self._transport, request)).body

    def list(
        self,
        *,
        filename: str | None = None,
        mime_type: str | None = None,
        from_date: date | str | None = None,
        to_date: date | str | None = None,
        sort_by: Literal["created_at", "updated_at"] | None = None,
        order: Literal["asc", "desc"] = "desc",
        limit: int = 100,
        before: str | None = None,
        after: str | None = None,
    ) -> RunPager[File]:
        """Return an async iterator over the files that match all filters, newest first, which fetches page by page.

        Args:
            filename: Only files with this filename.
            mime_type: Only files of this media type.
            from_date: Only files created on or after this date.
            to_date: Only files created on or before this date.
            sort_by: The time that `order` refers to; `created_at` by default.
            order: "desc" for the newest first, "asc" for the oldest first.
            limit: Files a page, 1 to 100.
            before: Only files before this id.
            after: Only files after this id.

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

    async def _get_link(self, file_id: str | FileRef | UploadedFile) -> tuple[Response, DownloadLink]:
        request = Request("GET", run_path(_PATH, _id_of(file_id), "/download-link"))
        response = documents.redact_queries(await self._transport.send(request))
        try:
            link = _structurer()(parse_json(response))
        except SchemaMismatchError as error:
            raise response_error(response, str(error), error.path) from None
        # An emulator has no TLS.
        if not (
            documents.is_https(link.download_url)
            or documents.is_storage_url(link.download_url, self._transport.base_url)
        ):
            raise response_error(response, "download_url: expected an https:// URL", "download_url")
        return response, link

    async def _page(self, query: str) -> Page[File]:
        return self._reader.parse_page(await self._transport.send(Request("GET", _PATH, query)))


def _id_of(file: Any) -> Any:
    return file.id if isinstance(file, FileRef | UploadedFile) else file


def _structurer() -> Callable[[object], DownloadLink]:
    # Imported on first use: cattrs is slow to import.
    from retab_async.converter import make_structurer  # noqa: PLC0415

    return make_structurer(DownloadLink)
