"""The errors a user can mend: each message says what came, what was wanted and what to do next.

Programs print these without a traceback and exit with `exit_code` (see `shared.runs.program`). Anything else that
escapes a program is our own bug and keeps its traceback.
"""


class WorkspaceError(Exception):
    """Base of every error that the user, not the code, can mend."""

    exit_code = 2


class ConfigError(WorkspaceError, ValueError):
    """A setting, or a combination of settings, that cannot work."""


class DataError(WorkspaceError):
    """Input text or records that cannot be used as they are."""


class ArtifactError(WorkspaceError):
    """An artifact that is missing, damaged, of another schema, or made with another tokenizer."""


class ContractError(WorkspaceError):
    """An implementation behind a door that does not offer what the door's protocol asks for."""


class DivergenceError(WorkspaceError):
    """Training left the range of sensible numbers: a NaN, an infinity or a lasting spike."""

    exit_code = 3


class Preempted(WorkspaceError):
    """The run stopped because it was asked to, after saving its state; the same command goes on from there."""

    exit_code = 75  # EX_TEMPFAIL of sysexits(3): "try again later"
