"use strict";

// A browser has six connections to a service: all imports share one stream, which a page that nobody sees lets go.
const SHOWN = 5;
const LINES = 3;
const LOOK_EVERY_MS = 5000;
const SILENT_MS = 20000;
const EVENTS = ["pending", "snapshot", "update", "log", "gap", "liveness", "finished", "failed", "cancelled", "abandoned", "lost"];
const ENDS = ["finished", "failed", "cancelled", "abandoned", "lost"];

const jobs = new Map();   // by name, the latest first: what is known of each and the elements that show it
let jobStream = null;     // the events of all that are shown and have not ended
let streamed = "";        // whose events
let jobsHeard = 0;        // when one of them came last

const make = (name, className, text = "") => {
  const element = document.createElement(name);
  element.className = className;
  element.textContent = text;
  return element;
};

function makeBar(kind) {
  const bar = shape("svg", { class: "bar", "aria-hidden": "true" });
  bar.append(shape("rect", { height: "100%", width: "0", class: kind }));
  return bar;
}

function makeJob(name) {
  const item = make("li", "job");
  const words = make("span", "job-words", "not heard of yet");
  const button = make("button", "", "Cancel");
  button.type = "button";
  button.addEventListener("click", () => cancelJob(name));
  const head = make("div", "job-head");
  head.append(make("strong", "", name), words, button);
  const bars = make("div", "bars");
  const lines = make("ol", "job-lines quiet");
  item.append(head, bars, lines);
  return { name, item, words, button, bars, lines, rows: new Map(), state: null, word: "pending", liveness: "live", told: [], followed: false };
}

const sized = (count, unit) => unit === "bytes" ? `${(count / 1e6).toFixed(1)} MB` : `${count} ${unit ?? ""}`.trim();

function counted({ done, total, unit }) {
  if (total === undefined) return sized(done, unit);
  return `${sized(done, unit === "bytes" ? unit : "")} of ${sized(total, unit)}`;
}

function showBar(job, key, title, fraction, text) {
  if (!job.rows.has(key)) {
    const row = make("div", key === "" ? "row whole" : "row");
    const number = make("span", "number");
    row.append(make("span", "", title), makeBar(key === "" ? "solid" : "hollow"), number);
    job.bars.append(row);
    job.rows.set(key, { bar: row.children[1], number });
  }
  const row = job.rows.get(key);
  drawBar(row.bar, fraction ?? 0, 1);
  if (row.number.textContent !== text) row.number.textContent = text;
}

function sayJob({ word, state, liveness }) {
  if (word === "pending") return "not heard of yet";
  if (word === "lost") return "lost: its record is gone, and so is its worker";
  if (word === "abandoned") return "abandoned: its worker let go of it";
  if (word === "failed") return `failed: ${state?.error ?? "no reason told"}`;
  if (word === "finished") return state?.result?.rows ? `finished: ${state.result.rows} rows` : "finished";
  if (word === "cancelled") return "cancelled";
  if (state?.cancelling) return "stopping, as asked";
  if (liveness === "stalled") return "stalled: no sign of life from its worker";
  if (state?.degraded) return `${state.phase ?? "running"}, told by this process while Redis is away`;
  if (liveness === "unknown") return "Redis is away: nobody knows how it is";
  const left = state?.eta === undefined ? "" : `, about ${Math.max(1, Math.round(state.eta))} s left`;
  return `${state?.phase ?? "running"}${left}`;
}

function showJob(job) {
  const { state } = job;
  if (state !== null) {
    const whole = state.fraction ?? 0;
    showBar(job, "", "The whole", whole, whole === 1 ? "100 %" : `${Math.floor(100 * whole)} %`);
    for (const child of state.children ?? []) {
      showBar(job, `of ${child.name}`, child.name, child.fraction, counted(child));
    }
  }
  const words = sayJob(job);
  if (job.words.textContent !== words) job.words.textContent = words;
  job.item.dataset.word = job.word;
  job.button.hidden = ENDS.includes(job.word);
  job.button.disabled = Boolean(state?.cancelling);
}

function tellLine(job, text) {
  job.told.push(text);
  while (job.told.length > LINES) job.told.shift();
  job.lines.replaceChildren(...job.told.map((line) => make("li", "", line)));
}

function takeState(job, state, word) {
  job.state = state;
  job.word = word ?? state.status;
  if (state.liveness !== undefined) job.liveness = state.liveness;
}

