"""On disk and in processes."""
