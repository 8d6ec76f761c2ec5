"use strict";

const EVERY_MS = 1000;
const PATIENCE_MS = 3000;
const STREAM_AGAIN_MS = 5000;
const FETCH_EVERY_MS = 250;
const LOG_LENGTH = 12;

const byId = (id) => document.getElementById(id);

const MEANING = {
  idle: "The pool is built and not used yet: the first call connects.",
  connecting: "The first connection is being made. Calls wait for it, within their limit.",
  ready: "Redis answers. Callers get its replies.",
  degraded: "Redis does not answer. Calls that need it fail at once, the others go on without it, and the pool keeps trying.",
  embedded: "There is no Redis: this process's memory answers. What needs Redis is refused.",
  closed: "The pool was closed for good: the service is stopping.",
};

let shown = null;       // the state word on the page
let shownSince = null;  // when the page saw it first
let answeredAt = null;  // when the service answered last
let pressedAt = 0;       // when the button was
let silentSince = null; // when it stopped answering
let lastEvent = null;   // the id of the webhook sent last
let stream = null;      // the server-sent events, while they come
let heard = 0;          // when the last of them came
let polling = null;     // the timer of asking instead
let keeping = null;     // the timer of "Keep fetching"
let keptSource = null;  // who answered it last
const samples = [];     // what the chart shows

const clock = (date) => date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

