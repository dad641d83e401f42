// The page's numbers are those of /metrics, and /status is what docs/status.md says.

import { readFileSync } from "node:fs";
import { ADMIN, DOCUMENT, check, equal, figures, hold, metrics, status, until } from "./common.mjs";
import { flood, probe, round, running } from "./load.mjs";

/** Everything the page shows that /metrics has, too, under the page's name for it; counters first. */
function told(all) {
  const counters = {
    "requests.total": all.sum("holysheep_http_requests_total"),
    "usage.input_tokens": all.sum("holysheep_usage_tokens_total", { type: "input" }),
    "usage.output_tokens": all.sum("holysheep_usage_tokens_total", { type: "output" }),
    "cost.usd": all.sum("holysheep_cost_usd_total"),
    "probes.steered_connections": all.sum("holysheep_kernel_probes_steered_total"),
    "probes.handed_over": all.sum("holysheep_probe_handovers_total"),
  };
  for (const { labels, value } of all.all("holysheep_rejected_total")) counters[`errors.${labels.reason}`] = value;
  for (const { labels, value } of all.all("holysheep_cost_usd_total")) counters[`cost.${labels.client}.${labels.model}.usd`] = value;
  for (const { labels, value } of all.all("holysheep_rate_limited_total")) {
    if (value > 0) counters[`refused.${labels.client}.${labels.limit}`] = value;
  }
  for (const name of ["requests", "failures"]) {
    for (const { labels, value } of all.all(`holysheep_upstream_endpoint_${name}_total`)) counters[`endpoint.${labels.endpoint}.${name}`] = value;
  }
  for (const { labels } of all.all("holysheep_client_requests_total")) {
    counters[`client.${labels.client}`] = all.sum("holysheep_client_requests_total", { client: labels.client });
  }
  const gauges = {
    in_flight: all.sum("holysheep_http_requests_in_flight"),
    connections: all.sum("holysheep_http_connections"),
    idle: all.sum("holysheep_upstream_connections", { state: "idle" }),
    active: all.sum("holysheep_upstream_connections", { state: "active" }),
  };
  return { counters, gauges };
}

/** What the page shows once it has drawn what it reads next. */
async function shown(page) {
  const answer = await page.waitForResponse((response) => response.url().endsWith("/status"));
  const json = await answer.json();
  const is = `[data-field="requests.total"][value="${json.requests.total}"]`;
  await page.waitForFunction((is) => document.querySelector(is), is);
  const fields = await page.$$eval("[data-field]", (all) => all.map((one) => [one.dataset.field, Number(one.value), one.textContent]));
  return { json, values: new Map(fields.map(([name, value]) => [name, value])), texts: new Map(fields.map(([name, , text]) => [name, text])) };
}

const near = (one, other) => Math.abs(one - other) <= 1e-9 * Math.max(Math.abs(one), Math.abs(other));

let page;

check("while load runs, each counter lies between two reads of /metrics", async () => {
  page = await figures(ADMIN);
  await round(0);
  await flood();
  await probe();
  const load = running();
  let compared = 0;
  for (let times = 0; times < 3; times += 1) {
    const before = told(await metrics()).counters;
    const { values } = await shown(page);
    const after = told(await metrics()).counters;
    for (const [name, least] of Object.entries(before)) {
      const value = values.get(name);
      hold(`${name} is not on the page`, value !== undefined);
      // Sums of floating point differ in their last digits.
      const fits = value >= least * (1 - 1e-9) && value <= after[name] * (1 + 1e-9);
      hold(`${name} is ${value}, and was ${least} before and ${after[name]} after`, fits);
      compared += after[name] > least ? 1 : 0;
    }
  }
  hold(`only ${compared} counters moved`, compared > 20);
  await load.stop();
});

check("in a quiet moment they are equal, gauges too", async () => {
  await until("nothing is under way", async () => {
    const one = JSON.stringify(told(await metrics()));
    const { gauges } = told(await metrics());
    return gauges.in_flight === 0 && gauges.active === 0 && one === JSON.stringify(told(await metrics()));
  });
  const before = told(await metrics());
  const { values, texts } = await shown(page);
  const after = told(await metrics());
  const all = Object.entries({ ...before.counters, ...before.gauges });
  let same = 0;
  for (const [name, value] of all) {
    // What is out of reach is dialled again and again, and connections come and go.
    const then = after.counters[name] ?? after.gauges[name];
    const fits = near(values.get(name), value) || near(values.get(name), then);
    hold(`${name} is ${values.get(name)} on the page, ${value} and then ${then} in /metrics`, fits);
    same += near(value, then) ? 1 : 0;
  }
  hold(`${same} of ${all.length} values did not change`, same > 25 && same >= all.length - 3);
  // What a person reads is the value.
  for (const name of ["requests.total", "usage.output_tokens", "errors.unknown_route"]) {
    equal(name, texts.get(name).replaceAll(",", ""), String(values.get(name)));
  }
  hold("there are errors of several kinds", all.filter(([name]) => name.startsWith("errors.")).length >= 4);
  hold("there are refusals", all.some(([name]) => name === "refused.team-b.requests"));
});

