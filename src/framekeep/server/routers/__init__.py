"""One router per noun, thin: each translates a request into a verb of the manager."""
