// The status page in a browser, while clients are served.
//
// `cargo xtask test --only page` starts the proxy and runs this. A line `ok NAME` or `FAIL NAME: REASON` per check.

import { CHECKS, close } from "./common.mjs";

// Each adds its checks, in this order.
await import("./numbers.mjs");
await import("./looks.mjs");
await import("./handling.mjs");

let failed = 0;
for (const [name, run] of CHECKS) {
  try {
    await run();
    console.log(`ok   ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${name}: ${error.constructor.name}: ${error.message}`.replaceAll("\n", " "));
  }
}
await close();
process.exit(failed > 0 ? 1 : 0);