function heardOfJob(event) {
  jobsHeard = Date.now();
  const { job: name, data } = JSON.parse(event.data);
  const job = jobs.get(name);
  if (job === undefined) return;
  if (event.type === "log") tellLine(job, `${clock(new Date(data.at_ms))} ${data.level === "warning" ? "warning: " : ""}${data.text}`);
  else if (event.type === "gap") tellLine(job, `lines ${data.from} to ${data.to} are gone`);
  else if (event.type === "liveness") job.liveness = data.liveness;
  else if (event.type === "pending") job.word = "pending";
  else if (data.job !== undefined) takeState(job, data, ENDS.includes(event.type) ? event.type : null);
  else job.word = event.type;
  if (event.type === "snapshot") job.told = [];
  showJob(job);
  if (ENDS.includes(event.type)) sayStream();
}

const running = () => [...jobs.values()].filter((job) => !ENDS.includes(job.word));

function sayStream(broken) {
  const count = running().length;
  write("jobs-stream", broken ?? (count === 0
    ? "None is under way."
    : `${count} under way, told live on one stream. Reload the page, or take Redis away: they go on.`));
}

// One stream for all that have not ended and those whose lines are not known yet.
function follow(anew) {
  const wanted = [...jobs.values()].filter((job) => !job.followed).map((job) => encodeURIComponent(job.name)).join(",");
  if (document.hidden || wanted === "") {
    jobStream?.close();
    [jobStream, streamed] = [null, ""];
    return;
  }
  if (!anew && jobStream !== null && streamed === wanted) return;
  jobStream?.close();
  streamed = wanted;
  jobsHeard = Date.now();
  const stream = new EventSource(`/api/jobs/${wanted}/events`);
  jobStream = stream;
  for (const name of EVENTS) {
    stream.addEventListener(name, (event) => { if (stream === jobStream) heardOfJob(event); });
  }
  stream.addEventListener("open", () => sayStream());
  // It connects again by itself, from where it was, and is closed for good once all has been told.
  stream.addEventListener("error", () => {
    if (stream !== jobStream) return;
    if (running().length > 0) sayStream("The stream of imports broke: it goes on where it was as soon as it can.");
    if (stream.readyState === EventSource.CLOSED || running().length === 0) {
      for (const job of jobs.values()) job.followed = ENDS.includes(job.word);
      stream.close();
      [jobStream, streamed] = [null, ""];
    }
  });
}

function listJobs(states) {
  for (const state of states.toReversed()) {
    if (jobs.has(state.job)) continue;
    const job = makeJob(state.job);
    jobs.set(state.job, job);
    takeState(job, state);
    byId("jobs").prepend(job.item);
    showJob(job);
  }
  const excess = [...jobs.values()].sort((a, b) => (a.state?.started_ms ?? Infinity) - (b.state?.started_ms ?? Infinity));
  for (const job of excess.slice(0, Math.max(0, jobs.size - SHOWN))) {
    job.item.remove();
    jobs.delete(job.name);
  }
  byId("jobs-empty").hidden = jobs.size > 0;
}

async function lookForJobs() {
  if (document.hidden) return;
  try {
    const response = await fetch("/api/jobs", { signal: AbortSignal.timeout(LOOK_EVERY_MS), cache: "no-store" });
    const { jobs: states } = await response.json();
    listJobs(states.sort((a, b) => b.started_ms - a.started_ms).slice(0, SHOWN));
    follow(running().length > 0 && Date.now() - jobsHeard > SILENT_MS);
    if (jobStream === null) sayStream();
  } catch {
    // The card of the state tells that the service does not answer.
  }
}

async function startImport() {
  byId("import").disabled = true;
  await ask("Import", "/api/jobs", { method: "POST" }, (body, took) => note("Import: begun", `${body.job}, in ${took}`));
  await lookForJobs();
  byId("import").disabled = false;
}

const CANCELLED = {
  acknowledged: "its worker knows, and stops",
  requested: "it is written down, and its worker will see it",
  "already finished": "it had ended",
};

const cancelJob = (name) => ask("Cancel", `/api/jobs/${encodeURIComponent(name)}/cancel`, { method: "POST" }, (body, took) =>
  note(`Cancel: ${body.cancel}`, `${name}: ${CANCELLED[body.cancel] ?? ""}, in ${took}`));

byId("import").addEventListener("click", startImport);
document.addEventListener("visibilitychange", lookForJobs);
setInterval(lookForJobs, LOOK_EVERY_MS);
lookForJobs();
