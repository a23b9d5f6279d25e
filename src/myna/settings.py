"""Where every setting comes from; read by `cli` and `app` alone."""
