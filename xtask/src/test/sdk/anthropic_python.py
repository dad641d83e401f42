"""Anthropic's Python client: what it gets when all goes well, when it leaves, when something fails, and when it tries
again.
"""

import anthropic
from common import (
    ANSWER,
    ARGUMENTS,
    CALL_TOKENS,
    CLIENT_KEY,
    IMAGE,
    LONG,
    PROXY,
    QUESTION,
    QUESTION_TOKENS,
    RESULT,
    SCHEMA,
    TOKENS,
    TOOL,
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
    whole,
)

# No retries: a request that needs a second attempt is a finding.
OPTIONS = {"base_url": PROXY, "api_key": CLIENT_KEY, "max_retries": 0, "timeout": 20}
claude = anthropic.Anthropic(**OPTIONS)
patient = anthropic.Anthropic(**{**OPTIONS, "max_retries": 2})

PATH = "/v1/messages"
MESSAGE = {"model": "claude-sonnet-5-5", "max_tokens": TOKENS, "messages": QUESTION}
TOOLS = [{"name": TOOL, "description": "Today's weather", "input_schema": SCHEMA}]


@check("anthropic-python: plain")
def plain():
    answer = claude.messages.create(**MESSAGE)
    equal("text", answer.content[0].text, ANSWER)
    equal("input tokens", answer.usage.input_tokens, QUESTION_TOKENS)
    equal("output tokens", answer.usage.output_tokens, TOKENS)


@check("anthropic-python: streamed")
def streamed():
    with claude.messages.stream(**MESSAGE) as stream:
        pieces = list(stream.text_stream)
        last = stream.get_final_message()
    equal("number of pieces", len(pieces), TOKENS)
    equal("text", "".join(pieces), ANSWER)
    equal("stop reason", last.stop_reason, "max_tokens")
    equal("input tokens", last.usage.input_tokens, QUESTION_TOKENS)
    equal("output tokens", last.usage.output_tokens, TOKENS)


@check("anthropic-python: tokens counted")
def counted():
    answer = claude.messages.count_tokens(model="claude-sonnet-5-5", messages=QUESTION)
    equal("input tokens", answer.input_tokens, QUESTION_TOKENS)


def with_result(answer):
    """The request once the tool has been called, after the checks of the call."""
    equal("stop reason", answer.stop_reason, "tool_use")
    [call] = answer.content
    equal("tool", (call.type, call.name), ("tool_use", TOOL))
    equal("input", call.input, ARGUMENTS)
    equal("output tokens", answer.usage.output_tokens, CALL_TOKENS)
    result = {"type": "tool_result", "tool_use_id": call.id, "content": RESULT}
    said = {"role": "assistant", "content": answer.content}
    return {**MESSAGE, "tools": TOOLS, "messages": [*QUESTION, said, {"role": "user", "content": [result]}]}


@check("anthropic-python: with tools, plain")
def tools():
    answer = claude.messages.create(**MESSAGE, tools=TOOLS)
    final = claude.messages.create(**with_result(answer))
    equal("final answer", final.content[0].text, ANSWER)


@check("anthropic-python: with tools, streamed")
def tools_streamed():
    with claude.messages.stream(**MESSAGE, tools=TOOLS) as stream:
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
        answer = stream.get_final_message()
    equal("pieces of arguments", len(pieces), CALL_TOKENS)
    with claude.messages.stream(**with_result(answer)) as stream:
        equal("final answer", stream.get_final_text(), ANSWER)


@check("anthropic-python: with an image")
def image():
    source = {"type": "base64", "media_type": "image/png", "data": IMAGE}
    parts = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
    request = {**MESSAGE, "messages": [{"role": "user", "content": parts}]}
    answer, made = during(lambda: claude.messages.with_raw_response.create(**request))
    equal("text", answer.parse().content[0].text, ANSWER)
    whole(made, answer.http_request.content)


@check("anthropic-python: cancelled half-way")
def cancelled():
    def leave():
        with claude.messages.stream(**{**MESSAGE, "max_tokens": LONG}) as stream:
            for _ in range(8):
                next(stream)

    left(leave)


@check("anthropic-python: error before the first chunk")
def error_before():
    status, body = own_error(PATH, "500")
    for more in ({}, {"stream": True}):
        ask = {**MESSAGE, **more, "extra_headers": fault_field("500")}
        error = raised(anthropic.InternalServerError, lambda: claude.messages.create(**ask))
        equal("status", (error.status_code, status), (500, 500))
        equal("body", error.response.content, body)
        equal("type", error.body["error"]["type"], "api_error")


def broken_off(kind, cut):
    """The error that a client raises of a stream that upstream breaks off in its seventh event, or before it."""
    events = []

    def read():
        for event in claude.messages.create(**MESSAGE, stream=True, extra_headers=fault_field(f"cut;after={cut}")):
            events.append(event.type)

    error = raised(kind, read)
    # The ping before the first token is the client's own affair.
    equal("events", events, ["message_start", "content_block_start", *["content_block_delta"] * 3])
    return error


@check("anthropic-python: error after the first chunk")
def error_after():
    error = broken_off(anthropic.APIStatusError, events_end(PATH, {**MESSAGE, "stream": True}, 6))
    equal("type", error.body["error"]["type"], "api_error")
    hold(f"its message is {error.body}", "upstream" in error.body["error"]["message"])


@check("anthropic-python: error in the middle of a chunk")
def error_within():
    # The client complains of what has come of the chunk, which is no JSON. It must not take the stream for complete.
    broken_off(Exception, events_end(PATH, {**MESSAGE, "stream": True}, 6) + 60)


@check("anthropic-python: tries again after 429, when retry-after says")
def again_after_429():
    made = retried("429;retry-after=2;next=1", lambda: patient.messages.create(**MESSAGE), pause=1.99)
    counts = [dict(request["headers"]).get("x-stainless-retry-count") for request in made]
    equal("x-stainless-retry-count", counts, ["0", "1"])


@check("anthropic-python: tries again after 503")
def again_after_503():
    retried("503;next=1", lambda: patient.messages.create(**MESSAGE))
    retried("503;next=1", lambda: list(patient.messages.create(**MESSAGE, stream=True)))


@check("anthropic-python: a rate limit without retries has its retry-after")
def rate_limit():
    status, body = own_error(PATH, "429;retry-after=7")
    ask = {**MESSAGE, "extra_headers": fault_field("429;retry-after=7")}
    error, made = during(lambda: raised(anthropic.RateLimitError, lambda: claude.messages.create(**ask)))
    equal("status", (error.status_code, status), (429, 429))
    equal("retry-after", error.response.headers.get("retry-after"), "7")
    equal("body", error.response.content, body)
    equal("requests that reached upstream", len(made), 1)
