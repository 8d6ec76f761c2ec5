"use strict";

const EVERY_MS = 1000;
const PATIENCE_MS = 3000;
const STREAM_AGAIN_MS = 5000;
const RATE_MS = 5000;

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
let stream = null;      // the server-sent events, while they come
let heard = 0;          // when the last of them came
let polling = null;     // the timer of asking instead
const samples = [];     // what the chart shows
const looks = [];       // how often the caches were read and loaded, lately

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
    ? "Cached in Redis and in this process (L1), fresh for five minutes; while Redis is away in this process's memory only, which is forgotten when it is back."
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
  showCaches(status.caches);
  showLimit(status.search);
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
  showShares([["by-redis", redis], ["by-fallback", fallback]]);
}

function showShares(parts) {
  const whole = parts.reduce((sum, [, part]) => sum + part, 0);
  for (const [id, part] of parts) {
    drawBar(byId(`${id}-bar`), part, whole);
    write(id, whole ? `${part} (${percent(part, whole)} %)` : "0");
  }
}

function showCaches(caches) {
  const sum = (figure) => Object.values(caches).reduce((sum, stats) => sum + stats[figure], 0);
  showShares([
    ["tier-l1", sum("l1_hits")],
    ["tier-redis", sum("l2_hits")],
    ["tier-fallback", sum("fallback_hits")],
    ["tier-stale", sum("stale_hits")],
    ["tier-misses", sum("misses")],
  ]);
  for (const cell of document.querySelectorAll("[data-figure]")) {
    const text = String(caches[cell.dataset.cache][cell.dataset.figure]);
    if (cell.textContent !== text) cell.textContent = text;
  }
  const figures = ["l1_hits", "l2_hits", "fallback_hits", "stale_hits", "absent_hits", "misses"];
  const reads = figures.reduce((all, figure) => all + sum(figure), 0);
  looks.push({ at: Date.now(), reads, loads: sum("loads") });
  while (looks.length > 2 && looks.at(-1).at - looks[1].at >= RATE_MS) looks.shift();
  const [first, last] = [looks[0], looks.at(-1)];
  const seconds = (last.at - first.at) / 1000;
  const rate = (count) => (count / seconds).toFixed(1);
  write("reads", seconds < 1 || last.reads === first.reads
    ? "Nobody reads just now: \u201cKeep fetching\u201d below does."
    : `Now: ${rate(last.reads - first.reads)} reads a second, of which ${rate(last.loads - first.loads)} asked the source.`);
}

function showLimit(stats) {
  for (const cell of document.querySelectorAll("[data-limit]")) {
    const text = String(stats[cell.dataset.limit]);
    if (cell.textContent !== text) cell.textContent = text;
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

listen();
setInterval(watch, EVERY_MS);
