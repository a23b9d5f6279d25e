"""What runs models: a table of backends by name, each one file or folder. Knows no HTTP and no catalog."""
