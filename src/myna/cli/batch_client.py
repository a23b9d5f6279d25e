"""The Files and Batch APIs for the command line: uploads and downloads of any size, without holding them."""

import io
import json
import secrets
import shutil
from pathlib import Path
from typing import Any, Final

from myna.cli.client import Refused, get, open_response, send
from myna.core.errors import OperatorError
from myna.core.translatable import N_

_PIECE: Final = 1 << 20


class BatchClient:
    """One server. All methods raise `OperatorError` with the server's own words."""

    def __init__(self, base_url: str, key: str) -> None:
        self._base_url = base_url
        self._key = key

    def upload(self, path: Path) -> str:
        """The id of the new file."""
        boundary = secrets.token_hex(16)
        with path.open("rb") as file:
            form = _Form(file, f"{path.stem}.jsonl", path.stat().st_size, boundary)
            headers = {
                "Content-Type": f"multipart/form-data; boundary={boundary}",
                "Content-Length": str(form.num_bytes),
            }
            return str(send(self._base_url, self._key, "files", form, headers)["id"])

    def create(self, file_id: str, endpoint: str) -> dict[str, Any]:
        body = {"input_file_id": file_id, "endpoint": endpoint, "completion_window": "24h"}
        headers = {"Content-Type": "application/json"}
        return send(self._base_url, self._key, "batches", json.dumps(body).encode(), headers)

    def retrieve(self, batch_id: str) -> dict[str, Any] | None:
        """None if there is no such batch."""
        try:
            return get(self._base_url, self._key, f"batches/{batch_id}")
        except Refused as exc:
            if exc.status == 404:
                return None
            raise

    def list(self, limit: int) -> list[dict[str, Any]]:
        """The newest batches."""
        found: list[dict[str, Any]] = get(self._base_url, self._key, f"batches?limit={limit}")["data"]
        return found

    def cancel(self, batch_id: str) -> dict[str, Any]:
        return send(self._base_url, self._key, f"batches/{batch_id}/cancel", b"", {})

    def download(self, file_id: str, path: Path) -> None:
        """Write the file's content there, whole or not at all."""
        part = path.with_name(f"{path.name}.part")
        with open_response(self._base_url, self._key, f"files/{file_id}/content") as response:
            try:
                with part.open("wb") as file:
                    shutil.copyfileobj(response, file, _PIECE)
                part.replace(path)
            except OSError as exc:
                part.unlink(missing_ok=True)
                raise OperatorError(
                    N_("Can't write {path}: {reason}.", path=path, reason=exc.strerror or exc)
                ) from exc


class _Form(io.RawIOBase):
    """The form of an upload as one stream: purpose, then the file."""

    def __init__(self, file: io.BufferedReader, name: str, num_bytes: int, boundary: str) -> None:
        quoted = name.replace('"', "_")
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n\r\n'
        )
        parts = (head.encode(), f"\r\n--{boundary}--\r\n".encode())
        self.num_bytes = num_bytes + sum(map(len, parts))
        self._parts = [io.BytesIO(parts[0]), file, io.BytesIO(parts[1])]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._parts:
            data = self._parts[0].read(len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)
            self._parts.pop(0)
        return 0
