"""The one exception a user is meant to read."""


class InputError(ValueError):
    """Input from outside that cannot be used: one sentence naming the file or value, and the remedy."""
