"""A realtime session by OpenAI's Python client: a WebSocket through the proxy."""

import openai
from common import CLIENT_KEY, PROXY, check, during, equal, until, stats

# Without it the client would use TLS, whatever the base URL says.
ws = openai.OpenAI(
    base_url=f"{PROXY}/v1", websocket_base_url=f"{PROXY.replace('http', 'ws', 1)}/v1", api_key=CLIENT_KEY, max_retries=0
)
PIECES = 7


def session():
    """The events of a conversation of one question."""
    events = []
    with ws.realtime.connect(model="gpt-realtime") as connection:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Say hello, please."}]}
        connection.conversation.item.create(item=item)
        connection.response.create(response={"max_output_tokens": PIECES})
        for event in connection:
            events.append(event)
            if event.type == "response.done":
                return events
    raise AssertionError("the session ended before its response")


@check("openai-python: realtime")
def realtime():
    before = stats()
    events, made = during(session)
    kinds = [event.type for event in events]
    deltas = ["response.output_text.delta"] * PIECES
    started = ["session.created", "conversation.item.added", "response.created"]
    equal("events", kinds, [*started, *deltas, "response.done"])
    equal("text", "".join(event.delta for event in events if event.type in deltas), "word " * PIECES)
    usage = events[-1].response.usage
    equal("usage", (usage.input_tokens, usage.output_tokens, usage.total_tokens), (5, PIECES, 5 + PIECES))
    equal("requests that reached upstream", [one["path_and_query"] for one in made], ["/v1/realtime?model=gpt-realtime"])
    # The client has said goodbye, and upstream has heard it.
    until("the session completed", lambda: stats()["completed"] == before["completed"] + 1)
    until("nothing in flight", lambda: stats()["in_flight"] == 0)
