"""The two errors that bad input raises; the command line prints them as one line.

Both derive from the built-in error that a caller would catch, so that
``except ValueError`` and ``except FileNotFoundError`` work. Anything else that escapes the
package is a bug and keeps its traceback.
"""


class InputError(ValueError):
    """An argument, an option or the content of a file is wrong; the message names the mend."""


class MissingDataError(FileNotFoundError):
    """A file or a data set is not there; the message says how to get it."""

    def __init__(self, message: str) -> None:
        """Keep the message whole: ``FileNotFoundError`` would format it as an errno pair."""
        super().__init__(message)
