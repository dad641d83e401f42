"""OpenAI's Python client: what it gets when all goes well."""

import asyncio
import json

import openai
from common import (
    ANSWER,
    ARGUMENTS,
    CALL_TOKENS,
    CLIENT_KEY,
    IMAGE,
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
    hold,
    whole,
)

# No retries: a request that needs a second attempt is a finding.
OPTIONS = {"base_url": f"{PROXY}/v1", "api_key": CLIENT_KEY, "max_retries": 0, "timeout": 20}
gpt = openai.OpenAI(**OPTIONS)
gpt_async = openai.AsyncOpenAI(**OPTIONS)

CHAT = {"model": "gpt-4.1", "messages": QUESTION}
TOOLS = [{"type": "function", "function": {"name": TOOL, "parameters": SCHEMA}}]
RESPONSE = {"model": "gpt-4.1", "input": "Say hello, please."}
RESPONSE_TOOLS = [{"type": "function", "name": TOOL, "parameters": SCHEMA, "strict": False}]


def pieces(chunks):
    return [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]


@check("openai-python: plain")
def plain():
    answer = gpt.chat.completions.create(**CHAT)
    equal("content", answer.choices[0].message.content, ANSWER)
    equal("finish reason", answer.choices[0].finish_reason, "stop")
    equal("model", answer.model, "gpt-4.1")
    equal("prompt tokens", answer.usage.prompt_tokens, QUESTION_TOKENS)
    equal("completion tokens", answer.usage.completion_tokens, TOKENS)


@check("openai-python: plain and limited")
def limited():
    answer = gpt.chat.completions.create(**CHAT, max_tokens=5)
    equal("content", answer.choices[0].message.content, "Hello from the emulator,")
    equal("finish reason", answer.choices[0].finish_reason, "length")
    equal("completion tokens", answer.usage.completion_tokens, 5)


@check("openai-python: streamed, with usage as asked for")
def streamed():
    chunks = list(gpt.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True}))
    # The role, the tokens, the finish reason, the usage.
    equal("number of chunks", len(chunks), TOKENS + 3)
    equal("content", "".join(pieces(chunks)), ANSWER)
    equal("finish reason", chunks[-2].choices[0].finish_reason, "stop")
    equal("completion tokens", chunks[-1].usage.completion_tokens, TOKENS)
    equal("prompt tokens", chunks[-1].usage.prompt_tokens, QUESTION_TOKENS)


@check("openai-python: streamed, without usage unless asked for")
def streamed_without_usage():
    chunks, made = during(lambda: list(gpt.chat.completions.create(**CHAT, stream=True)))
    equal("what upstream was asked", json.loads(made[0]["body"])["stream_options"], {"include_usage": True})
    equal("number of chunks", len(chunks), TOKENS + 2)
    equal("content", "".join(pieces(chunks)), ANSWER)
    equal("chunks with usage", [chunk for chunk in chunks if chunk.usage is not None], [])
    equal("chunks without a choice", [chunk for chunk in chunks if not chunk.choices], [])


@check("openai-python: streamed side by side")
def side_by_side():
    async def one(tokens):
        stream = await gpt_async.chat.completions.create(**CHAT, stream=True, max_tokens=tokens)
        return [chunk async for chunk in stream]

    async def all_of_them():
        return await asyncio.gather(*(one(tokens) for tokens in range(1, 9)))

    streams = asyncio.run(all_of_them())
    equal("numbers of chunks", [len(chunks) for chunks in streams], [n + 2 for n in range(1, 9)])


def with_result(call, arguments):
    """The conversation once the tool has been called."""
    function = {"name": TOOL, "arguments": arguments}
    said = {"role": "assistant", "content": None, "tool_calls": [{"id": call, "type": "function", "function": function}]}
    return [*QUESTION, said, {"role": "tool", "tool_call_id": call, "content": RESULT}]


@check("openai-python: with tools, plain")
def tools():
    answer = gpt.chat.completions.create(**CHAT, tools=TOOLS)
    equal("finish reason", answer.choices[0].finish_reason, "tool_calls")
    [call] = answer.choices[0].message.tool_calls
    equal("tool", call.function.name, TOOL)
    equal("arguments", json.loads(call.function.arguments), ARGUMENTS)
    equal("completion tokens", answer.usage.completion_tokens, CALL_TOKENS)
    messages = with_result(call.id, call.function.arguments)
    final = gpt.chat.completions.create(model="gpt-4.1", messages=messages, tools=TOOLS)
    equal("final answer", final.choices[0].message.content, ANSWER)
    equal("finish reason", final.choices[0].finish_reason, "stop")


