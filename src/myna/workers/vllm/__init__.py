"""The worker program of vLLM, which schedules by itself: runs in vLLM's own environment, speaks the worker's
frames."""
