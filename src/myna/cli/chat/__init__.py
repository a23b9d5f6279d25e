"""`myna chat`, a file a part: the verb and its options, the conversation, what is drawn, what is typed."""
