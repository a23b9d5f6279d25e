"""A batch as JSON, with OpenAI's keys in OpenAI's order."""

import orjson

from myna.core.batches import Batch


def batch_shape(batch: Batch) -> dict[str, object]:
    """Tokens are shown once the batch has ended, as at OpenAI."""
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model or None,
        "errors": {"object": "list", "data": orjson.loads(batch.errors)} if batch.errors else None,
        "input_file_id": batch.input_file_id,
        "completion_window": "24h",
        "status": batch.status,
        "output_file_id": batch.output_file_id or None,
        "error_file_id": batch.error_file_id or None,
        "created_at": batch.created_at,
        "in_progress_at": batch.in_progress_at,
        "expires_at": batch.expires_at,
        "finalizing_at": batch.finalizing_at,
        "completed_at": batch.completed_at,
        "failed_at": batch.failed_at,
        "expired_at": batch.expired_at,
        "cancelling_at": batch.cancelling_at,
        "cancelled_at": batch.cancelled_at,
        "request_counts": {
            "total": batch.num_lines,
            "completed": batch.num_completed,
            "failed": batch.num_failed,
        },
        "usage": _usage(batch),
        "metadata": orjson.loads(batch.metadata) if batch.metadata else None,
    }


def _usage(batch: Batch) -> dict[str, object]:
    shown = batch.is_finished
    return {
        "input_tokens": batch.input_tokens if shown else 0,
        "output_tokens": batch.output_tokens if shown else 0,
        "total_tokens": batch.input_tokens + batch.output_tokens if shown else 0,
        "input_tokens_details": {"cached_tokens": batch.cached_tokens if shown else 0},
        "output_tokens_details": {"reasoning_tokens": batch.reasoning_tokens if shown else 0},
    }
