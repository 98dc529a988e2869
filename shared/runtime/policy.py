"""Who may do what: one row an operation, default deny. A test compares this table with all routes."""

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """Roles of callers. Every role may read; nothing else is implied."""

    READ = "Labels.Read"
    REVIEW = "Labels.Review"
    WRITE = "Projects.Write"
    OWN = "Projects.Own"
    SWITCH = "Labeling.Switch"


class Access(StrEnum):
    """What needs no particular role."""

    ANONYMOUS = "anonymous"
    SIGNED_IN = "signedIn"


type Permission = Role | Access

POLICY: Final[dict[str, Permission]] = {
    # system
    "health": Access.ANONYMOUS,
    "studio_config": Access.ANONYMOUS,
    "studio_files": Access.ANONYMOUS,
    "openapi": Access.SIGNED_IN,
    "who_am_i": Access.SIGNED_IN,
    "zy_not_offered": Access.SIGNED_IN,
    "zz_unknown_route": Access.SIGNED_IN,
    # projects
    "list_projects": Role.READ,
    "get_project": Role.READ,
    "put_project": Role.WRITE,
    "delete_project": Role.OWN,
    "get_deletion_job": Role.READ,
    # documents
    "list_documents": Role.READ,
    "get_document": Role.READ,
    "get_document_text": Role.READ,
    "get_document_history": Role.READ,
    "put_document_labels": Role.REVIEW,
    "patch_document": Role.REVIEW,
    "undo_document": Role.REVIEW,
    "scan_documents": Role.WRITE,
    "get_scan_job": Role.READ,
    "list_categories": Role.READ,
    "put_categories": Role.WRITE,
    "remove_categories": Role.WRITE,
    "get_statistics": Role.READ,
    # transfers
    "import_project": Role.WRITE,
    "get_import_job": Role.READ,
    "export_project": Role.READ,
    "get_export_job": Role.READ,
    "get_export_result": Role.READ,
    # training
    "train": Role.WRITE,
    "list_train_jobs": Role.READ,
    "get_train_job": Role.READ,
    "cancel_train_job": Role.WRITE,
    "get_train_cancellation": Role.READ,
    "list_models": Role.READ,
    "get_model": Role.READ,
    "delete_model": Role.OWN,
    "get_evaluation_summary": Role.READ,
    "get_evaluation_result": Role.READ,
    "evaluate_model": Role.WRITE,
    "get_evaluate_job": Role.READ,
    "list_languages": Role.READ,
    "list_training_config_versions": Role.READ,
    # review
    "review_all_documents": Role.REVIEW,
    "list_review_jobs": Role.READ,
    "get_review_job": Role.READ,
    "undo_review_job": Role.REVIEW,
    "get_undo_job": Role.READ,
    "review_documents": Role.REVIEW,
    # autolabel
    "start_autolabel": Role.WRITE,
    "list_autolabel_jobs": Role.READ,
    "get_autolabel_job": Role.READ,
    "get_autolabel_outcomes": Role.READ,
    "cancel_autolabel_job": Role.WRITE,
    "get_autolabel_cancellation": Role.READ,
    "retry_autolabel_job": Role.WRITE,
    "estimate_autolabel": Role.READ,
    # connection
    "get_connection": Role.READ,
    "check_connection": Role.READ,
    "put_connection": Role.OWN,
    "switch_connection": Role.SWITCH,
    "sync_connection": Role.SWITCH,
    "disconnect_connection": Role.OWN,
    "get_connection_history": Role.READ,
    "get_connection_job": Role.READ,
    "import_labels": Role.WRITE,
}


def allowed(roles: frozenset[str], permission: Permission) -> bool:
    """Whether a signed-in caller with these roles may do it."""
    if isinstance(permission, Access):
        return True
    known = roles & {*Role, "*"}
    return "*" in known or permission in known or (permission is Role.READ and bool(known))
