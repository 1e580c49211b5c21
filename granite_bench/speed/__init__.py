"""Speed beside quality: what is timed, on what, and how figures stay comparable."""
