"""Tables -> pages and text; nothing here computes a score."""
