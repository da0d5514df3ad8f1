"""The client of a Framekeep service: the verbs of a backend, over HTTP."""
