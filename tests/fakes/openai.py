"""A server with OpenAI's API for chat completions, in the shapes that OpenAI and Azure OpenAI answer.

The text of the document, the last user message, says what it answers:

    "@Refund please"     the category Refund; in an entity project the passage "@Refund" of that category
    "@Refund*2"          the passage listed twice
    "#429 #500 #hang"    the first request about the text is refused, or never answered; "#429!" each one is
    "#filter"            400 of Azure's content filter; "#stopped": the filter stops the answer; "#refusal": the
                         model refuses
    "#length"            an answer that is cut off; "#notjson", "#schema": one that is not what was asked for
    "#unknown"           a category that was not offered; "#nowhere" a passage that is not in the text
    "#plain"             no log-probabilities; "#forced" some from before the schema was applied
    "#echo"              400 with the headers of the request in its message
    "#held"              answered when `released` is set
    "#takes:500"         so many tokens in the answer, as the usage says

It answers 400 where a request is not as the API wants it, and keeps every request in `requests`.
"""

import asyncio
import json
import math
import re
from collections import Counter
from typing import Any

from aiohttp import web

CATEGORY = re.compile(r"@(\w+)(?:\*(\d))?")
#: Log-probability of a token of a category's name, of a quoted passage, and of everything between.
NAMED, QUOTED, BETWEEN = math.log(0.9), math.log(0.8), math.log(0.99)
#: What every server understands of a schema.
PLAIN = {"type", "enum", "anyOf", "$ref", "$defs", "properties", "required", "items", "additionalProperties"}

type Json = dict[str, Any]


class FakeOpenAI:
    """`key`, and on Azure `token`, if given: who is let in. `knows`: optional parameters that the model takes.

    `forbids`: log-probabilities are refused with 403, as by reasoning models.
    """

    def __init__(
        self,
        key: str = "secret",
        model: str = "fake-model",
        knows: tuple[str, ...] = ("logprobs", "temperature", "max_completion_tokens"),
        *,
        forbids: bool = False,
        token: str = "",
    ) -> None:
        self.token = token
        self.key, self.model, self.knows, self.forbids = key, model, knows, forbids
        self.requests: list[Json] = []
        self.paths: list[str] = []
        self.at_once = self.most_at_once = 0
        self.released = asyncio.Event()
        self._seen: Counter[tuple[str, str]] = Counter()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/v1/chat/completions", self._openai)
        app.router.add_post("/openai/deployments/{deployment}/chat/completions", self._azure)
        return app

    def about(self, text: str) -> list[Json]:
        """The requests whose document this is."""
        return [request for request in self.requests if request["messages"][-1]["content"] == text]

    async def _openai(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return refused(401, "invalid_api_key", "Incorrect API key provided: s**t.")
        return await self._complete(request)

    async def _azure(self, request: web.Request) -> web.StreamResponse:
        signed_in = self.token and request.headers.get("Authorization") == f"Bearer {self.token}"
        if not signed_in and request.headers.get("api-key") != self.key:
            text = "Access denied due to invalid subscription key or wrong API endpoint."
            return web.json_response({"error": {"code": "401", "message": text}}, status=401)
        if not request.query.get("api-version"):
            return web.json_response({"error": {"code": "404", "message": "Resource not found"}}, status=404)
        return await self._complete(request, request.match_info["deployment"])

    async def _complete(self, request: web.Request, deployment: str | None = None) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.paths.append(request.path)
        if (deployment or body.get("model")) != self.model:
            return refused(
                404, "model_not_found", "The model does not exist or you do not have access to it."
            )
        for name in ("logprobs", "temperature", "max_completion_tokens", "max_tokens"):
            if name in body and name not in self.knows:
                text = f"Unsupported parameter: '{name}' is not supported with this model."
                if name == "logprobs" and self.forbids:
                    return refused(
                        403, "forbidden", "You are not allowed to request logprobs from this model."
                    )
                return refused(400, "unsupported_parameter", text, param=name)
        error = error_of(body)
        if error:
            return refused(400, "invalid_request_error", error)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if "#echo" in body["messages"][-1]["content"]:
                return refused(400, "bad", f"Unexpected headers: {dict(request.headers)}")
            return await self._answer(body)
        finally:
            self.at_once -= 1

    async def _answer(self, body: Json) -> web.StreamResponse:
        text: str = body["messages"][-1]["content"]
        await asyncio.sleep(0)
        if self._now(text, "429"):
            return refused(429, "rate_limit_exceeded", "Rate limit reached.", {"Retry-After": "0"})
        if self._now(text, "500"):
            return refused(500, "server_error", "The server had an error.", {"retry-after-ms": "1"})
        if self._now(text, "hang"):
            await asyncio.Event().wait()
        if "#held" in text:
            await self.released.wait()
        if "#filter" in text:
            return web.json_response(FILTERED, status=400)
        if "#html" in text:
            return web.Response(text="<html>proxy</html>", content_type="text/html")
        return web.json_response(completion(body, text, self.model))

    def _now(self, text: str, word: str) -> bool:
        if f"#{word}" not in text:
            return False
        self._seen[word, text] += 1
        return f"#{word}!" in text or self._seen[word, text] == 1


#: As Azure OpenAI answers when a prompt triggers its content policy.
FILTERED: Json = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"violence": {"filtered": True, "severity": "high"}},
        },
    }
}


