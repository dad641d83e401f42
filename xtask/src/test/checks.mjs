// What all checks written in Node share: their list, what they say, and the run. A line `ok NAME` or `FAIL NAME: REASON` per check.

import assert from "node:assert/strict";

const CHECKS = new Map();

/** Adds a check under its name. */
export function check(name, run) {
  if (CHECKS.has(name)) throw new Error(`two checks are called ${name}`);
  CHECKS.set(name, run);
}

export function equal(what, found, expected) {
  const shown = `${what} is ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`;
  assert.deepStrictEqual(found, expected, shown.slice(0, 2000));
}

export const hold = (what, condition) => assert.ok(condition, what);

/** Runs all of them, tidies up, and ends: idle connections must not keep the process running. */
export async function run(tidy = () => {}) {
  let failed = 0;
  for (const [name, check] of CHECKS) {
    try {
      await check();
      console.log(`ok   ${name}`);
    } catch (error) {
      // A library's own error is a finding, too.
      failed += 1;
      console.log(`FAIL ${name}: ${error.constructor.name}: ${error.message}`.replaceAll("\n", " "));
    }
  }
  await tidy();
  process.exit(failed > 0 ? 1 : 0);
}
