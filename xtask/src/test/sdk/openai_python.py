"""An application's view: OpenAI's and Anthropic's clients through the proxy to the emulator.

`cargo xtask test --only sdk` starts both and runs this. A line `ok NAME` or `FAIL NAME: REASON` per check.
"""

import asyncio
import json
import os
import ssl
import sys
import urllib.request

import anthropic
import openai

PROXY = os.environ["PROXY_URL"]
EMULATOR = os.environ["EMULATOR_ORIGIN"]
CLIENT_KEY = os.environ["CLIENT_KEY"]
UPSTREAM_KEY = os.environ["UPSTREAM_KEY"]

# What the emulator says: one word per token, always the same (emulator/src/api/text.rs).
ANSWER = "Hello from the emulator, which answers every question with the same words in turn."
TOKENS = 16
QUESTION = [{"role": "user", "content": "Say hello, please."}]  # 18 bytes, 4 to the token
QUESTION_TOKENS = 5

# No retries: a request that needs a second attempt is a finding.
gpt = openai.OpenAI(base_url=f"{PROXY}/v1", api_key=CLIENT_KEY, max_retries=0, timeout=20)
gpt_async = openai.AsyncOpenAI(base_url=f"{PROXY}/v1", api_key=CLIENT_KEY, max_retries=0, timeout=20)
claude = anthropic.Anthropic(base_url=PROXY, api_key=CLIENT_KEY, max_retries=0, timeout=20)

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def equal(what, found, expected):
    if found != expected:
        raise AssertionError(f"{what} is {found!r}, expected {expected!r}")


def emulator_requests():
    trust = ssl.create_default_context(cafile=os.environ["EMULATOR_CA"])
    with urllib.request.urlopen(f"{EMULATOR}/emulator/requests", context=trust, timeout=20) as answer:
        return json.load(answer)


@check
def chat_completion():
    answer = gpt.chat.completions.create(model="gpt-4.1", messages=QUESTION)
    equal("content", answer.choices[0].message.content, ANSWER)
    equal("finish reason", answer.choices[0].finish_reason, "stop")
    equal("model", answer.model, "gpt-4.1")
    equal("prompt tokens", answer.usage.prompt_tokens, QUESTION_TOKENS)
    equal("completion tokens", answer.usage.completion_tokens, TOKENS)


@check
def chat_completion_limited():
    answer = gpt.chat.completions.create(model="gpt-4.1", messages=QUESTION, max_tokens=5)
    equal("content", answer.choices[0].message.content, "Hello from the emulator,")
    equal("finish reason", answer.choices[0].finish_reason, "length")
    equal("completion tokens", answer.usage.completion_tokens, 5)


