"""The media types of documents, by the extensions of their names."""

ANY_TYPE = "application/octet-stream"

# From each type to its extensions; the first one is given to what has no name. Not from `mimetypes`: that reads files
# of the system, which differ from one machine to the next. What is code or settings to others is text to Retab.
_EXTENSIONS = {
    "application/pdf": "pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.template": "dotx",
    "application/vnd.ms-word.document.macroenabled.12": "docm",
    "application/msword": "doc dot",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.template": "xltx",
    "application/vnd.ms-excel.sheet.macroenabled.12": "xlsm",
    "application/vnd.ms-excel.sheet.binary.macroenabled.12": "xlsb",
    "application/vnd.ms-excel": "xls xlt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.presentationml.slideshow": "ppsx",
    "application/vnd.ms-powerpoint.presentation.macroenabled.12": "pptm",
    "application/vnd.ms-powerpoint": "ppt pps",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/rtf": "rtf",
    "application/json": "json",
    "application/xml": "xml",
    "application/yaml": "yaml yml",
    "application/zip": "zip",
    "application/vnd.ms-outlook": "msg",
    "message/rfc822": "eml mhtml mht",
    "text/html": "html htm",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "text/markdown": "md",
    "text/plain": (
        "txt log ini conf cfg nfo srt sql sh bat ps1 js jsx ts tsx py java c cpp cs rb php swift kt go rs pl r m scala"
    ),
    "image/jpeg": "jpg jpeg",
    "image/png": "png",
    "image/gif": "gif",
    "image/bmp": "bmp",
    "image/tiff": "tiff tif",
    "image/webp": "webp",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/svg+xml": "svg",
    "audio/mpeg": "mp3 mpga",
    "audio/mp4": "m4a",
    "audio/wav": "wav",
    "video/mp4": "mp4",
    "video/mpeg": "mpeg",
    "video/webm": "webm",
}
_TYPES = {extension: kind for kind, extensions in _EXTENSIONS.items() for extension in extensions.split()}


def type_by_name(filename: str) -> str:
    """Return the media type that a name's extension stands for, or "" for an extension that is not known, or none."""
    _, dot, extension = filename.rpartition(".")
    return _TYPES.get(extension.lower(), "") if dot else ""


def extension_of(media_type: str) -> str:
    """Return the extension that names of a media type get, with its dot, or "" for a type that is not known."""
    extensions = _EXTENSIONS.get(media_type)
    return f".{extensions.split()[0]}" if extensions else ""
