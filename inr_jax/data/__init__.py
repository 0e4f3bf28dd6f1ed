"""What is fitted: files, samples and generators."""
