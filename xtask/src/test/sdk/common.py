"""What the Python checks share: their list, the settings of the run, and a look into the emulator's books.

The emulator counts and records what reaches it, and fails on demand (emulator/src/control.rs).
"""

import base64
import contextlib
import json
import os
import ssl
import time
import urllib.error
import urllib.request

PROXY = os.environ["PROXY_URL"]
# Another, whose clients have spent their budget after one request.
POOR_PROXY = os.environ["POOR_PROXY_URL"]
EMULATOR = os.environ["EMULATOR_ORIGIN"]
CLIENT_KEY = os.environ["CLIENT_KEY"]
UPSTREAM_KEY = os.environ["UPSTREAM_KEY"]
TOKEN_INTERVAL = int(os.environ["TOKEN_INTERVAL_MS"]) / 1000

# What the emulator says: one word per token, always the same (emulator/src/api/text.rs).
ANSWER = "Hello from the emulator, which answers every question with the same words in turn."
TOKENS = 16
QUESTION = [{"role": "user", "content": "Say hello, please."}]  # 18 bytes, 4 to the token
QUESTION_TOKENS = 5

# How it calls a tool (emulator/src/api/tools.rs).
TOOL = "weather"
SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
ARGUMENTS = {"place": "Paris"}
CALL_TOKENS = 5
RESULT = "sunny, 24 degrees"

# Bytes of 300 KB that repeat nowhere within a piece of a body.
IMAGE = base64.b64encode(b"".join(n.to_bytes(4, "big") for n in range(75_000))).decode()

# What one stream takes that is left: far longer than leaving may take to be noticed.
LONG = 4000
NOTICED_WITHIN = 5

CHECKS = []


def check(name):
    """Adds a check under its name, which begins with the client's."""

    def add(function):
        if name in (other for other, _ in CHECKS):
            raise ValueError(f"two checks are called {name}")
        CHECKS.append((name, function))
        return function

    return add


def equal(what, found, expected):
    if found != expected:
        raise AssertionError(f"{what} is {found!r}, expected {expected!r}")


def hold(what, condition):
    if not condition:
        raise AssertionError(what)


def raised(kind, action):
    """The error that the action ends with: of this very kind, or any for Exception."""
    try:
        action()
    except kind as error:
        hold(f"{type(error).__name__} instead of {kind.__name__}", kind in (type(error), Exception))
        return error
    raise AssertionError(f"no {kind.__name__}")


def ask_emulator(method, path, body=None, headers=()):
    """Status and body of an answer that has not come through the proxy."""
    trust = ssl.create_default_context(cafile=os.environ["EMULATOR_CA"])
    request = urllib.request.Request(f"{EMULATOR}{path}", data=body, headers=dict(headers), method=method)
    try:
        with urllib.request.urlopen(request, context=trust, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def stats():
    return json.loads(ask_emulator("GET", "/emulator/stats")[1])


def requests():
    return json.loads(ask_emulator("GET", "/emulator/requests")[1])


@contextlib.contextmanager
def fault(text):
    """A fault in force, until the check is over at the latest."""
    status, body = ask_emulator("POST", "/emulator/fault", text.encode())
    equal(f"status of setting {text} ({body})", status, 200)
    try:
        yield
    finally:
        ask_emulator("DELETE", "/emulator/fault")


def during(action):
    """What the action gives back, and the requests that reached the emulator meanwhile."""
    seen = {request["sequence"] for request in requests()}
    result = action()
    return result, [request for request in requests() if request["sequence"] not in seen]


def until(what, condition, seconds=NOTICED_WITHIN):
    deadline = time.monotonic() + seconds
    while not condition():
        hold(f"not within {seconds} s: {what}", time.monotonic() < deadline)
        time.sleep(0.01)


def left(action):
    """That the action, which leaves a stream, ends the request upstream as well."""
    until("nothing in flight before", lambda: stats()["in_flight"] == 0)
    before = stats()
    action()
    until("one more cancelled", lambda: stats()["cancelled"] == before["cancelled"] + 1)
    until("nothing in flight", lambda: stats()["in_flight"] == 0)
    after = stats()
    equal("cancelled requests", after["cancelled"] - before["cancelled"], 1)
    equal("completed requests", after["completed"] - before["completed"], 0)


def retried(text, action, pause=0):
    """That the action succeeds though its first request fails, with one more; the second comes after the pause, seconds."""
    with fault(text):
        _, made = during(action)
    equal("requests that reached upstream", len(made), 2)
    gap = (made[1]["received_unix_ns"] - made[0]["received_unix_ns"]) / 1e9
    hold(f"the second attempt came after {gap:.3f} s, expected at least {pause} s", gap >= pause)
    return made


def fault_field(text):
    return {"x-emulator-fault": text}


def own_error(path, text):
    """What the emulator itself answers when it fails so."""
    headers = {"authorization": f"Bearer {UPSTREAM_KEY}", "content-type": "application/json", **fault_field(text)}
    return ask_emulator("POST", path, b"{}", headers)


def events_end(path, request, events):
    """How many bytes the emulator's stream has at the end of so many events."""
    headers = {"authorization": f"Bearer {UPSTREAM_KEY}", "content-type": "application/json"}
    status, body = ask_emulator("POST", path, json.dumps(request).encode(), headers)
    equal("status of a stream straight from the emulator", status, 200)
    return len(b"\n\n".join(body.split(b"\n\n")[:events])) + 2


def whole(made, sent, added=0):
    """That the one request has reached upstream byte for byte; the proxy may have added spaces before the last brace."""
    equal("requests that reached upstream", len(made), 1)
    expected = sent[:-1] + b" " * added + sent[-1:]
    hold(f"the request has only {len(sent)} bytes", len(sent) > 400_000)
    equal("body_length", made[0]["body_length"], len(expected))
    equal("body_hash", made[0]["body_hash"], fnv(expected))


def fnv(data):
    """64-bit FNV-1a, as the emulator writes it."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"
