"""Texts to vectors to a ranked run, under mteb's protocols."""
