"""The Files API: the inputs and the results of batches."""
