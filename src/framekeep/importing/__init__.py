"""Reads files of many formats into tables, in a child process that cannot harm this one."""
