"""The ``framekeep`` command: one file per family of verbs. Translates; decides nothing."""
