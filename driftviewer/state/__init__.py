"""What the window shows and does, as values that announce their changes; no Qt."""
