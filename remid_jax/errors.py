"""The one exception whose message is meant for a person: one line that says what, where, and how to mend it."""


class UserError(Exception):
    """Something the user can mend: a bad file, flag, config or model.

    Scripts print the message alone and exit with status 2; a traceback appears only with `--debug`.
    """


class Notice(UserWarning):
    """Something that a reader of the numbers must know, said once; scripts print the message as one line on stderr."""
