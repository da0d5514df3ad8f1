"""Moving sessions between stores while both are in use: nothing is lost, nothing at the source is changed.

The way in is ``passes.migrate``. What is between: an *origin* (``copying``, ``pickles``) offers what it has,
``arrival`` decides what becomes of it in the target, and ``journal`` remembers which states both had.
"""
