// The script of the console's page. The server sends whole snapshots, so the
// page never has to catch up after it missed one.
"use strict";

const $ = (id) => document.getElementById(id);
const settings = document.body.dataset;

// element creates an element with attributes and children.
function element(name, attributes = {}, ...children) {
  const svg = ["rect", "line"].includes(name);
  const e = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

// setText does nothing if the text is the same, so that it disturbs neither
// screen readers nor a selection.
function setText(e, text) {
  if (e.textContent === String(text)) return false;
  e.textContent = text;
  return true;
}

const number = (n) => n.toLocaleString("en");
const count = (n, one, many = one + "s") => `${number(n)} ${n === 1 ? one : many}`;
const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// duration formats a duration with one or two units.
function duration(ms) {
  const s = Math.ceil(ms / 1000);
  if (s < 60) return `${s} s`;
  if (s < 600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s <= 3600) return `${Math.ceil(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

// Access: the token, if the Worker requires one.

const token = () => sessionStorage.getItem("token") ?? "";
const authorization = () => (token() ? { Authorization: "Bearer " + token() } : {});

function askToken() {
  setStatus("lost", "Token needed");
  $("notice").hidden = true;
  $("access").hidden = false;
  setText($("access-text"), token() ? "That token was refused. Check it and try again." : "It is kept in this tab until you close it.");
  $("token").focus();
}

$("access-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value.trim());
  $("token").value = "";
  connect();
});

// The connection. One fetch gets the figures, and shows an error if there is
// one. Then a WebSocket follows.

let socket, failures = 0, retryAt = 0, asked = 0;

function setStatus(state, text) {
  $("status").dataset.state = state;
  setText($("status"), text);
  document.body.classList.toggle("stale", state === "lost");
}

async function connect() {
  retryAt = 0;
  hangUp();
  const turn = ++asked; // the latest call wins
  let answer, snapshot;
  try {
    answer = await fetch("/console/state", { headers: authorization(), signal: AbortSignal.timeout(10000) });
    snapshot = await answer.json();
  } catch { /* no answer, or not the console's */ }
  if (turn !== asked) return;
  if (answer?.status === 401) return askToken();
  if (!answer) return lost("The Worker cannot be reached.");
  if (!answer.ok || !snapshot) return lost(`The Worker answered with status ${answer.status}: ${snapshot?.error ?? "no reason given"}. ${snapshot?.hint ?? ""}`);
  $("access").hidden = true;
  show(snapshot);
  listen();
}

function listen() {
  const protocols = ["capdo.console"];
  if (token()) {
    const bytes = String.fromCharCode(...new TextEncoder().encode(token()));
    protocols.push("capdo.token." + btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", ""));
  }
  const ws = socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/console/live`, protocols);
  let answered = true;
  // A connection can be lost without a close event, so the page sends pings. A
  // ping does not wake the object.
  ws.pings = setInterval(() => {
    if (!answered) return gone();
    answered = ws.readyState !== WebSocket.OPEN;
    if (!answered) ws.send("ping");
  }, 10000);
  const gone = () => ws === socket && lost("The Worker or the network closed it.");
  ws.onclose = gone;
  ws.onmessage = ({ data }) => {
    answered = true;
    if (ws !== socket || data === "pong") return;
    failures = 0;
    $("notice").hidden = true;
    setStatus("live", "Live");
    show(JSON.parse(data));
  };
}

function hangUp() {
  const ws = socket;
  socket = undefined;
  if (!ws) return;
  clearInterval(ws.pings);
  ws.close();
}

function lost(why) {
  hangUp();
  const wait = Math.min(30000, 500 * 2 ** failures++) * (0.75 + Math.random() / 2);
  retryAt = Date.now() + wait;
  setStatus("lost", "Reconnecting");
  setText($("notice-title"), "Connection lost");
  setText($("notice-text"), `${why.trim()} The figures are the last ones that arrived.`);
  $("notice").hidden = snapshot && failures === 1; // most end at once, such as after a crash
  tick();
}

$("notice-retry").addEventListener("click", connect);
addEventListener("online", () => retryAt && connect());

// The figures.

let snapshot, skew = 0; // how far this machine's clock is behind the object's

function show(s) {
  const first = !snapshot;
  snapshot = s;
  skew = s.now - Date.now();
  s.totals.refused = s.totals.failed + s.totals.mismatched;
  for (const name of ["acquired", "duplicates", "replayed", "inProgress", "takenOver", "fenced", "refused"]) {
    setFigure($(name), s.totals[name], first);
  }
  setFigure($("sequence"), s.sequence, first);
  $("lost").hidden = !s.lost;
  setText($("lost"), `${count(s.lost, "event")} did not reach the console and ${s.lost === 1 ? "is" : "are"} missing here. The ledger is not affected.`);
  s.buckets ??= [];
  s.keys ??= [];
  for (const b of s.buckets) {
    b.refused = b.failed + b.mismatched;
    b.trouble = b.takenOver + b.fenced + b.refused;
  }
  showKeys();
  tick();
}