@check
def chat_completion_streamed():
    stream = gpt.chat.completions.create(
        model="gpt-4.1", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    # The role, the tokens, the finish reason, the usage.
    equal("number of chunks", len(chunks), TOKENS + 3)
    pieces = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    equal("content", "".join(pieces), ANSWER)
    equal("finish reason", chunks[-2].choices[0].finish_reason, "stop")
    equal("completion tokens", chunks[-1].usage.completion_tokens, TOKENS)
    equal("prompt tokens", chunks[-1].usage.prompt_tokens, QUESTION_TOKENS)


@check
def chat_completions_streamed_side_by_side():
    async def one(tokens):
        stream = await gpt_async.chat.completions.create(
            model="gpt-4.1", messages=QUESTION, stream=True, max_tokens=tokens
        )
        return [chunk async for chunk in stream]

    async def all_of_them():
        return await asyncio.gather(*(one(tokens) for tokens in range(1, 9)))

    streams = asyncio.run(all_of_them())
    equal("numbers of chunks", [len(chunks) for chunks in streams], [n + 2 for n in range(1, 9)])


@check
def completion():
    answer = gpt.completions.create(model="gpt-4.1", prompt="Say hello, please.")
    equal("text", answer.choices[0].text, ANSWER)


@check
def embeddings():
    answer = gpt.embeddings.create(
        model="text-embedding-3-small", input=["one", "two"], dimensions=64, encoding_format="float"
    )
    equal("positions", [item.index for item in answer.data], [0, 1])
    equal("dimensions", [len(item.embedding) for item in answer.data], [64, 64])
    equal("prompt tokens", answer.usage.prompt_tokens, 2)


@check
def models():
    names = [model.id for model in gpt.models.list()]
    if "gpt-4.1" not in names:
        raise AssertionError(f"no gpt-4.1 among {names}")
    equal("one model", gpt.models.retrieve("gpt-4.1").id, "gpt-4.1")


@check
def response():
    answer = gpt.responses.create(model="gpt-4.1", input="Say hello, please.")
    equal("text", answer.output_text, ANSWER)
    equal("status", answer.status, "completed")
    equal("output tokens", answer.usage.output_tokens, TOKENS)


@check
def response_streamed():
    events = list(gpt.responses.create(model="gpt-4.1", input="Say hello, please.", stream=True))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    equal("number of deltas", len(deltas), TOKENS)
    equal("text", "".join(deltas), ANSWER)
    equal("last event", events[-1].type, "response.completed")
    equal("output tokens", events[-1].response.usage.output_tokens, TOKENS)


@check
def message():
    answer = claude.messages.create(model="claude-sonnet-4-5", max_tokens=TOKENS, messages=QUESTION)
    equal("text", answer.content[0].text, ANSWER)
    equal("input tokens", answer.usage.input_tokens, QUESTION_TOKENS)
    equal("output tokens", answer.usage.output_tokens, TOKENS)


@check
def message_streamed():
    request = {"model": "claude-sonnet-4-5", "max_tokens": TOKENS, "messages": QUESTION}
    with claude.messages.stream(**request) as stream:
        pieces = list(stream.text_stream)
        last = stream.get_final_message()
    equal("number of pieces", len(pieces), TOKENS)
    equal("text", "".join(pieces), ANSWER)
    equal("stop reason", last.stop_reason, "max_tokens")
    equal("output tokens", last.usage.output_tokens, TOKENS)


@check
def message_tokens_counted():
    answer = claude.messages.count_tokens(model="claude-sonnet-4-5", messages=QUESTION)
    equal("input tokens", answer.input_tokens, QUESTION_TOKENS)


@check
def unknown_path_is_not_found():
    try:
        gpt.get("/no-such-path", cast_to=object)
    except openai.NotFoundError as error:
        equal("code", error.code, "unknown_route")
        equal("x-holysheep-error", error.response.headers.get("x-holysheep-error"), "unknown_route")
        if not error.request_id:
            raise AssertionError("the error has no x-request-id") from error
    else:
        raise AssertionError("no error")


@check
def answers_have_a_request_id():
    answer = gpt.chat.completions.create(model="gpt-4.1", messages=QUESTION)
    if not answer._request_id:
        raise AssertionError("the answer has no x-request-id")
    named = gpt.chat.completions.with_raw_response.create(
        model="gpt-4.1", messages=QUESTION, extra_headers={"x-request-id": "chosen-by-client"}
    )
    equal("x-request-id", named.headers.get("x-request-id"), "chosen-by-client")


@check
def upstream_sees_the_proxy_s_key_only():
    requests = emulator_requests()
    if len(requests) < 10:
        raise AssertionError(f"the emulator recorded {len(requests)} requests only")
    for request in requests:
        where = f"{request['method']} {request['path_and_query']}"
        if CLIENT_KEY in json.dumps(request):
            raise AssertionError(f"{where} carries the client's key")
        headers = dict(request["headers"])
        keys = {headers.get("authorization"), headers.get("x-api-key")} - {None}
        if not keys or not keys <= {f"Bearer {UPSTREAM_KEY}", UPSTREAM_KEY}:
            raise AssertionError(f"{where} carries not exactly the proxy's key")


def main():
    failed = 0
    for function in CHECKS:
        name = function.__name__.replace("_", " ").replace("proxy s", "proxy's")
        try:
            function()
            print(f"ok   {name}", flush=True)
        except Exception as error:  # a client's own error is a finding, too
            failed += 1
            reason = f"{type(error).__name__}: {error}".replace("\n", " ")
            print(f"FAIL {name}: {reason}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
