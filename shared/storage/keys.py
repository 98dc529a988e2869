"""Row keys of table `projects`. Nobody else knows how they look."""

from shared.domain.jobs import JobKind

INDEX = "$index"
IDEMPOTENCY = "$idempotency"
LAST = "~"  # above every character that our keys hold


def project(name: str) -> str:
    return f"name|{name}"


def container(container_name: str, project_name: str = "") -> str:
    return f"container|{container_name}|{project_name}"


def page(edition: str, number: int) -> str:
    return f"page|{edition}|{number:04d}"


def head(edition: str, number: int) -> str:
    return f"head|{edition}|{number:04d}"


def history(number: int, seq: int | None = None) -> str:
    """Newest last. Without `seq` the prefix of all rows of the page."""
    return f"history|{number:04d}|" if seq is None else f"history|{number:04d}|{seq:017d}"


def job(kind: JobKind, job_id: str = "") -> str:
    return f"job|{kind}|{job_id}"


def open_job(kind: JobKind, job_id: str) -> str:
    """Marks a job that has not ended, so that a sweep need not read all jobs."""
    return f"open|{kind}|{job_id}"


def job_of_open(key: str) -> str:
    return "job" + key.removeprefix("open")


def batch(job_id: str, number: int | None = None) -> str:
    return f"batch|{job_id}|" if number is None else f"batch|{job_id}|{number:04d}"


def model(label: str) -> str:
    return f"model|{label}"


def usage(engine: str, month: str) -> str:
    return f"usage|{engine}|{month}"


def todo_partition(incarnation: str) -> str:
    return f"{incarnation}|todo"


def purge(incarnation: str) -> str:
    return f"purge|{incarnation}"


def number_of(key: str) -> int:
    """The page or batch number at the end of a key."""
    return int(key.rsplit("|", 1)[1])


def prefix(start: str) -> tuple[str, str]:
    """The key range of all keys that begin so."""
    return start, start + LAST
