"""The one error tree: every failure a person can meet is one of these, with a way on."""


class ExportError(Exception):
    """Something failed although the request was sound; the command ends with exit code 1.

    The message says what failed and where; `hint` names the next step.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.hint}" if self.hint else self.message


class RequestError(ExportError):
    """The request itself cannot be met (unknown name, unreadable file, wrong length); exit code 2."""

    exit_code = 2


class ConversionError(ExportError):
    """A converter failed or left something out."""


class UnsupportedError(ConversionError):
    """An engine cannot run this model or recipe; another one may."""


class VerificationError(ExportError):
    """A child artifact does not agree with its parent within the stated bound."""


class ArtifactError(ExportError):
    """A stored artifact is missing, incomplete or not what its manifest says."""


class MeasurementError(ExportError):
    """The built page could not be measured in a browser."""


class WrongAnswersError(MeasurementError):
    """A back end failed the page's self-test: its figures would be those of wrong answers."""
