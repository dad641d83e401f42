// An application's view, in Node: OpenAI's and Anthropic's clients through the proxy to the emulator.
//
// `cargo xtask test --only sdk` starts both and runs this. A line `ok NAME` or `FAIL NAME: REASON` per check.

import { CHECKS } from "./common.mjs";

// Each adds its checks, in this order.
await import("./openai_node.mjs");
await import("./anthropic_node.mjs");

let failed = 0;
for (const [name, run] of CHECKS) {
  try {
    await run();
    console.log(`ok   ${name}`);
  } catch (error) {
    // A client's own error is a finding, too.
    failed += 1;
    console.log(`FAIL ${name}: ${error.constructor.name}: ${error.message}`.replaceAll("\n", " "));
  }
}
// Idle connections must not keep it running.
process.exit(failed > 0 ? 1 : 0);
