"""The one error a user's mistake raises."""


class UserError(ValueError):
    """A mistake in what the user asked for, told in one sentence.

    The sentence names the file or field, what it held and what is allowed. The
    command line prints it without a traceback and ends with exit code 2.
    """


class RunError(RuntimeError):
    """A simulation that must not be believed, told in one sentence.

    The command line prints it without a traceback and ends with exit code 1.
    """