@check("openai-python: with tools, streamed")
def tools_streamed():
    chunks = list(gpt.chat.completions.create(**CHAT, tools=TOOLS, stream=True))
    equal("finish reason", chunks[-1].choices[0].finish_reason, "tool_calls")
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    equal("names", [call.function.name for call in calls if call.function.name], [TOOL])
    equal("pieces of arguments", len([call for call in calls if call.function.arguments]), CALL_TOKENS)
    arguments = "".join(call.function.arguments for call in calls)
    equal("arguments", json.loads(arguments), ARGUMENTS)
    messages = with_result(calls[0].id, arguments)
    final = list(gpt.chat.completions.create(model="gpt-4.1", messages=messages, tools=TOOLS, stream=True))
    equal("final answer", "".join(pieces(final)), ANSWER)
    equal("finish reason", final[-1].choices[0].finish_reason, "stop")


@check("openai-python: with an image")
def image():
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}},
    ]
    request = {"model": "gpt-4.1", "messages": [{"role": "user", "content": parts}]}
    answer, made = during(lambda: gpt.chat.completions.with_raw_response.create(**request))
    equal("content", answer.parse().choices[0].message.content, ANSWER)
    # Where a stream could have been asked for the proxy leaves room (docs/usage.md).
    whole(made, answer.http_request.content, added=40)


@check("openai-python: completion")
def completion():
    answer = gpt.completions.create(model="gpt-4.1", prompt="Say hello, please.")
    equal("text", answer.choices[0].text, ANSWER)


@check("openai-python: embeddings")
def embeddings():
    answer = gpt.embeddings.create(
        model="text-embedding-3-small", input=["one", "two"], dimensions=64, encoding_format="float"
    )
    equal("positions", [item.index for item in answer.data], [0, 1])
    equal("dimensions", [len(item.embedding) for item in answer.data], [64, 64])
    equal("prompt tokens", answer.usage.prompt_tokens, 2)


@check("openai-python: models")
def models():
    names = [model.id for model in gpt.models.list()]
    hold(f"no gpt-4.1 among {names}", "gpt-4.1" in names)
    equal("one model", gpt.models.retrieve("gpt-4.1").id, "gpt-4.1")


@check("openai-python: response, plain")
def response():
    answer = gpt.responses.create(**RESPONSE)
    equal("text", answer.output_text, ANSWER)
    equal("status", answer.status, "completed")
    equal("output tokens", answer.usage.output_tokens, TOKENS)


@check("openai-python: response, streamed")
def response_streamed():
    events = list(gpt.responses.create(**RESPONSE, stream=True))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    equal("number of deltas", len(deltas), TOKENS)
    equal("text", "".join(deltas), ANSWER)
    equal("last event", events[-1].type, "response.completed")
    equal("output tokens", events[-1].response.usage.output_tokens, TOKENS)


def response_after(call):
    """The final answer once the tool has been called."""
    said = {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
    result = {"type": "function_call_output", "call_id": call.call_id, "output": RESULT}
    return gpt.responses.create(model="gpt-4.1", input=[*QUESTION, said, result], tools=RESPONSE_TOOLS)


@check("openai-python: response with tools, plain")
def response_tools():
    [call] = gpt.responses.create(**RESPONSE, tools=RESPONSE_TOOLS).output
    equal("type", call.type, "function_call")
    equal("tool", call.name, TOOL)
    equal("arguments", json.loads(call.arguments), ARGUMENTS)
    equal("final answer", response_after(call).output_text, ANSWER)


@check("openai-python: response with tools, streamed")
def response_tools_streamed():
    events = list(gpt.responses.create(**RESPONSE, tools=RESPONSE_TOOLS, stream=True))
    deltas = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    equal("pieces of arguments", len(deltas), CALL_TOKENS)
    equal("arguments", json.loads("".join(deltas)), ARGUMENTS)
    equal("last event", events[-1].type, "response.completed")
    [call] = events[-1].response.output
    equal("final answer", response_after(call).output_text, ANSWER)
