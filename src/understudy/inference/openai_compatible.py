"""Any OpenAI-compatible chat completions endpoint, through the official client.

Faults: retried by the client, with backoff, while no byte of an answer has come; every fault after that, and every
fault that stays, is an UpstreamError. Of the client this uses what sends a request and no more: its models for a chunk
cost 73 µs each against 3 µs for a line and json, and those for a request as much for every message of a prompt.
"""

import asyncio
import errno
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

from understudy.errors import UpstreamError
from understudy.inference import faults, tokens
from understudy.inference.base import CompletionRequest, Delta, Finished, TokenUsage, ToolSpec
from understudy.inference.dialect import Dialect, ImageFetcher, ImageReader, Upstream
from understudy.inference.images import adapt_images
from understudy.inference.patience import Patience
from understudy.inference.sse import DONE, payloads
from understudy.inference.unread import unread
from understudy.inference.wire import ErrorObject, NotUnderstood, ReplyReader

_log = logging.getLogger(__name__)
_PASSING = frozenset({408, 409, 429})  # statuses of faults that pass, besides all of 500 and above
_CONNECTION_FAULTS = frozenset({"APIConnectionError", "APITimeoutError"})
_HANG_UPS = frozenset({errno.ECONNRESET, errno.EPIPE})
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_AFTER_FINISH_S = 5  # how long a usage chunk may lag behind the finish reason
_AFTER_DONE_S = 0.02  # how long the end of the body may lag behind [DONE], for the connection to be used again


class BrokenOff(UpstreamError):
    """The connection ended before the reply did."""

    def __init__(self) -> None:
        super().__init__("The model's server closed its stream before the end of the reply.")


class OpenAICompatible:
    """A Provider over one upstream."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        fetch_image: ImageFetcher | None = None,
        read_image: ImageReader | None = None,
        trust_environment: bool = True,
    ) -> None:
        """`trust_environment` False ignores proxy settings, for an upstream on loopback."""
        self.upstream = upstream
        self._fetch_image = fetch_image
        self._read_image = read_image
        self._trust_environment = trust_environment
        self._redactor = faults.Redactor(upstream.base_url, upstream.api_key)
        self._slots = asyncio.Semaphore(upstream.dialect.concurrency)
        self._client: Any = None
        self._opening = asyncio.Lock()
        self._unread: dict[str, Any] = {}  # what makes the client give a response whose body is not read yet

    async def stream(self, request: CompletionRequest) -> AsyncGenerator[Delta, None]:
        """Yield the deltas of one completion. See `base.Provider`."""
        async with self._slots:
            try:
                async with aclosing(self._insistent(request)) as deltas:
                    async for delta in deltas:
                        yield delta
            except UpstreamError:
                raise
            except ErrorObject as fault:
                raise faults.from_error_object(fault.error, self._redactor) from None
            except NotUnderstood as fault:
                raise UpstreamError(self._redactor.clean(str(fault))) from None
            except Exception as fault:
                raise self._error(fault) from None

    async def aclose(self) -> None:
        """Close the client's connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _insistent(self, request: CompletionRequest) -> AsyncGenerator[Delta, None]:
        """Ask again after a passing fault, as long as nobody has seen anything of the reply.

        A connection that the upstream hangs up as it is used again, which no client can know before, is not a try.
        """
        tries, hung_up = 0, False
        while True:
            silent = True
            try:
                async with aclosing(self._deltas(request)) as deltas:
                    async for delta in deltas:
                        silent = False
                        yield delta
                return
            except Exception as fault:
                if not (silent and _passes(fault)):
                    raise
                if _hangs_up(fault) and not hung_up:
                    hung_up = True
                    continue
                if tries == self.upstream.dialect.max_retries:
                    raise
                pause_s = _pause_s(fault, tries)
            tries += 1
            await asyncio.sleep(pause_s)

    async def _deltas(self, request: CompletionRequest) -> AsyncGenerator[Delta, None]:
        dialect = self.upstream.dialect
        messages = await adapt_images(request.messages, dialect.images, self._fetch_image, self._read_image)
        request = replace(request, messages=messages, model=self.upstream.model or request.model)
        reader = ReplyReader()
        response = await self._open(request_body(request, dialect))
        try:
            async with aclosing(_chunks(response, dialect.idle_timeout_s, reader)) as chunks:
                async for chunk in chunks:
                    for delta in reader.feed(chunk):
                        yield delta
        finally:
            await response.aclose()
        for delta in reader.rest():
            yield delta
        reason = reader.end()
        if reader.usage is None:
            reader.usage = await asyncio.to_thread(_counted, request, reader)
        yield Finished(reason, reader.usage)

    async def _open(self, body: Mapping[str, Any]) -> Any:
        """Send the request and return the HTTP response once its head is here."""
        async with self._opening:
            if self._client is None:
                self._client = await asyncio.to_thread(self._new_client)  # the import takes half a second
        try:
            async with asyncio.timeout(self.upstream.dialect.first_byte_timeout_s):
                return (await self._client.post("/chat/completions", body=body, **self._unread)).response
        except TimeoutError:
            raise UpstreamError("The model's server did not answer in time.") from None

    def _new_client(self) -> Any:
        import openai

        self._unread = {"cast_to": object, "stream": True, "stream_cls": openai.AsyncStream[object]}
        dialect = self.upstream.dialect
        limits = openai.Timeout(None, connect=dialect.connect_timeout_s)
        return openai.AsyncOpenAI(
            base_url=self.upstream.base_url,
            api_key=self.upstream.api_key or "none",
            max_retries=0,  # see _insistent: a reply cut off before its first delta is asked for again, too
            timeout=limits,
            http_client=openai.DefaultAioHttpClient(timeout=limits, trust_env=self._trust_environment),
        )

    def _error(self, fault: Exception) -> UpstreamError:
        """Return what an exception of the client or of its transport means, in words that name no address."""
        status = getattr(fault, "status_code", None)
        if isinstance(status, int):
            body = getattr(fault, "body", None)
            return faults.from_status(status, body or _response_text(fault), self._redactor)
        _log.warning("upstream failed: %s", self._redactor.clean(f"{type(fault).__name__}: {fault}"))
        if type(fault).__name__ in _CONNECTION_FAULTS:
            return UpstreamError("The model's server could not be reached.")
        return UpstreamError("The connection to the model's server broke off in mid-reply.")


