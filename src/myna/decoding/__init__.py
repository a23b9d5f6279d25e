"""From logits to events, per sequence and pure: sampling, detokenizing, stopping, grammars."""