function ago(from) {
  const seconds = Math.max(0, Math.round((Date.now() - from) / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

// Written only when it changes, so that a screen reader speaks of changes and not every second.
function write(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

function showState(name, word, meaning) {
  if (shown !== name) {
    shown = name;
    shownSince = Date.now();
    byId("now").dataset.state = name;
    document.title = `${word}: Cenote`;
  }
  write("state", word);
  write("meaning", meaning);
}

function showStatus(status) {
  const known = status.state in MEANING;
  let meaning = known ? MEANING[status.state] : "This page does not know the state.";
  if (status.state === "degraded" && status.required) {
    meaning += " Redis is required, so this service reports itself as not ready.";
  }
  showState(status.state, status.state, meaning);
  document.body.classList.remove("stale");

  const used = status.connections_in_use;
  const max = status.connections_max;
  const meter = byId("connections");
  meter.max = max;
  meter.value = used;
  meter.hidden = !status.enabled;
  write("connections-text", status.enabled ? `${used} of ${max} in use` : "none: there is no Redis");

  for (const element of document.querySelectorAll("[data-needs-redis]")) element.hidden = !status.enabled;
  write("flags-hint", status.enabled
    ? "Cached in Redis for five minutes; while it is away, in this process's memory, which is forgotten when it is back."
    : "Cached in this process's memory for five minutes.");
  write("webhook-hint", status.enabled
    ? "A webhook is handled once per event, never without Redis."
    : "Webhooks are refused without Redis: a claim in this process's memory protects nothing in another process.");

  write("url", status.enabled ? status.url : "none");
  write("server", status.server_version
    ? `version ${status.server_version}, ${status.server_role ?? "role unknown"}`
    : "not reached yet");
  const since = status.degraded_since === null ? shownSince : status.degraded_since * 1000;
  write("since-title", status.degraded_since === null ? "In this state, as seen here" : "In this state");
  write("since", `since ${clock(new Date(since))} (${ago(since)})`);
  write("required", status.required ? "yes: not ready without Redis" : "no: serves without Redis");
  write("latency", status.latency_ms === null ? "none yet" : `${status.latency_ms.toFixed(2)} ms`);
  write("breaker", status.breaker === "open" ? "open: calls that need Redis fail at once" : "closed: calls go through");
  write("in-flight", String(status.in_flight));
  write("dedicated", String(status.dedicated_in_use));
  write("reconnects", `${status.reconnects} (${status.dials} attempts in all)`);
  write("fallback", status.fallback_entries === null ? "no fallback" : String(status.fallback_entries));
  const over = status.last_error !== null && status.state === "ready";
  write("last-error-title", over ? "Last error (over)" : "Last error");
  write("last-error", status.last_error ?? "none seen");
  showAnswers(status);
  showJournal(status.journal);
  showLatency(status);
  showDemo(status.demo, status.state);
}

function showAnswers(status) {
  const { answered_by_redis: redis, answered_by_fallback: fallback } = status;
  const local = status.journal.local || status.breaker === "open";
  write("who", local
    ? "Now: the fallback, in this process's memory."
    : status.state === "ready" ? "Now: Redis." : "Now: Redis if it answers in time, else the fallback.");
  for (const [id, part] of [["by-redis", redis], ["by-fallback", fallback]]) {
    const whole = redis + fallback;
    drawBar(byId(`${id}-bar`), part, whole);
    write(id, whole ? `${part} (${percent(part, whole)} %)` : "0");
  }
}

// Never 0 or 100 for what is not.
function percent(part, whole) {
  const rounded = Math.round((100 * part) / whole);
  if (rounded === 0 && part > 0) return "under 1";
  return rounded === 100 && part < whole ? "over 99" : String(rounded);
}

function showJournal(journal) {
  const keys = journal.pending_keys;
  write("journal", keys
    ? `${keys === 1 ? "A key was" : "Keys were"} written while Redis was away. What Redis still holds there is removed before it is read again.`
    : journal.local ? "Closing: Redis is about to be read again." : "Empty: there is nothing that Redis must forget.");
  write("pending-keys", String(keys));
  write("late-writes", String(journal.late_writes));
  write("replays", journal.replays === 1 ? "once" : `${journal.replays} times`);
}

function showLatency(status) {
  const at = Date.now();
  // A change of state tells at once, and is no look of the clock.
  if (samples.length && at - samples.at(-1).at < 400) return;
  samples.push({ at, ms: status.state === "ready" ? status.latency_ms : null });
  while (samples.length > SAMPLES) samples.shift();
  drawLatency(byId("chart"), samples);
  write("chart-words", sayLatency(samples));
}

// `demo` is what was asked for last; whether it came about, the pool's state tells.
function showDemo(demo, state) {
  byId("demo").hidden = demo === null;
  if (demo === null) return;
  const failed = demo === "back" && state === "degraded" && Date.now() - pressedAt > 3000;
  const there = demo === "back" && !failed;
  write("demo-button", there ? "Take Redis away" : "Bring Redis back");
  write("demo-hint", there
    ? "Ends this demo's own Redis at once, as a crash would. Its data stays on disk."
    : failed ? "It did not come back: the demo's terminal says why. Press to try again."
    : "Starts it again with the data it had.");
}

function showSilence() {
  silentSince ??= Date.now();
  document.body.classList.add("stale");
  const before = answeredAt === null
    ? "It has not answered since this page was opened."
    : "What is shown below is how things were then.";
  showState("silent", "no answer", `No answer from the service since ${clock(new Date(answeredAt ?? silentSince))}. ${before}`);
}

function heardOf(status, how) {
  answeredAt = Date.now();
  silentSince = null;
  showStatus(status);
  write("asked", status.status === "error"
    ? `Readiness answers 503: the service takes no traffic. ${how}`
    : `Readiness answers 200: the service takes traffic. ${how}`);
}

// Told as it changes; when that breaks, asked for until it works again.
function listen() {
  stream?.close();
  stream = new EventSource("/api/status/stream");
  heard = Date.now();
  stream.onmessage = (event) => {
    heard = Date.now();
    clearTimeout(polling);
    polling = null;
    heardOf(JSON.parse(event.data), "Live: told at each change.");
  };
  stream.onerror = broken;
}

function broken() {
  stream?.close();
  stream = null;
  setTimeout(listen, STREAM_AGAIN_MS);
  polling ??= setTimeout(poll);
}

// A service that hangs closes nothing.
function watch() {
  if (stream !== null && Date.now() - heard > PATIENCE_MS) broken();
}

async function poll() {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), PATIENCE_MS);
  try {
    const response = await fetch("/api/status", { signal: limit.signal, cache: "no-store" });
    const status = await response.json();
    if (polling !== null) heardOf(status, "The live stream broke: asked every second instead.");
  } catch {
    if (polling !== null) {
      showSilence();
      write("asked", "Asking again every second.");
    }
  } finally {
    clearTimeout(timer);
  }
  if (polling !== null) polling = setTimeout(poll, EVERY_MS);
}

function note(outcome, text) {
  byId("log-empty").hidden = true;
  const line = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = clock(new Date());
  const strong = document.createElement("strong");
  strong.textContent = outcome;
  line.append(time, strong, text);
  byId("log").prepend(line);
  while (byId("log").children.length > LOG_LENGTH) byId("log").lastElementChild.remove();
}

async function ask(what, path, options, describe) {
  const began = performance.now();
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), 10000);
  try {
    const response = await fetch(path, { ...options, signal: limit.signal });
    const body = await response.json();
    const took = `${(performance.now() - began).toFixed(1)} ms`;
    if (response.ok) return describe(body, took);
    const again = response.headers.get("retry-after");
    const retry = again === null ? "" : ` Try again in ${again} s.`;
    note(`${what}: ${response.status}`, `${body.detail ?? body.title}${retry} (${took})`);
  } catch {
    note(`${what}: no answer`, "The service did not answer.");
  } finally {
    clearTimeout(timer);
  }
}

