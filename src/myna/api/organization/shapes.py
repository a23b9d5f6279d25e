"""Converts records to the objects of the administration API: OpenAI's, followed by our own keys. Pure."""

from collections.abc import Mapping

import orjson

from myna.accounts.administration import limit_id
from myna.api.organization.schema import LIMIT_FIELDS
from myna.core.accounts import Accounts, ApiKey, AuditEvent, Limit, Project

Shape = dict[str, object]


def project_shape(project: Project) -> Shape:
    return {
        "id": project.id,
        "object": "organization.project",
        "name": project.name,
        "created_at": project.created_at,
        "archived_at": project.archived_at,
        "status": "active" if project.archived_at is None else "archived",
    }


def is_project_active(key: ApiKey, accounts: Accounts) -> bool:
    """Whether the key's project is not archived."""
    return all(project.archived_at is None for project in accounts.projects if project.id == key.project)


def key_shape(key: ApiKey, accounts: Accounts, now: float) -> Shape:
    """A key of a project; callers that have its `value` add it."""
    return {
        "object": "organization.project.api_key",
        "id": key.id,
        "name": key.name,
        "redacted_value": key.redacted,
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "expires_at": key.expires_at,
        "owner_project_access": "active" if is_project_active(key, accounts) else "inactive",
        "owner": {"type": "service_account", "service_account": _owner(key)},
        **_extension_fields(key, now),
    }


def admin_key_shape(key: ApiKey, now: float) -> Shape:
    return {
        "object": "organization.admin_api_key",
        "id": key.id,
        "name": key.name,
        "redacted_value": key.redacted,
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "expires_at": key.expires_at,
        "owner": {
            "type": "service_account",
            "object": "organization.service_account",
            "id": account_id(key),
            "name": key.name,
            "created_at": key.created_at,
            "role": "owner",
        },
        **_extension_fields(key, now),
    }


def _owner(key: ApiKey) -> Shape:
    return {"id": account_id(key), "name": key.name, "created_at": key.created_at, "role": _role(key)}


def _role(key: ApiKey) -> str:
    return "owner" if "admin" in key.scopes else "member"


def _extension_fields(key: ApiKey, now: float) -> Shape:
    has_ended = key.expires_at is not None and now >= key.expires_at
    has_two = key.old_expires_at is not None and now < key.old_expires_at
    return {
        "project_id": key.project,
        "scopes": list(key.scopes),
        "models": None if key.models is None else list(key.models),
        "unknown_parameters": key.unknown_parameters,
        "previous_expires_at": key.old_expires_at if has_two else None,
        "revoked_at": key.revoked_at,
        "status": "revoked" if key.revoked_at is not None else "expired" if has_ended else "active",
    }


def account_id(key: ApiKey) -> str:
    """The id of the service account that the key represents."""
    return f"svc_acct_{key.id.removeprefix('key_')}"


def account_shape(key: ApiKey) -> Shape:
    return {
        "object": "organization.project.service_account",
        "id": account_id(key),
        "name": key.name,
        "role": _role(key),
        "created_at": key.created_at,
    }


def account_key_shape(key: ApiKey, value: str) -> Shape:
    """The key in the response that creates its service account."""
    return {
        "object": "organization.project.service_account.api_key",
        "id": key.id,
        "name": key.name,
        "value": value,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
    }


def deleted(kind: str, id: str) -> Shape:
    return {"object": f"{kind}.deleted", "id": id, "deleted": True}


def limit_shape(limit: Limit) -> Shape:
    amounts = {wire: getattr(limit, name) for wire, name in LIMIT_FIELDS.items()}
    return {
        "object": "project.rate_limit",
        "id": limit_id(limit.model),
        "model": limit.model or "*",
        **amounts,
    }


def audit_log_shape(event: AuditEvent, names: Mapping[str, str]) -> Shape:
    """An audit log entry; `names` are the projects' names by id."""
    shape: Shape = {
        "object": "organization.audit_log",
        "id": event.id,
        "type": event.type,
        "effective_at": event.effective_at,
    }
    if event.project:
        shape["project"] = {"id": event.project, "name": names.get(event.project)}
    shape["actor"] = _actor(event)
    shape[event.type] = orjson.loads(event.details)
    return shape


def _actor(event: AuditEvent) -> Shape:
    address = event.address or None
    if event.actor_type == "session":
        return {"type": "session", "session": {"ip_address": address, "user": {"id": event.actor}}}
    key = {"id": event.actor, "type": "service_account"}
    return {"type": "api_key", "api_key": key, "ip_address": address}