def request_body(request: CompletionRequest, dialect: Dialect) -> dict[str, Any]:
    """Return the JSON body: what the user set and the dialect takes, and nothing else."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": list(request.messages),
        "temperature": request.temperature,
        "top_p": request.top_p,
        dialect.token_limit_field: request.max_tokens,
        "response_format": request.response_format,
        "reasoning_effort": request.reasoning_effort,
        "stream": True,
    }
    if request.tools:
        body["tools"] = [_tool_body(tool) for tool in request.tools]
        body["tool_choice"] = request.tool_choice
        body["parallel_tool_calls"] = request.parallel_tool_calls if dialect.parallel_tool_calls else None
    if dialect.stream_usage:
        body["stream_options"] = {"include_usage": True}
    return {name: value for name, value in body.items() if value is not None and name not in dialect.refuses}


def _tool_body(tool: ToolSpec) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
        "strict": tool.strict,
    }
    return {"type": "function", "function": {name: value for name, value in function.items() if value is not None}}


async def _chunks(response: Any, idle_s: float, reader: ReplyReader) -> AsyncGenerator[object, None]:
    """Yield a reply's decoded chunks. Raises UpstreamError when it ends before its finish reason."""
    try:
        received = _received(response, idle_s, reader)
        async with aclosing(payloads(received)) as lines:
            async for payload in lines:
                if payload == DONE:
                    await _read_to_end(received)
                    return
                yield _decode(payload)
    except (UpstreamError, NotUnderstood):
        raise
    except Exception as fault:
        if reader.reason is None:  # a connection that breaks after the finish has broken nothing
            raise BrokenOff from fault
    if reader.reason is None:
        raise BrokenOff


async def _received(response: Any, idle_s: float, reader: ReplyReader) -> AsyncIterator[bytes]:
    """Yield a body's bytes until its end, also those ahead of a fault, or until the upstream is silent for too long."""
    chunks, patience = response.aiter_bytes(), Patience()
    while True:
        finished = reader.reason is not None
        try:
            chunk = await patience.wait(anext(chunks, None), min(idle_s, _AFTER_FINISH_S) if finished else idle_s)
        except TimeoutError:
            if finished:
                return
            raise UpstreamError("The model's server was silent for too long.") from None
        except Exception:
            yield unread(response)
            raise
        if chunk is None:
            return
        yield chunk


async def _read_to_end(received: AsyncIterator[bytes]) -> None:
    """Leave a connection as its next request needs it. One with more to come is closed instead."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_AFTER_DONE_S):
            async for _ in received:
                pass


def _decode(payload: bytes) -> object:
    try:
        return json.loads(payload)
    except ValueError:
        raise NotUnderstood("The model's server sent something that is not JSON.") from None
    except RecursionError:
        raise NotUnderstood("The model's server sent JSON that is nested too deeply.") from None


def _counted(request: CompletionRequest, reader: ReplyReader) -> TokenUsage:
    prompt = tokens.count_messages(request.messages, request.tools) + tokens.TOKENS_PER_REPLY
    return TokenUsage(prompt, tokens.count(reader.spoken()))


def _passes(fault: Exception) -> bool:
    """Tell whether the same request may fare better in a moment. A server that hangs is not asked to hang again."""
    status = getattr(fault, "status_code", None)
    if isinstance(status, int):
        return status in _PASSING or status >= 500
    if isinstance(fault, BrokenOff):
        return True
    return type(fault).__name__ in _CONNECTION_FAULTS and not any(isinstance(c, TimeoutError) for c in _causes(fault))


def _hangs_up(fault: Exception) -> bool:
    """Tell whether the upstream ended a connection in place of an answer."""
    return any(
        type(cause).__name__ == "ServerDisconnectedError"
        or isinstance(cause, ConnectionResetError | BrokenPipeError)
        or getattr(cause, "errno", None) in _HANG_UPS
        for cause in _causes(fault)
    )


def _causes(fault: BaseException) -> Iterator[BaseException]:
    """Yield what stands behind an exception: the client calls everything a timeout that happens to a connection."""
    cause = fault.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _pause_s(fault: Exception, tries: int) -> float:
    """Return how long the upstream wants to be left alone, or else a pause that grows from try to try."""
    response = getattr(fault, "response", None)
    wanted = response.headers.get("retry-after") if response is not None else None
    try:
        return min(max(float(wanted or ""), 0.0), _LONGEST_PAUSE_S)
    except ValueError:
        return float(_FIRST_PAUSE_S * 2**tries)


def _response_text(fault: Exception) -> str:
    try:
        return str(getattr(fault, "response").text)  # noqa: B009 - the client's errors are not imported here
    except Exception:
        return ""
