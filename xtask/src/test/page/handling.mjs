// What a person does with the page: by keyboard alone, with a pause, in the background; and what others would do to it.

import { ADMIN, KEY_A, PERIOD, check, equal, faults, figures, hold, open, pause, until } from "./common.mjs";
import { chat } from "./load.mjs";

const REACHABLE = "a[href], button, select, input, [tabindex='0']";

check("by keyboard everything is reached, in order, and it is seen where one is", async () => {
  const page = await figures(ADMIN);
  const look = () => page.evaluate((reachable) => {
    const all = [...document.querySelectorAll(`#page :is(${reachable})`)].filter((one) => one.checkVisibility());
    const one = document.activeElement;
    const style = getComputedStyle(one);
    const seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    return { all: all.length, stop: all.indexOf(one), name: one.outerHTML.slice(0, 80), seen };
  }, REACHABLE);
  const stops = [];
  const { all: count } = await look();
  for (let presses = 0; presses < count + 5; presses += 1) {
    await page.keyboard.press("Tab");
    const { stop, name, seen } = await look();
    if (stop < 0) break;
    hold(`it is not seen that ${name} has the focus`, seen);
    stops.push(stop);
  }
  const all = Array.from({ length: count }, (_, i) => i);
  equal("stops", stops, all);
  hold(`${all.length} stops`, all.length >= 12);
});

check("the first stop leads past the head, and focus stays where it is when figures change", async () => {
  const page = await figures(ADMIN);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  equal("focus", await page.evaluate(() => document.activeElement.id), "content");
  await page.focus("[data-plot=requests]");
  for (let reads = 0; reads < 2; reads += 1) await page.waitForResponse((response) => response.url().endsWith("/status"));
  await page.waitForResponse((response) => response.url().endsWith("/status"));
  equal("focus then", await page.evaluate(() => document.activeElement.dataset.plot), "requests");
});

check("arrow keys and pointer choose a moment in all plots", async () => {
  const page = await figures(ADMIN);
  await page.click("#pause");
  const plot = page.locator("[data-plot=requests]");
  await plot.focus();
  for (let presses = 0; presses < 3; presses += 1) await page.keyboard.press("ArrowLeft");
  equal("moment", await plot.getAttribute("aria-valuenow"), "-6");
  equal("marks", await page.locator("line.mark").count(), 6);
  hold("words", (await page.textContent("#cursor")).includes("6 s ago"));
  hold("value", /^6 s ago: answered [\d.,]+, 4xx [\d.,]+, 5xx [\d.,]+$/.test(await plot.getAttribute("aria-valuetext")));
  await page.keyboard.press("Escape");
  equal("marks after Escape", await page.locator("line.mark").count(), 0);
  const { x, y, width, height } = await plot.boundingBox();
  await page.mouse.move(x + width - 2, y + height / 2);
  equal("marks by pointer", await page.locator("line.mark").count(), 6);
  await page.mouse.move(5, 5);
  equal("marks after it has left", await page.locator("line.mark").count(), 0);
});

check("costs can be grouped", async () => {
  const page = await figures(ADMIN);
  const heads = () => page.$$eval("#table-cost thead th", (all) => all.slice(0, 2).map((one) => one.textContent));
  equal("columns", await heads(), ["Client", "Model"]);
  await page.selectOption("#grouped", "model");
  equal("columns", await heads(), ["Model", "Requests"]);
  await page.waitForResponse((response) => response.url().endsWith("/status"));
  equal("choice after the next read", await page.inputValue("#grouped"), "model");
});

check("it asks nothing while it is paused or nobody sees it, and at once when somebody does", async () => {
  const page = await figures(ADMIN);
  let asked = 0;
  page.on("request", () => (asked += 1));
  const quiet = async (what) => {
    // What was under way has come.
    await pause(PERIOD / 4);
    asked = 0;
    await pause(2.5 * PERIOD);
    equal(`requests while ${what}`, asked, 0);
  };
  await page.click("#pause");
  equal("the button", await page.textContent("#pause"), "Resume");
  await quiet("it is paused");
  await page.click("#pause");
  await until("it asks again", () => asked > 0, PERIOD / 2);
  const hide = (hidden) => page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  await hide(true);
  await quiet("nobody sees it");
  await hide(false);
  await until("it asks again", () => asked > 0, PERIOD / 2);
});

check("it tells when the proxy is gone, and goes on when it is back", async () => {
  // The browser writes into the console what could not be loaded.
  const page = await figures(ADMIN, { watched: false });
  const told = () => page.textContent("#alert");
  equal("at first", await told(), "");
  await page.route("**/status", (route) => route.abort());
  const words = await until("it says so", async () => (await told()).includes("cannot be reached") && told());
  hold(words, /last read at \d/.test(words));
  hold("figures stay", (await page.locator("figure").count()) === 6);
  await page.unroute("**/status");
  await until("it says nothing any more", async () => (await told()) === "");
});

check("what clients choose is text", async () => {
  const model = "<img src=x onerror='window.owned=1'><script>window.owned=1</script>";
  await chat(KEY_A, model, { fault: "malformed;kind=status-line", id: "<b>id</b>" });
  const page = await open(ADMIN);
  await page.goto(`${ADMIN}/`);
  await page.waitForFunction((model) => document.querySelector("#errors").textContent.includes(model), model);
  hold("the request id is text", (await page.textContent("#errors")).includes("<b>id</b>"));
  equal("elements", await page.locator("img, #page script, #errors b:text('id')").count(), 0);
  equal("owned", await page.evaluate(() => window.owned), undefined);
});

check("the page is small, and the browser is told what it may do", async () => {
  const answer = await fetch(`${ADMIN}/`);
  const policy = answer.headers.get("content-security-policy");
  hold(policy, policy.includes("default-src 'none'") && !policy.includes("unsafe"));
  const text = await answer.text();
  hold(`${text.length} bytes`, text.length < 64 * 1024);
  const page = await open(ADMIN, { watched: false });
  await page.goto(`${ADMIN}/`);
  // A script that somebody got into the document.
  const ran = await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.owned = 1";
    document.body.append(script);
    return window.owned;
  });
  equal("a foreign script", ran, undefined);
});

check("nothing was asked of anybody else, and nothing stands in the console", () => equal("faults", faults, []));
