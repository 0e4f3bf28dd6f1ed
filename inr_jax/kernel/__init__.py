"""What the neural tangent kernel says without training."""
