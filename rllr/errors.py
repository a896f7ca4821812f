"""The one exception that a user is meant to read."""


class RllrError(Exception):
    """Something the user can mend: bad config, data, model, token, disk or GPU.

    The command line prints its message without a traceback and exits with status 2. A message says
    what is wrong, where, what is allowed and what to do.
    """


class NodeError(RllrError):
    """A fault of the machine that a job is on; on another one it may do."""
