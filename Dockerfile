# The app as a container, for Functions on Azure Container Apps or any other host of containers (docs/deploy.md).
# Build the review page first: make web
FROM mcr.microsoft.com/azure-functions/python:4-python3.13

ENV AzureWebJobsScriptRoot=/app \
    AzureFunctionsJobHost__Logging__Console__IsEnabled=true \
    AzureWebJobsDisableHomepage=true \
    PYTHON_ENABLE_WORKER_EXTENSIONS=1

COPY requirements.txt /
RUN pip install --no-cache-dir --require-hashes --requirement /requirements.txt

WORKDIR /app
COPY host.json function_app.py ./
COPY functions functions
COPY shared shared
COPY web/dist web/dist
