"""All endpoints of the administration API."""

from typing import Final

from myna.api.organization import admin_keys, audit_logs, keys, limits, own_key, projects, spending

ENDPOINTS: Final = (
    *projects.ENDPOINTS,
    *keys.ENDPOINTS,
    *admin_keys.ENDPOINTS,
    *limits.ENDPOINTS,
    *spending.ENDPOINTS,
    *audit_logs.ENDPOINTS,
    *own_key.ENDPOINTS,
)
