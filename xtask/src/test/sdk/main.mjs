// An application's view, in Node: OpenAI's and Anthropic's clients through the proxy to the emulator.
//
// `cargo xtask test --only sdk` starts both and runs this. A line `ok NAME` or `FAIL NAME: REASON` per check.

import { run } from "../checks.mjs";

// Each adds its checks, in this order.
await import("./openai_node.mjs");
await import("./anthropic_node.mjs");

await run();
