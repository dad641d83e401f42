// How the page looks and whether everybody can read it: four states, light and dark, on a desk and on a phone. The pictures are
// kept below the target directory for people to look at.

import { ADMIN, BARE, SCREENSHOTS, axe, check, drawn, equal, figures, hold, instead, leave, open } from "./common.mjs";

const SIZES = { desktop: { width: 1280, height: 900 }, phone: { width: 360, height: 780 } };

/** What a page has in it that is a barrier, as axe-core sees it. */
async function barriers(page) {
  await page.evaluate(axe.source);
  return page.evaluate(async () => {
    const { violations } = await globalThis.axe.run({ resultTypes: ["violations"] });
    return violations.map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => node.html.slice(0, 200)).slice(0, 3).join(" ")}`);
  });
}

/** Looks at one state in all its appearances. */
async function look(name, address, prepare, settled) {
  for (const colorScheme of ["light", "dark"]) {
    for (const [size, viewport] of Object.entries(SIZES)) {
      const page = await open(address, { viewport, colorScheme, reducedMotion: "reduce", watched: prepare !== unreachable });
      await prepare?.(page);
      await page.goto(`${address}/`);
      await settled(page);
      const place = `${name}, ${colorScheme}, ${size}`;
      equal(`barriers (${place})`, await barriers(page), []);
      const [wide, moving, transition] = await page.evaluate(() => [
        document.documentElement.scrollWidth - document.documentElement.clientWidth, document.getAnimations().length,
        getComputedStyle(document.querySelector("button")).transitionDuration,
      ]);
      equal(`pixels beyond the edge (${place})`, wide, 0);
      equal(`what moves although it should not (${place})`, [moving, transition], [0, "0s"]);
      await page.screenshot({ path: `${SCREENSHOTS}/${name}-${size}-${colorScheme}.png`, fullPage: true });
      await leave(page);
    }
  }
}

check("under load: no barrier, nothing beyond the edge, nothing that moves", () => look("load", ADMIN, null, drawn));

check("without upstream and traffic: the same, and it says so", async () => {
  await look("bare", BARE, null, drawn);
  const page = await figures(BARE);
  const text = await page.textContent("#page");
  for (const words of ["Not ready for traffic:", "there is no upstream API key", "cannot be used", "No request has gone to upstream yet", "has made no error", "No tokens have been counted", "No client has a limit"]) {
    hold(`no ${words} in ${text}`, text.includes(words));
  }
  equal("title", await page.title(), "not ready: holysheep-proxy");
});

/** Eight upstreams, 200 clients, and names as long as they may be. */
function crowd(status) {
  const long = (i) => `${i}-${"client_with-a.long@name".repeat(3)}`.slice(0, 64);
  const states = ["closed", "open", "half_open"];
  const end = status.upstream.endpoints[0];
  const endpoint = (i) => ({ ...end, address: `[2001:db8:aaaa:bbbb:cccc:dddd:eeee:${i}]:443`, state: states[i % 3], requests: 1234567890, ejections: i });
  const upstream = (_, i) => ({ ...status.upstream, name: `upstream-${i}-with-a-name-that-is-rather-long`, base_url: `https://api.some-where-far-away-${i}.example.com/with/a/path/v1`,
    breaker: states[i % 3], breaker_pause_seconds: 12.3, endpoints: [endpoint(i), endpoint(i + 1)], windows: undefined,
    resolution_error: i === 7 ? "no name server has answered in time" : null });
  const half = { limit: 600000, burst: 600000, remaining: 1000, reset_seconds: 3 };
  const budget = { limit_usd: 12345.67, spent_usd: 12345.67, remaining_usd: 0, reset: 1795737600 };
  const clients = Array.from({ length: 200 }, (_, i) => long(i));
  const keys = [{ id: "q3XbT0aZk9Lm", created: null, requests: 1 }, { id: "q3XbT0aZk9Ln", created: null, requests: 2 }];
  const model = "a-model/with-a-name.that-is_as-long-as-names-of-models-get:free-preview-2026-11-27";
  return { ...status,
    upstreams: Array.from({ length: 7 }, upstream),
    limits: clients.map((client, i) => ({ client, requests: half, tokens: half, concurrent: 50, in_flight: i % 51, budgets: { day: budget, month: budget }, refused: [{ limit: "requests", count: i * 1000 }] })),
    clients: { file: `/etc/${"directory/".repeat(12)}clients.yaml`, read: status.time, error: "clients[3].keys[0].hash: expected 64 hexadecimal digits", clients: clients.map((name, i) => ({
      name, state: ["active", "expired", "disabled"][i % 3], expires: "2027-01-31T12:00:00Z", keys, models: [model, "gpt-*"], routes: ["/v1/chat/completions", "/v1/messages"], requests: 9876543 })) },
    cost: { ...status.cost, by_client: clients.map((client) => ({ client, model, requests: 1e6, input_tokens: 123456789012, cached_tokens: 5e9, cache_written_tokens: 1, output_tokens: 5e9, usd: 123456.789, estimated_usd: 0.000001 })) },
    last_errors: status.last_errors.concat(clients.slice(0, 40).map((client) => ({ time: status.time, code: "upstream_certificate_expired", status: 502, count: 1e6,
      message: `upstream's certificate is not valid: ${"x".repeat(200)}`, remedy: "check the clock; else upstream has to renew", route: "/v1/chat/completions", client, model, upstream: "far", request_id: "f".repeat(128) }))),
    config: { file: "/etc/holysheep/proxy.yaml", hash: "3b253f6d75e5", read: status.time, error: "proxy.yaml:5:3: timeouts.conect: unknown field; did you mean `connect`?", needs_restart: ["listen", "workers"] },
    kernel: { ...status.kernel, programs: status.kernel.programs.map((one) => ({ ...one, attached: false, reasons: ["the kernel refused it: permission denied (os error 1); CAP_BPF is needed"] })) },
  };
}

check("with eight upstreams, 200 clients and long names: the same, and all can be shown", async () => {
  await look("crowd", ADMIN, (page) => instead(page, crowd), drawn);
  const page = await open(ADMIN, { viewport: SIZES.phone });
  await instead(page, crowd);
  await page.goto(`${ADMIN}/`);
  await drawn(page);
  const rows = () => page.locator("#table-limits tbody tr").count();
  equal("limits at first", await rows(), 10);
  const more = page.locator("button[data-table=limits]");
  await more.focus();
  await page.keyboard.press("Enter");
  equal("limits then", await rows(), 200);
  equal("the button", [await more.getAttribute("aria-expanded"), await more.evaluate((one) => one === document.activeElement)], ["true", true]);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  equal("pixels beyond the edge", wide, 0);
});

const told = (page) => page.waitForFunction(() => document.querySelector("#alert").textContent.includes("cannot be reached"));

async function unreachable(page) {
  await page.route("**/status", (route) => route.abort());
}

check("when the proxy cannot be reached it says so: the same", () => look("unreachable", ADMIN, unreachable, told));

check("without scripts there are tables", async () => {
  for (const [size, viewport] of Object.entries(SIZES)) {
    const page = await open(ADMIN, { javaScriptEnabled: false, viewport });
    await page.goto(`${ADMIN}/`);
    const text = await page.textContent("main.plain");
    for (const words of ["Ready for traffic.", "Requests in flight", "Upstream far", "team-a", "rate_limit_exceeded"]) hold(`no ${words}`, text.includes(words));
    equal("figures that are empty", await page.locator("#page").isVisible(), false);
    await page.screenshot({ path: `${SCREENSHOTS}/plain-${size}.png`, fullPage: true });
    await leave(page);
  }
});
