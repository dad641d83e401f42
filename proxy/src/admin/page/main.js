// Asks for /status every two seconds while somebody can see it, and shows it.

const PERIOD = 2000;
const PATIENCE = 5000;

let status = null;
let read = null;
let failed = null;
let paused = false;
let timer = 0;
let asking = false;

const SECTIONS = { ready, tiles, plots, latency, upstreams, errors, costs, limits, clients, probes, process };

function draw() {
  live();
  $("content").classList.toggle("waits", !status);
  if (!status) return;
  for (const [name, section] of Object.entries(SECTIONS)) {
    try {
      section(status);
    } catch (error) {
      // One part that cannot be shown must not hide the others.
      console.error(`${name}: ${error.stack}`);
    }
  }
}

const clock = (date) => date.toLocaleTimeString();

function live() {
  const since = read ? `last read at ${clock(read)}` : "nothing was read yet";
  show("live", paused ? `Paused; ${since}` : failed ? `Trying again; ${since}` : read ? `Live; ${since}` : "Reading …");
  $("pause").textContent = paused ? "Resume" : "Pause";
  // Changed only when something else is to be said: it is read out.
  const told = read ? `What is shown here was last read at ${clock(read)}.` : "Nothing was read yet.";
  show("alert", failed && h("p", { class: "card note bad" }, state("bad", "The proxy cannot be reached"), `: ${failed}. ${told}`));
}

async function ask() {
  clearTimeout(timer);
  if (asking || paused || document.hidden) return;
  asking = true;
  try {
    const answer = await fetch("status", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (!answer.ok) throw new Error(`it answers ${answer.status}`);
    status = await answer.json();
    read = new Date();
    failed = null;
  } catch (error) {
    failed = error.name === "TimeoutError" ? `no answer within ${PATIENCE / 1000} s` : error.message;
  }
  asking = false;
  draw();
  if (!paused && !document.hidden) timer = setTimeout(ask, PERIOD);
}

$("page").hidden = false;
$("pause").addEventListener("click", () => {
  paused = !paused;
  draw();
  ask();
});
document.addEventListener("visibilitychange", ask);
document.addEventListener("change", (event) => {
  if (event.target.id !== "grouped") return;
  grouped = event.target.value;
  draw();
});
followCursor(draw, () => status?.history);
followTables(draw);
ask();
