"""Replies kept for a while, so that a request that is sent twice is carried out once."""
