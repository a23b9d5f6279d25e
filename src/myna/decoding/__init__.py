"""Per sequence and pure: sampling, detokenizing, stopping, grammar."""
