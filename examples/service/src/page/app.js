"use strict";

const EVERY_MS = 1000;
const PATIENCE_MS = 3000;
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
let silentSince = null; // when it stopped answering
let lastEvent = null;   // the id of the webhook sent last

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
    ? "Cached in Redis for five minutes; computed when Redis does not answer within 50 ms."
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
  write("breaker", status.breaker === "open" ? "open: calls fail at once" : "closed: calls go through");
  write("in-flight", String(status.in_flight));
  write("dedicated", String(status.dedicated_in_use));
  write("reconnects", `${status.reconnects} (${status.dials} attempts in all)`);
  write("fallback", status.fallback_entries === null ? "no fallback" : String(status.fallback_entries));
  const over = status.last_error !== null && status.state === "ready";
  write("last-error-title", over ? "Last error (over)" : "Last error");
  write("last-error", status.last_error ?? "none seen");
}

function showSilence() {
  silentSince ??= Date.now();
  document.body.classList.add("stale");
  const before = answeredAt === null
    ? "It has not answered since this page was opened."
    : "What is shown below is how things were then.";
  showState("silent", "no answer", `No answer from the service since ${clock(new Date(answeredAt ?? silentSince))}. ${before}`);
}

async function poll() {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), PATIENCE_MS);
  try {
    const response = await fetch("/health/ready", { signal: limit.signal, cache: "no-store" });
    const status = await response.json(); // 503 has the same body
    answeredAt = Date.now();
    silentSince = null;
    showStatus(status);
    write("asked", response.ok
      ? `Readiness answers ${response.status}: the service takes traffic. Asked every second.`
      : `Readiness answers ${response.status}: the service takes no traffic. Asked every second.`);
  } catch {
    showSilence();
    write("asked", "Asking again every second.");
  } finally {
    clearTimeout(timer);
  }
  setTimeout(poll, EVERY_MS);
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

function fetchFlags() {
  const user = byId("user").value;
  const from = {
    redis: "from the cache in Redis",
    memory: "from the memory of this process",
    computed: "computed, not from the cache",
  };
  return ask("Flags", `/api/features/me?user=${encodeURIComponent(user)}`, {}, (body, took) => {
    const on = Object.entries(body.flags).filter(([, value]) => value).map(([name]) => name);
    note(`Flags: ${body.source}`, `${on.length ? on.join(", ") : "none"} on for ${body.user}; ${from[body.source] ?? body.source}, in ${took}`);
  });
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

poll();
