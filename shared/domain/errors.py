"""The exception tree. An error carries the data of the response; `functions.http` maps it to an HTTP status.

LabelbridgeError
├── InvalidArgument          a value breaks a rule: `target` names the field             400
│   └── InvalidRequest       the request as a whole cannot be read                       400
├── Unauthorized             no or unknown credentials                                   401
├── Forbidden                the caller lacks a role                                     403
├── NotFound                 ProjectNotFound, DocumentNotFound, ...                      404
├── Conflict                 the state forbids it now                                    409
│   ├── LabelingLocked       labels cannot be changed here while ... (C3, C4)            409
│   └── StaleDocument        someone else changed the document first                    409
├── PreconditionRequired     If-Match is missing                                         428
├── TooLarge                 the body is over the limit                                  413
├── LengthRequired           the body has no Content-Length                              411
├── UnsupportedMediaType     the body says it is no JSON                                 415
├── QuotaExceeded            the monthly budget of an engine is used up                  403
├── NotOffered               an operation of Azure that has no meaning here              501
└── Unavailable              storage or an engine does not answer; try again             503
"""

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from shared.domain.document import Document
    from shared.domain.project import Project


class LabelbridgeError(Exception):
    """Base of all expected errors, which are responses and not defects."""

    code: ClassVar[str] = "InternalServerError"
    inner_code: str | None = None
    retry_after: int | None = None

    def __init__(
        self,
        message: str,
        *,
        target: str | None = None,
        inner_code: str | None = None,
        retry_after: int | None = None,
        details: "tuple[LabelbridgeError, ...]" = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.target = target
        self.inner_code = inner_code or self.inner_code
        self.retry_after = retry_after
        self.details = details


class InvalidArgument(LabelbridgeError):
    code = "InvalidArgument"


class InvalidRequest(InvalidArgument):
    code = "InvalidRequest"


class Unauthorized(LabelbridgeError):
    code = "Unauthorized"


class Forbidden(LabelbridgeError):
    code = "Forbidden"


class NotFound(LabelbridgeError):
    code = "NotFound"


class ProjectNotFound(NotFound):
    code = "ProjectNotFound"

    def __init__(self, name: str) -> None:
        super().__init__(f"The project '{name}' does not exist.", target="projectName")


class DocumentNotFound(NotFound):
    def __init__(self, document_id: str) -> None:
        super().__init__(f"The project has no document '{document_id}'.", target="documentId")


class JobNotFound(NotFound):
    code = "OperationNotFound"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"The project has no job '{job_id}'.", target="jobId")


class ModelNotFound(NotFound):
    def __init__(self, label: str) -> None:
        super().__init__(f"The project has no model '{label[:60]}'.", target="trainedModelLabel")


class Conflict(LabelbridgeError):
    code = "Conflict"


class LabelingLocked(Conflict):
    inner_code = "LabelingLocked"


class StaleDocument(Conflict):
    """Carries the current document and its project for the response, so that no work is lost silently."""

    def __init__(self, document: "Document", project: "Project", target: str = "If-Match") -> None:
        super().__init__(
            "The document has changed since it was read; 'document' has its current state.", target=target
        )
        self.document = document
        self.project = project


class PreconditionRequired(LabelbridgeError):
    code = "InvalidRequest"


class TooLarge(LabelbridgeError):
    code = "InvalidRequest"


class LengthRequired(LabelbridgeError):
    code = "InvalidRequest"


class UnsupportedMediaType(LabelbridgeError):
    code = "UnsupportedMediaType"


class QuotaExceeded(LabelbridgeError):
    code = "QuotaExceeded"


class NotOffered(LabelbridgeError):
    code = "InvalidRequest"
    inner_code = "NotOffered"


class Unavailable(LabelbridgeError):
    code = "ServiceUnavailable"


class BadMessage(Exception):
    """A queue message cannot be read, now or later: it is dropped."""
