"""The wire format that all endpoints share: fields, validation, parameters, errors and paging."""