def refused(
    status: int, code: str, message: str, headers: dict[str, str] | None = None, *, param: str | None = None
) -> web.Response:
    """An error as OpenAI answers it."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return web.json_response({"error": error}, status=status, headers=headers)


def error_of(body: Json) -> str:
    """What is wrong with a request; empty: nothing."""
    roles = [message["role"] for message in body["messages"]]
    if (
        roles[0] != "system"
        or roles[-1] != "user"
        or roles[1:-1] != ["user", "assistant"] * (len(roles) // 2 - 1)
    ):
        return f"Invalid roles: {roles}"
    if not all(isinstance(message["content"], str) for message in body["messages"]):
        return "Invalid content."
    if body.get("stream"):
        return "Not streamed, please."
    given = body.get("response_format", {})
    if given.get("type") != "json_schema" or not given["json_schema"]["name"]:
        return "Missing response_format."
    return schema_error(given["json_schema"]["schema"])


def schema_error(schema: Json) -> str:
    if unknown := schema.keys() - PLAIN:
        return f"Invalid schema: {unknown}"
    parts = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    return next((error for part in parts if (error := schema_error(part))), "")


def completion(body: Json, text: str, model: str) -> Json:
    """The answer to a request, whatever the schema is called."""
    schema = body["response_format"]["json_schema"]["schema"]
    [(name, kind)] = schema["properties"].items()
    entities = kind["type"] == "array" and kind["items"]["type"] == "object"
    offered = (kind["items"]["properties"]["category"] if entities else kind.get("items", kind))["enum"]
    named = [(m[1], int(m[2] or 1)) for m in CATEGORY.finditer(text) if m[1] in offered]
    value: Any
    if entities:
        value = [
            {"text": f"@{category}", "category": category} for category, times in named for _ in range(times)
        ]
        value += [{"text": "not in the text", "category": offered[0]}] if "#nowhere" in text else []
        value += [{"text": text[:3], "category": "Unoffered"}] if "#unknown" in text else []
    elif kind["type"] == "array":
        value = [category for category, _ in named] + (["Unoffered"] if "#unknown" in text else [])
    else:
        value = "Unoffered" if "#unknown" in text else named[0][0] if named else offered[0]
    content = json.dumps({name: value}, ensure_ascii=False)
    finish = "stop"
    if "#length" in text:
        content, finish = content[: len(content) // 2], "length"
    elif "#schema" in text:
        content = json.dumps({"labels": [1, 2]})
    elif "#notjson" in text:
        content = "Sure! Here is the JSON that you asked for."
    elif "#stopped" in text:
        content, finish = "", "content_filter"
    message: Json = {"role": "assistant", "content": content, "refusal": None}
    if "#refusal" in text:
        message |= {"content": None, "refusal": "I'm sorry, I cannot assist with that."}
    tokens = (
        None if "#plain" in text or not body.get("logprobs") else tokens_of(content, forced="#forced" in text)
    )
    written = int(found[1]) if (found := re.search(r"#takes:(\d+)", text)) else 10
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": finish,
                "logprobs": {"content": tokens, "refusal": None} if tokens is not None else None,
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": written, "total_tokens": 100 + written},
    }


def tokens_of(content: str, *, forced: bool = False) -> list[Json]:
    """Strings are one token each, and so is what lies between; `forced`: what lies between is most improbable."""
    tokens: list[Json] = []
    key = ""
    for part in re.findall(r'"(?:[^"\\]|\\.)*"|[^"]+', content):
        is_key = part in ('"category"', '"text"', '"categories"', '"entities"')
        inner = [f"{part[0]}{part[1:-1]}{part[-1]}"] if is_key or part[0] != '"' else ['"', part[1:-1], '"']
        for piece in inner:
            if not piece:
                continue
            logprob = BETWEEN
            if len(inner) > 1 and piece != '"':
                logprob = QUOTED if key == '"text"' else NAMED
            logprob = -9.0 if forced and logprob == BETWEEN else logprob
            raw = list(piece.encode())
            tokens.append({"token": piece, "logprob": logprob, "bytes": raw, "top_logprobs": []})
        key = part if is_key else key
    return tokens
