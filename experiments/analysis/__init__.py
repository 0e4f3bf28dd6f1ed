"""What one study alone needs, with its commands."""
