"""Reads the form of an upload: small fields into memory, the file to the disk as it arrives."""

from dataclasses import dataclass, field
from typing import Final

from myna.core.errors import InvalidFile, InvalidRequest
from myna.core.files import StoredFile, new_file_id
from myna.http.multipart import MultipartParser, PartBegin, PartData
from myna.request.context import RequestContext
from myna.stores.files import Files, Upload
from myna.wire.errors import UnsupportedContentType

PURPOSES: Final = ("batch",)
DAY_S: Final = 86_400
EXPIRY_S: Final = (3600, 30 * DAY_S)
_MAX_FIELD: Final = 4096
_MAX_NAME: Final = 255
_FIELDS: Final = ("purpose", "expires_after[anchor]", "expires_after[seconds]")


@dataclass(slots=True)
class UploadForm:
    """What has arrived: the fields, and the file's name, None if there is no file."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None


async def receive_file(context: RequestContext, files: Files) -> StoredFile:
    """The uploaded file, stored. Raises `InvalidFile`, `FileTooLarge` or `StorageFailed`."""
    parser = _parser(context)
    upload = await files.upload(context.principal.project, file_id := new_file_id())
    try:
        form = await _read(context, parser, upload)
        now = int(files.clock())
        file = StoredFile(
            id=file_id,
            project=context.principal.project,
            purpose="batch",
            filename=_checked_name(form),
            num_bytes=upload.num_bytes,
            created_at=now,
            expires_at=now + _expiry_s(form.fields),
        )
        if not upload.num_bytes:
            raise InvalidFile("File is empty.")
        await upload.finish(file)
    finally:
        await upload.aclose()
    return file


def _parser(context: RequestContext) -> MultipartParser:
    declared = context.request.headers.get("content-type", "")
    if declared.split(";", 1)[0].strip().lower() != "multipart/form-data":
        raise UnsupportedContentType(
            f"Unsupported content type: '{declared}'. This API method only accepts 'multipart/form-data' "
            f"requests, but you specified the header 'Content-Type: {declared}'. "
            "Please try again with a supported content type."
        )
    return MultipartParser(declared)


async def _read(context: RequestContext, parser: MultipartParser, upload: Upload) -> UploadForm:
    form, name, value = UploadForm(), "", bytearray()
    async for data in context.request.stream():
        for event in parser.feed(data):
            match event:
                case PartBegin():
                    name, value = _begin(form, event), bytearray()
                case PartData() if name == "file":
                    await upload.write(event.data)
                case PartData():
                    value += event.data
                    if len(value) > _MAX_FIELD:
                        raise InvalidFile(f"The value of '{name}' is too long.", param=name)
                case _ if name != "file":
                    form.fields[name] = value.decode("utf-8", "replace")
    parser.close()
    return form


def _begin(form: UploadForm, part: PartBegin) -> str:
    """The name of the part that begins. Raises `InvalidRequest` for a part that is unknown or a second one
    of its name."""
    if part.name == "file":
        if form.filename is not None:
            raise InvalidFile("Only one file can be uploaded at a time.", param="file")
        form.filename = part.filename or ""
    elif part.name not in _FIELDS:
        raise InvalidRequest(
            f"Unknown parameter: '{part.name[:64]}'.", param=part.name[:64], code="unknown_parameter"
        )
    elif part.name in form.fields:
        raise InvalidFile(f"'{part.name}' is given twice.", param=part.name)
    return part.name


def _checked_name(form: UploadForm) -> str:
    """The file's name, on one line; checks what must be there in OpenAI's order."""
    purpose = form.fields.get("purpose")
    if purpose is None:
        raise InvalidFile("'purpose' is a required property", param="purpose")
    if purpose not in PURPOSES:
        raise InvalidFile(f"'{purpose[:64]}' is not one of {list(PURPOSES)} - 'purpose'", param="purpose")
    if form.filename is None:
        raise InvalidFile("'file' is a required property", param="file")
    name = form.filename.replace("\\", "/").rpartition("/")[2]
    name = "".join(char if char.isprintable() else "?" for char in name)
    if not name.lower().endswith(".jsonl"):
        raise InvalidFile(
            "Invalid file format for Batch API. Must be .jsonl", param="file", code="invalid_jsonl_file"
        )
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 6]}.jsonl"


def _expiry_s(fields: dict[str, str]) -> int:
    """How long the file is kept; without a wish, 30 days, as OpenAI keeps the input of a batch."""
    low, high = EXPIRY_S
    anchor, raw = (fields.get(f"expires_after[{name}]") for name in ("anchor", "seconds"))
    if anchor is None and raw is None:
        return high
    if anchor != "created_at":
        raise InvalidFile(
            "'expires_after[anchor]' must be 'created_at'.",
            param="expires_after[anchor]",
            code="invalid_value",
        )
    if raw is None or len(raw) > 9 or not (raw.isascii() and raw.isdecimal()) or not low <= int(raw) <= high:
        raise InvalidFile(
            f"'expires_after[seconds]' must be an integer from {low} to {high}.",
            param="expires_after[seconds]",
            code="invalid_value",
        )
    return int(raw)
