"""An application's view, in Python: OpenAI's and Anthropic's clients, and curl, through the proxy to the emulator.

`cargo xtask test --only sdk` starts both and runs this after its counterpart for Node, main.mjs. A line `ok NAME` or
`FAIL NAME: REASON` per check.
"""

import sys

# Each adds its checks, in this order; the last looks back at all.
import openai_python
import openai_python_failures
import anthropic_python
import realtime
import plain_http
from common import CHECKS

MODULES = (openai_python, openai_python_failures, anthropic_python, realtime, plain_http)


def main():
    failed = 0
    for name, function in CHECKS:
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
