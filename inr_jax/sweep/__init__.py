"""Many members at once: the vmap of one, in chunks and segments; no files."""
