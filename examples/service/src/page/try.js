"use strict";

const FETCH_EVERY_MS = 250;
const CHANGE_EVERY = 12;
const AT_ONCE = 5;
const MORE = 8;
const PLANS = ["basic", "team", "business"];
const LOG_LENGTH = 12;

let lastEvent = null;   // the id of the webhook sent last
let keeping = null;     // the timer of "Keep fetching"
let turns = 0;          // how often it has fetched
let keptSource = null;  // who answered it last
let keptChange = null;  // what became of its last change
let plan = 0;           // the plan that was asked for last

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
    const response = await fetch(path, { ...options, signal: limit.signal, cache: "no-store" });
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
  l1: "from this process (L1)",
  redis: "from the cache in Redis",
  fallback: "from this process's memory, the fallback",
  computed: "computed, as no cache had them",
  billing: "asked of the billing system, as no cache had it",
};

// The word, and the sentence that goes with it.
function from(body) {
  const age = body.age_ms >= 1000 ? `, ${ago(Date.now() - body.age_ms)} old` : "";
  const stale = body.stale ? ", past its time and loaded anew behind this answer" : "";
  return [body.stale ? `${body.source}, stale` : body.source, `${FROM[body.source] ?? body.source}${age}${stale}`];
}

const flagsPath = () => `/api/features/me?user=${encodeURIComponent(byId("user").value || "demo")}`;
const subscriptionPath = () => `/api/subscriptions/${encodeURIComponent(byId("subscription").value || "sub_42")}`;

function noteFlags(body, took) {
  const on = Object.entries(body.flags).filter(([, value]) => value).map(([name]) => name);
  const [source, words] = from(body);
  note(`Flags: ${source}`, `${on.length ? on.join(", ") : "none"} on for ${body.user}; ${words}, in ${took}`);
}

function noteSubscription(body, took) {
  const [source, words] = from(body);
  const ended = body.active ? "" : ", ended";
  note(`Subscription: ${source}`, `${body.id} is ${body.plan}${ended}, change ${body.revision}; ${words}, in ${took}`);
}

const CHANGED = {
  applied: "Redis has forgotten the old one, and tells whoever has it",
  pending: "Redis is away: this process acts by it at once, and Redis forgets the old one before it is read again",
};

function noteChange(body, took) {
  const { id, plan, revision } = body.subscription;
  note(`Change: ${body.cache}`, `${id} is ${plan}, change ${revision}; ${CHANGED[body.cache] ?? "the cache could not be told"}, in ${took}`);
}

function change(describe) {
  plan = (plan + 1) % PLANS.length;
  const options = {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ plan: PLANS[plan] }),
  };
  return ask("Change", subscriptionPath(), options, describe);
}

// Nobody has it once it is changed, so all of them wait for one load.
async function rush() {
  byId("rush").disabled = true;
  await change(noteChange);
  const answers = [];
  await Promise.all(Array.from({ length: AT_ONCE }, () =>
    ask("Subscription", subscriptionPath(), {}, (body, took) => answers.push([body, took]))));
  if (answers.length) {
    const waited = answers.filter(([body]) => body.source === "billing").length;
    const most = Math.max(...answers.map(([, took]) => parseFloat(took)));
    note(`${answers.length} at once`, `${waited} of them shared one load, the others found what it had stored, all in ${most.toFixed(1)} ms`);
  }
  byId("rush").disabled = false;
}

const BY = {
  redis: "by Redis, for all processes",
  fallback: "by this process, at its share, as Redis is away",
};

const search = () => {
  const path = `/api/search?q=a&user=${encodeURIComponent(byId("user").value || "demo")}`;
  return ask("Search", path, {}, (body, took) =>
    note(`Search: ${body.source}`, `${body.found.join(", ")}; let through ${BY[body.source] ?? body.source}, ${body.remaining} of ${body.limit} left, in ${took}`));
};

// Flags and a subscription in turn, four times a second, noted only when somebody else answers; and a change now and then.
function keepFetching() {
  turns += 1;
  if (turns % CHANGE_EVERY === 0) {
    change((body, took) => {
      if (body.cache !== keptChange) noteChange(body, took);
      keptChange = body.cache;
    });
  } else if (turns % 2 === 0) {
    ask("Subscription", subscriptionPath(), {}, () => {});
  } else {
    ask("Flags", flagsPath(), {}, (body, took) => {
      if (body.source !== keptSource) noteFlags(body, took);
      keptSource = body.source;
    });
  }
}

function toggleKeeping() {
  if (keeping === null) {
    [keptSource, keptChange] = [null, null];
    keeping = setInterval(keepFetching, FETCH_EVERY_MS);
  } else {
    clearInterval(keeping);
    keeping = null;
  }
  byId("keep").setAttribute("aria-pressed", String(keeping !== null));
  write("keep", keeping === null ? "Keep fetching" : "Stop fetching");
  write("keep-text", KEEPING[keeping === null ? 0 : 1]);
}

const KEEPING = [
  "Fetches both in turn, four times a second, and changes the plan every three seconds: to have something to see.",
  "Four times a second, with a change every three seconds; noted below when somebody else answers.",
];

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
  ask("Flags", flagsPath(), {}, noteFlags);
});
byId("subscription-form").addEventListener("submit", (event) => {
  event.preventDefault();
  ask("Subscription", subscriptionPath(), {}, noteSubscription);
});
byId("search").addEventListener("click", search);
byId("search-more").addEventListener("click", () => Array.from({ length: MORE }, search));
byId("change").addEventListener("click", () => change(noteChange));
byId("rush").addEventListener("click", rush);
byId("webhook").addEventListener("click", () => {
  const random = crypto.getRandomValues(new Uint32Array(2));
  lastEvent = `evt_${[...random].map((part) => part.toString(16).padStart(8, "0")).join("")}`;
  byId("webhook-again").disabled = false;
  sendWebhook(lastEvent);
});
byId("webhook-again").addEventListener("click", () => sendWebhook(lastEvent));

write("keep-text", KEEPING[0]);
byId("keep").addEventListener("click", toggleKeeping);
byId("demo-button").addEventListener("click", pressDemo);
