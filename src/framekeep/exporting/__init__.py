"""Writes frames in the formats that others read, in bounded memory."""
