"""The verbs of the command line, a module each; a verb is one call of the library."""
