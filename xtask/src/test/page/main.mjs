// The status page in a browser, while clients are served.
//
// `cargo xtask test --only page` starts the proxy and runs this. A line `ok NAME` or `FAIL NAME: REASON` per check.

import { run } from "../checks.mjs";
import { close } from "./common.mjs";

// Each adds its checks, in this order.
await import("./numbers.mjs");
await import("./looks.mjs");
await import("./handling.mjs");

await run(close);
