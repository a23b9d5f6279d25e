"""`myna chat`, one file per part: the verb and its options, the conversation, output and input."""
