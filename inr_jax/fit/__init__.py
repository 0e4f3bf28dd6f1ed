"""One member, pure: coordinates to features to values, and the loss that moves them."""
