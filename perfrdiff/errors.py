"""The one exception whose text is meant for the person who gave the input."""


class InputError(ValueError):
    """Bad input, in one clear sentence: what was wrong, with which file, what to do.

    The page shows the sentence as it is; the shell prints it and exits with code 2. Never carries a traceback to a
    person.
    """
