"""What an operator can put right: one class per exit code, shown as one line by `cli.launch`.

Everything else is a bug: it keeps its traceback and leaves with 1.
"""


class PipelineError(Exception):
    """Raised with a message that names the file, what is wrong, and what would be right."""

    exit_code = 1


class UsageError(PipelineError):
    """The command line asks for something that does not exist."""

    exit_code = 64


class DataError(PipelineError):
    """The data stopped the step: no rows, one class, no target."""

    exit_code = 65


class NotEnoughRows(DataError):
    """There are fewer labelled rows than a model needs; more may come."""


class OneOutcome(DataError):
    """All labelled rows to learn from have the same outcome; others may come."""


class CheckFailed(PipelineError):
    """A gate or smoke check refused a deployment, or a release does not match its record."""

    exit_code = 70


class FileError(PipelineError):
    """A file or folder is missing, unreadable or unwritable."""

    exit_code = 74


class Busy(PipelineError):
    """Another run holds the lock."""

    exit_code = 75


class ConfigError(PipelineError):
    """config.yaml is missing or wrong."""

    exit_code = 78
