"""Documents on their way to the API: what a caller may give, and the bodies of requests that it becomes."""

from retab_async.documents.bodies import Attachment
from retab_async.documents.creating import create_body, sending_time
from retab_async.documents.links import is_https, unsigned
from retab_async.documents.opening import Document
from retab_async.documents.uploads import store

__all__ = ["Attachment", "Document", "create_body", "is_https", "sending_time", "store", "unsigned"]
