"""Clients that are no SDK: curl, which shows when the bytes come; and what upstream has seen of all clients."""

import json
import statistics
import subprocess
import time

from common import CLIENT_KEY, PROXY, QUESTION, TOKEN_INTERVAL, UPSTREAM_KEY, check, equal, hold, requests

STREAMED = 60


def stamped(arguments):
    """The lines of a program's output with the time when each came."""
    lines = []
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as program:
        for line in program.stdout:
            lines.append((time.monotonic(), line.decode().rstrip("\n")))
    equal(f"{arguments[0]}'s exit code", program.returncode, 0)
    return lines


@check("curl: events come one by one")
def one_by_one():
    request = {"model": "gpt-4.1", "messages": QUESTION, "stream": True, "max_tokens": STREAMED}
    lines = stamped([
        *("curl", "-N", "-sS", "--fail-with-body", "--max-time", "20", f"{PROXY}/v1/chat/completions"),
        *("-H", "content-type: application/json", "-H", f"authorization: Bearer {CLIENT_KEY}"),
        *("-d", json.dumps(request)),
    ])
    data = [(at, line.removeprefix("data: ")) for at, line in lines if line.startswith("data: ")]
    equal("last event", data[-1][1], "[DONE]")
    deltas = [(at, json.loads(event)["choices"][0]["delta"]) for at, event in data[:-1]]
    times = [at for at, delta in deltas if delta.get("content")]
    equal("number of tokens", len(times), STREAMED)
    # Upstream sends a token per interval. Gathered up on the way they would come in fewer moments.
    due = TOKEN_INTERVAL * (STREAMED - 1)
    took = times[-1] - times[0]
    hold(f"{STREAMED} tokens came within {took:.3f} s, upstream took {due:.3f} s for them", took > due * 0.8)
    gap = statistics.median(late - early for early, late in zip(times, times[1:]))
    hold(f"half of all tokens came {gap:.4f} s or less after the one before", gap > TOKEN_INTERVAL / 2)


@check("all clients: upstream sees the proxy's key only")
def keys():
    made = requests()
    agents = {dict(request["headers"]).get("user-agent", "").split(" ")[0] for request in made}
    for client in ("OpenAI/Python", "OpenAI/JS", "Anthropic/Python", "Anthropic/JS"):
        hold(f"no request of {client} among those of {agents}", client in agents)
    hold("no request of curl", any(agent.startswith("curl/") for agent in agents))
    for request in made:
        where = f"{request['method']} {request['path_and_query']}"
        hold(f"{where} carries the client's key", CLIENT_KEY not in json.dumps(request))
        headers = dict(request["headers"])
        keys = {headers.get("authorization"), headers.get("x-api-key")} - {None}
        fine = keys and keys <= {f"Bearer {UPSTREAM_KEY}", UPSTREAM_KEY}
        hold(f"{where} carries not exactly the proxy's key", fine)
