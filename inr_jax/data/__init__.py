"""Data to fit. `images`: load files, samples and generated signals; `interpolate`: a baseline without a network."""
