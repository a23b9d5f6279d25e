"""The Moderations API, which needs a model that classifies texts: refused."""
