// What the page's checks share: their list, the settings of the run, the metrics, and a browser.

import { createRequire } from "node:module";

import { check, equal, hold } from "../checks.mjs";

export { check, equal, hold };

/** The packages are below the target directory, where an import from here would not look. */
const load = createRequire(`${process.env.PACKAGES}/`);
const { chromium } = load("playwright-core");
export const axe = load("axe-core");

export const { PROXY_URL: PROXY, ADMIN_URL: ADMIN, BARE_ADMIN_URL: BARE, KEY_A, KEY_B, DOCUMENT, SCREENSHOTS } = process.env;

/** The page asks for news every two seconds. */
export const PERIOD = 2000;

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Waits until something is so; gives back what it is then. */
export async function until(what, look, limit = 10_000) {
  const end = Date.now() + limit;
  for (;;) {
    const found = await look();
    if (found) return found;
    hold(`${what}, which did not come`, Date.now() < end);
    await pause(20);
  }
}

export const read = async (path) => (await fetch(`${ADMIN}${path}`)).text();
export const status = async () => JSON.parse(await read("/status"));

/** All samples of /metrics: name, labels, value. */
export async function metrics() {
  const samples = [];
  for (const line of (await read("/metrics")).split("\n")) {
    const [, name, labels, value] = line.match(/^(\w+)(?:\{(.*)\})? (\S+)$/) ?? [];
    if (!name) continue;
    const pairs = [...(labels ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
    samples.push({ name, labels: Object.fromEntries(pairs.map(([, key, text]) => [key, JSON.parse(`"${text}"`)])), value: Number(value) });
  }
  return {
    /** The sum of the samples of a name that have these labels. */
    sum(wanted, labels = {}) {
      const fits = (one) => Object.entries(labels).every(([key, value]) => one.labels[key] === value);
      return samples.filter((one) => one.name === wanted && fits(one)).reduce((sum, one) => sum + one.value, 0);
    },
    all: (wanted) => samples.filter((one) => one.name === wanted),
  };
}

const ARGUMENTS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ARGUMENTS });
export const close = () => browser.close();

/** What went wrong in pages that must not: requests to others, messages in the console, errors of the script. */
export const faults = [];

/** A page of its own. Of one that is `watched`, whatever goes wrong is kept in [`faults`]. */
export async function open(address, { watched = true, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(`${address}/`) && !url.startsWith("data:")) faults.push(`a request to ${url}`);
  });
  const page = await context.newPage();
  if (watched) {
    page.on("console", (message) => faults.push(`${message.type()} in the console: ${message.text()}`));
    page.on("pageerror", (error) => faults.push(`an error of the script: ${error.stack}`));
  }
  return page;
}

/** Closes a page. What it had asked for meanwhile, and gets changed, comes to nothing then. */
export async function leave(page) {
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await page.context().close();
}

/** Opens the page and waits for its first figures. */
export async function figures(address, options) {
  const page = await open(address, options);
  await page.goto(`${address}/`);
  await drawn(page);
  return page;
}

export const drawn = (page) => page.waitForFunction(() => document.querySelectorAll("figure").length > 0);

/** Has the page get something else than it asks for; `change` makes it of what there is. */
export const instead = (page, change) => page.route("**/status", async (route) => {
  const answer = await route.fetch();
  await route.fulfill({ json: change(await answer.json()) });
});