function setFigure(e, n, quietly) {
  if (!setText(e, number(n)) || quietly) return;
  e.classList.add("changed");
  requestAnimationFrame(() => requestAnimationFrame(() => e.classList.remove("changed")));
}

// tick updates what depends on the time alone.
function tick() {
  if (retryAt) setText($("notice-countdown"), `Next try in ${duration(Math.max(0, retryAt - Date.now()))}.`);
  if (retryAt && Date.now() >= retryAt) connect();
  if (!snapshot) return;
  const now = Date.now() + skew;
  showChart(now);
  showMinute(now);
  for (const row of $("keys-rows").rows) showTime(row, now);
}
setInterval(tick, 500);

function showMinute(now) {
  const recent = snapshot.buckets.filter((b) => b.at > now - 60000);
  for (const e of document.querySelectorAll("[data-minute]")) {
    const n = recent.reduce((sum, b) => sum + b[e.dataset.minute], 0);
    setText(e, n ? `${number(n)}/min` : "");
  }
}

const bars = 60, series = ["acquired", "duplicates", "trouble"];
let drawn = "";

function showChart(now) {
  const length = snapshot.bucketLength, last = Math.floor(now / length);
  const shown = snapshot.buckets.filter((b) => b.at / length > last - bars);
  const version = JSON.stringify([last, shown]);
  if (version === drawn) return;
  drawn = version;
  const top = Math.max(4, ...shown.map((b) => series.reduce((sum, s) => sum + b[s], 0)));
  const svg = $("chart");
  svg.replaceChildren(...[0.5, 75].map((y) => element("line", { x1: 0, x2: 600, y1: y, y2: y })));
  for (const b of shown) {
    let y = 150;
    for (const s of series) {
      const height = b[s] / top * 150;
      y -= height;
      if (height) svg.append(element("rect", { class: s, x: 600 - (last - b.at / length + 1) * 10 + 1, y, width: 8, height }));
    }
  }
  $("chart-empty").hidden = snapshot.since !== 0;
  setText($("chart-top"), snapshot.since ? number(top) : "");
  summarize(shown);
}

function summarize(shown) {
  const sum = (name) => shown.reduce((n, b) => n + b[name], 0);
  const text = shown.length
    ? `In the last five minutes: ${number(sum("acquired"))} acquired, ${count(sum("duplicates"), "duplicate")}, ` +
      `${number(sum("takenOver"))} taken over, ${number(sum("fenced"))} fenced, ${number(sum("refused"))} failed.`
    : "No claims in the last five minutes.";
  setText($("chart-summary"), text);
  $("chart-rows").replaceChildren(...shown.toReversed().map((b) => element("tr", {},
    element("td", {}, clock(b.at)), ...["acquired", "duplicates", "takenOver", "fenced", "refused"].map((name) => element("td", {}, number(b[name]))))));
}

// showKeys updates the rows. A row keeps its element as long as its key is
// shown.
function showKeys() {
  const body = $("keys-rows"), rows = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  $("keys").hidden = !snapshot.keys.length;
  $("keys-empty").hidden = !!snapshot.keys.length;
  snapshot.keys.forEach((k, i) => {
    const row = rows.get(k.key) ?? newRow(k.key);
    rows.delete(k.key);
    if (body.rows[i] !== row) body.insertBefore(row, body.rows[i] ?? null);
    row.entry = k;
    setText(row.cells[2], k.attempt || "–");
    setText(row.cells[3], number(k.duplicates));
    setText(row.cells[4], k.fence === "0" ? "–" : k.fence);
  });
  for (const row of rows.values()) row.remove();
}

function newRow(key) {
  const cell = (label, ...children) => element("td", { role: "cell", ...(label && { "data-label": label }) }, ...children);
  return element("tr", { role: "row", "data-key": key }, cell("", element("code", {}, key)), cell("", element("span", { class: "state" })),
    cell("Attempt"), cell("Duplicates"), cell("Fence"), cell(""));
}

// showTime shows a key's state and how long it lasts. A state can end with time
// alone.
function showTime(row, now) {
  const k = row.entry;
  let state = k.state, left = k.expires ? `remembered ${duration(k.expires - now)}` : "–";
  if (k.state === "in progress" && now >= k.leaseEnds) [state, left] = ["lease over", "the next claim takes over"];
  else if (k.state === "in progress") left = `lease ${duration(k.leaseEnds - now)}`;
  else if (k.expires && now >= k.expires) [state, left] = ["expired", "the next claim starts again"];
  else if (k.state === "released") left = "the next claim acquires it";
  const label = row.cells[1].firstChild;
  label.dataset.state = state;
  setText(label, state);
  setText(row.cells[5], left);
}

