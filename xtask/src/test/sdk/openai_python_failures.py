"""OpenAI's Python client: what it gets when it leaves, when something fails, and when it tries again."""

import openai
from common import (
    LONG,
    POOR_PROXY,
    check,
    during,
    equal,
    events_end,
    fault_field,
    hold,
    left,
    own_error,
    raised,
    retried,
)
from openai_python import CHAT, OPTIONS, RESPONSE, gpt

patient = openai.OpenAI(**{**OPTIONS, "max_retries": 2})
PATH = "/v1/chat/completions"


@check("openai-python: cancelled half-way")
def cancelled():
    def leave():
        with gpt.chat.completions.create(**CHAT, stream=True, max_tokens=LONG) as stream:
            for _ in range(5):
                next(stream)

    left(leave)


@check("openai-python: response, cancelled half-way")
def response_cancelled():
    def leave():
        with gpt.responses.create(**RESPONSE, stream=True, max_output_tokens=LONG) as stream:
            for _ in range(8):
                next(stream)

    left(leave)


@check("openai-python: error before the first chunk")
def error_before():
    status, body = own_error(PATH, "500")
    for more in ({}, {"stream": True}):
        ask = {**CHAT, **more, "extra_headers": fault_field("500")}
        error = raised(openai.InternalServerError, lambda: gpt.chat.completions.create(**ask))
        equal("status", (error.status_code, status), (500, 500))
        equal("body", error.response.content, body)
        hold("the error has no x-request-id", error.request_id)


def broken_off(kind, make, ask, cut):
    """The events that a client gets of a stream that upstream breaks off, and what it raises then."""
    events = []

    def read():
        for event in make(**ask, extra_headers=fault_field(f"cut;after={cut}")):
            events.append(event)

    error = raised(kind, read)
    if kind is openai.APIError:
        equal("code and type", (error.code, error.type), ("upstream_closed", "server_error"))
    return events


@check("openai-python: error after the first chunk")
def error_after():
    ask = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    cut = events_end(PATH, ask, 5)
    chunks = broken_off(openai.APIError, gpt.chat.completions.create, ask, cut)
    equal("number of chunks", len(chunks), 5)
    equal("finish reasons", [chunk.choices[0].finish_reason for chunk in chunks], [None] * 5)


@check("openai-python: error in the middle of a chunk")
def error_within():
    ask = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    cut = events_end(PATH, ask, 5) + 20
    # The client complains of what has come of the chunk, which is no JSON. It must not take the stream for complete.
    chunks = broken_off(Exception, gpt.chat.completions.create, ask, cut)
    equal("finish reasons", [chunk.choices[0].finish_reason for chunk in chunks], [None] * 5)
    # Unless the proxy still held it, for it might have been the usage that the client did not ask for.
    chunks = broken_off(openai.APIError, gpt.chat.completions.create, {**CHAT, "stream": True}, cut)
    equal("finish reasons", [chunk.choices[0].finish_reason for chunk in chunks], [None] * 5)


@check("openai-python: response, error after the first chunk")
def response_error_after():
    ask = {**RESPONSE, "stream": True}
    cut = events_end("/v1/responses", ask, 7)
    events = broken_off(openai.APIError, gpt.responses.create, ask, cut)
    equal("number of events", len(events), 7)
    equal("last event", events[-1].type, "response.output_text.delta")


@check("openai-python: tries again after 429, when retry-after says")
def again_after_429():
    made = retried("429;retry-after=2;next=1", lambda: patient.chat.completions.create(**CHAT), pause=1.99)
    counts = [dict(request["headers"]).get("x-stainless-retry-count") for request in made]
    equal("x-stainless-retry-count", counts, ["0", "1"])


@check("openai-python: tries again after 503")
def again_after_503():
    retried("503;next=1", lambda: patient.chat.completions.create(**CHAT))
    retried("503;next=1", lambda: list(patient.chat.completions.create(**CHAT, stream=True)))


@check("openai-python: a rate limit without retries has its retry-after")
def rate_limit():
    status, body = own_error(PATH, "429;retry-after=7")
    ask = {**CHAT, "extra_headers": fault_field("429;retry-after=7")}
    error, made = during(lambda: raised(openai.RateLimitError, lambda: gpt.chat.completions.create(**ask)))
    equal("status", (error.status_code, status), (429, 429))
    equal("retry-after", error.response.headers.get("retry-after"), "7")
    equal("body", error.response.content, body)
    equal("requests that reached upstream", len(made), 1)


@check("openai-python: a spent budget is told once, and not tried again")
def budget():
    asked = []
    http = openai.DefaultHttpxClient(event_hooks={"request": [asked.append]})
    poor = openai.OpenAI(**{**OPTIONS, "base_url": f"{POOR_PROXY}/v1", "max_retries": 2}, http_client=http)
    poor.chat.completions.create(**CHAT)
    error = raised(openai.RateLimitError, lambda: poor.chat.completions.create(**CHAT))
    equal("code and type", (error.code, error.type), ("insufficient_quota", "insufficient_quota"))
    equal("requests", len(asked), 2)


@check("openai-python: an unknown path is not found")
def unknown_path():
    error = raised(openai.NotFoundError, lambda: gpt.get("/no-such-path", cast_to=object))
    equal("code", error.code, "unknown_route")
    equal("x-holysheep-error", error.response.headers.get("x-holysheep-error"), "unknown_route")
    hold("the error has no x-request-id", error.request_id)


@check("openai-python: answers have a request id")
def request_id():
    answer = gpt.chat.completions.create(**CHAT)
    hold("the answer has no x-request-id", answer._request_id)
    named = gpt.chat.completions.with_raw_response.create(**CHAT, extra_headers={"x-request-id": "chosen-by-client"})
    equal("x-request-id", named.headers.get("x-request-id"), "chosen-by-client")
