"""A thin, typed client of the HTTP API, sync and async: `Client` and `AsyncClient`.

    from labelbridge.client import Client

    with Client("http://127.0.0.1:7071", key="labelbridge-local") as client:
        project = client.project("mine")
        project.autolabel().wait()
        for document in project.documents(status="autoLabeled", orderby="uncertainty"):
            print(document["location"], document["suggestions"][0]["category"])

It needs httpx alone: `pip install '.[client]'`. With `credential` it takes any credential of azure-identity.
"""

from labelbridge.client.aio import AsyncClient
from labelbridge.client.errors import ApiError, JobFailed, LabelbridgeError, NotReachable, TimedOut
from labelbridge.client.project_aio import AsyncJob, AsyncProjectClient
from labelbridge.client.project_sync import Job, ProjectClient
from labelbridge.client.sync import Client

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncJob",
    "AsyncProjectClient",
    "Client",
    "Job",
    "JobFailed",
    "LabelbridgeError",
    "NotReachable",
    "ProjectClient",
    "TimedOut",
]
