"""The HTTP service: translates requests into verbs, and errors into problems."""
