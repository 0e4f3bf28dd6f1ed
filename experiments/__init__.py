"""Studies and the commands that run them."""