// The buttons.

const newID = () => "demo-" + Array.from(crypto.getRandomValues(new Uint8Array(6)), (b) => b.toString(16).padStart(2, "0")).join("");

// pay sends a payment. Status 0 means that no answer came.
async function pay(id, crash) {
  const began = performance.now();
  const result = { status: 0, text: "", retryAfter: 0 };
  try {
    const r = await fetch(settings.payments, {
      method: "POST", body: JSON.stringify({ id, amount: 1250, currency: "EUR" }), signal: AbortSignal.timeout(30000),
      headers: { "Content-Type": "application/json", ...authorization(), ...(crash && { Crash: crash }) },
    });
    result.text = await r.text();
    result.status = r.status;
    result.retryAfter = Number(r.headers.get("Retry-After")) * 1000;
  } catch { /* it has gone */ }
  result.took = Math.round(performance.now() - began);
  if (result.status === 401) askToken();
  return result;
}

// describe formats an answer as text.
function describe({ status, text }) {
  let body = {};
  try { body = JSON.parse(text) ?? {}; } catch { /* not JSON */ }
  const parts = [status || "no answer"];
  if (body.charge) parts.push(`charge ${body.charge}`);
  if (body.sequence) parts.push(`sequence ${body.sequence}`);
  const error = body.detail ?? body.error ?? body.title;
  if (error) parts.push(error);
  return parts.join(" · ");
}

// report adds an entry at the top of the results. It returns a function that
// adds lines to the entry.
function report(title) {
  const steps = element("ol"), now = Date.now();
  const entry = element("li", {}, element("div", { class: "head" }, title, element("time", {}, clock(now))), steps);
  $("results-empty").hidden = true;
  $("results").prepend(entry);
  while ($("results").children.length > 6) $("results").lastChild.remove();
  return (text, kind = "") => steps.append(element("li", { class: kind }, text));
}

// once disables a button until its work is done. The button stays focusable.
function once(button, work) {
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    try { await work(button); } finally { button.removeAttribute("aria-disabled"); }
  });
}

const isGood = (r) => r.status >= 200 && r.status < 300;

once($("one"), async () => {
  const say = report("A payment");
  const r = await pay(newID());
  say(`${describe(r)} · ${r.took} ms`, isGood(r) ? "good" : "bad");
});

once($("burst"), async () => {
  const id = newID(), say = report("One payment, 25 times at once");
  const results = await Promise.all(Array.from({ length: 25 }, () => pay(id)));
  const by = Map.groupBy(results, (r) => r.status);
  say([...by].map(([status, list]) => `${list.length} × ${status || "no answer"}`).join(", ") + ` · ${Math.max(...results.map((r) => r.took))} ms`);
  const good = results.filter(isGood), answers = new Set(good.map((r) => r.text));
  if (!good.length) return say(describe(results[0]), "bad");
  say(answers.size === 1 ? `all got the same answer: ${describe(good[0])}` : `${answers.size} different answers`, answers.size === 1 ? "good" : "bad");
});

async function crash(button) {
  const id = newID(), when = button.dataset.crash, say = report(button.textContent), began = Date.now();
  const first = await pay(id, when);
  if (isGood(first)) return say("It did not crash: the Worker’s variable DEMO is not \"true\".", "bad");
  if (first.status >= 400 && first.status < 500) return say(describe(first), "bad");
  say(`The Worker crashed ${when === "after-charge" ? "after" : "before"} the charge, with the claim held: ${describe(first)}.`);
  say("The crashed holder keeps the claim until its lease ends. The page tries again; the first call after that takes over.");
  let told = false;
  while (Date.now() - began < 120000) {
    const r = await pay(id);
    if (isGood(r)) return say(`Taken over ${duration(Date.now() - began)} after the crash: ${describe(r)}.`, "good");
    if (r.status === 401) return say(describe(r), "bad");
    if (r.status === 409 && !told) {
      told = true;
      say(`409: in progress${r.retryAfter ? ", for " + duration(r.retryAfter) : ""}.`);
    }
    await sleep(Math.max(500, r.retryAfter));
  }
  say("No answer within two minutes. The claim remains; a later call takes it over.", "bad");
}
once($("crash-before"), crash);
once($("crash-after"), crash);
if (settings.demo !== "true") {
  $("demo-off").hidden = false;
  for (const id of ["crash-before", "crash-after"]) {
    $(id).disabled = true;
    $(id).setAttribute("aria-describedby", "demo-off");
  }
}

connect();