check("times are those of /metrics, and the page's those of /status", async () => {
  const all = await metrics();
  const { json, values } = await shown(page);
  const { source, since_start: start, last_minute: minute } = json.latency;
  console.log(`     the network is measured by ${source}`);
  const ebpf = source === "ebpf";
  const parts = [["proxy", "holysheep_proxy_overhead_seconds"], ["rtt", "holysheep_kernel_rtt_seconds"], ["connect", "holysheep_kernel_connect_seconds"],
    ["first_byte", ebpf ? "holysheep_kernel_first_byte_seconds" : "holysheep_upstream_first_byte_seconds"]];
  for (const [part, metric] of ebpf ? [...parts, ["wakeup_lag", "holysheep_kernel_wakeup_lag_seconds"]] : parts) {
    const { count, mean_ms: mean } = start[part];
    // The kernel goes on measuring round trips of what is acknowledged late.
    const slack = ["rtt", "connect"].includes(part) ? 0.1 * count + 2 : 0;
    const counted = all.sum(`${metric}_count`);
    hold(`${part}: ${count}, and ${counted} in /metrics`, Math.abs(count - counted) <= slack);
    if (slack > 0) continue;
    const expected = (1000 * all.sum(`${metric}_sum`)) / counted;
    hold(`${part}: ${mean} ms, and ${expected} in /metrics`, Math.abs(mean - expected) < expected / 500);
  }
  hold("something was measured", start.proxy.count > 10 && start.first_byte.count > 10);
  for (const name of ["mean_ms", "p50_ms", "p95_ms", "p99_ms"]) {
    for (const part of ["first_byte", "proxy"]) equal(`${part} ${name}`, values.get(`latency.${part}.${name}`), minute[part][name]);
  }
  equal("network", values.get("latency.network.mean_ms"), minute.network_mean_ms);
  equal("upstream", values.get("latency.upstream.mean_ms"), minute.upstream_mean_ms);
  // The emulator thinks for 20 ms, over loopback.
  hold(`upstream took ${minute.upstream_mean_ms} ms`, minute.upstream_mean_ms > 15);
});

check("the plots have data", async () => {
  const { json: { history } } = await shown(page);
  for (const [name, column] of Object.entries(history)) {
    if (Array.isArray(column)) hold(`${name}: nothing`, column.some((value) => value !== null));
  }
  const lines = await page.$$eval("figure", (all) => all.map((one) => ({ id: one.id, steps: [...one.querySelectorAll("path")].map((line) => line.getAttribute("d")).join("").match(/H/g)?.length ?? 0 })));
  equal("plots", lines.length, 6);
  for (const { id, steps } of lines) hold(`${id} has ${steps} steps`, steps >= 3);
});

check("the last errors say where and what to do, and upstreams how they are", async () => {
  const all = page.locator("button[data-table=errors]");
  if (await all.count()) await all.click();
  const { json } = await shown(page);
  const rows = await page.$$eval("#table-errors tbody tr", (all) => all.map((row) => [...row.children].map((cell) => cell.textContent)));
  const codes = new Set(json.last_errors.map((one) => one.code));
  for (const code of ["rate_limit_exceeded", "invalid_api_key", "unknown_route", "upstream_invalid_response"]) hold(`${code} is missing`, codes.has(code));
  const limited = rows.find(([code]) => code === "rate_limit_exceeded");
  hold(JSON.stringify(limited), limited.at(-1).includes("limits.per_client") && limited[4].includes("team-b"));
  for (const row of rows) hold(`${row[0]} has no remedy`, row.at(-1).length > 5);
  const upstreams = await page.textContent("#upstreams");
  for (const text of ["holysheep", "far", "cannot be used", "in use"]) hold(`no ${text} in ${upstreams}`, upstreams.includes(text));
  if (json.probes.steered) hold("probes were steered", json.probes.steered_connections > 0);
});

/** The documented fields, with braces written out. */
function documented() {
  const expand = (field) => {
    const [, before, parts, after] = field.match(/^([^{]*)\{([^}]*)\}(.*)$/) ?? [];
    return parts ? parts.split(",").flatMap((part) => expand(before + part + after)) : [field];
  };
  const rows = readFileSync(DOCUMENT, "utf8").matchAll(/^\| `([^`]+)` \| (?:string|integer|number|boolean|object|list)/gm);
  return new Set([...rows].flatMap(([, field]) => expand(field)));
}

check("each field of /status is documented, those of kernel programs too", async () => {
  const known = documented();
  const parents = new Set([...known].flatMap((field) => field.split(".").map((_, i, parts) => parts.slice(0, i + 1).join(".").replace(/(\[\])+$/, ""))));
  const look = (value, path) => {
    if (Array.isArray(value)) {
      hold(`${path} is not documented`, known.has(path) || parents.has(path));
      for (const one of value) if (one !== null && typeof one === "object") look(one, `${path}[]`);
    } else if (value !== null && typeof value === "object") {
      for (const [name, one] of Object.entries(value)) {
        const field = path ? `${path}.${name}` : name;
        if (one === null || typeof one !== "object") hold(`${field} is not documented`, known.has(field));
        else look(one, field);
      }
    }
  };
  look(await status(), "");
  hold(`${known.size} fields`, known.size > 150);
});