const FROM = {
  redis: "from the cache in Redis",
  fallback: "from the memory of this process",
  computed: "computed, as no cache had them",
};

function fetchFlags() {
  return ask("Flags", `/api/features/me?user=${encodeURIComponent(byId("user").value)}`, {}, noteFlags);
}

function noteFlags(body, took) {
  const on = Object.entries(body.flags).filter(([, value]) => value).map(([name]) => name);
  note(`Flags: ${body.source}`, `${on.length ? on.join(", ") : "none"} on for ${body.user}; ${FROM[body.source] ?? body.source}, in ${took}`);
}

// Four times a second, and noted only when somebody else answers.
function keepFetching() {
  const path = `/api/features/me?user=${encodeURIComponent(byId("user").value || "demo")}`;
  ask("Flags", path, {}, (body, took) => {
    if (body.source !== keptSource) noteFlags(body, took);
    keptSource = body.source;
  });
}

function toggleKeeping() {
  if (keeping === null) {
    keptSource = null;
    keeping = setInterval(keepFetching, FETCH_EVERY_MS);
  } else {
    clearInterval(keeping);
    keeping = null;
  }
  byId("keep").setAttribute("aria-pressed", String(keeping !== null));
  write("keep", keeping === null ? "Keep fetching" : "Stop fetching");
  write("keep-text", keeping === null
    ? "Fetches flags four times a second, to have something to see."
    : "Four times a second; noted below when somebody else answers.");
}

async function pressDemo() {
  const away = byId("demo-button").textContent.startsWith("Take");
  byId("demo-button").disabled = true;
  await ask("Redis", away ? "/demo/redis/away" : "/demo/redis/back", { method: "POST" }, (body, took) => {
    pressedAt = Date.now();
    note(`Redis: ${body.redis}`, `asked for by the button, in ${took}`);
    showDemo(body.redis);
  });
  byId("demo-button").disabled = false;
}

function sendWebhook(id) {
  const options = {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ id, type: "charge.succeeded" }),
  };
  return ask("Webhook", "/webhooks/stripe", options, (body, took) => {
    const words = body.status === "duplicate" ? "it was handled before; nothing was done" : "handled, and marked done for a day";
    note(`Webhook: ${body.status}`, `${id}: ${words}, in ${took}`);
  });
}

byId("flags-form").addEventListener("submit", (event) => {
  event.preventDefault();
  fetchFlags();
});
byId("webhook").addEventListener("click", () => {
  const random = crypto.getRandomValues(new Uint32Array(2));
  lastEvent = `evt_${[...random].map((part) => part.toString(16).padStart(8, "0")).join("")}`;
  byId("webhook-again").disabled = false;
  sendWebhook(lastEvent);
});
byId("webhook-again").addEventListener("click", () => sendWebhook(lastEvent));

byId("keep").addEventListener("click", toggleKeeping);
byId("demo-button").addEventListener("click", pressDemo);

listen();
setInterval(watch, EVERY_MS);
