"""The Moderations API: texts in, verdicts of a guard model out."""
