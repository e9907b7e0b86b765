// The browser part of the console's test. It prints a line of JSON for each
// test: its name, and its failure, if any.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

// The package contains Chromium, its libraries and a font. This variable makes
// it unpack the libraries. We must set the folder of the font.
process.env.AWS_EXECUTION_ENV = "AWS_Lambda_nodejs24.x";
process.env.FONTCONFIG_PATH = tmpdir() + "/fontconfig";
mkdirSync(process.env.FONTCONFIG_PATH);
const prefer = (family, font) => `<alias><family>${family}</family><prefer><family>${font}</family></prefer></alias>`;
writeFileSync(process.env.FONTCONFIG_PATH + "/fonts.conf", `<fontconfig><dir>${tmpdir()}/fonts</dir><dir>/usr/share/fonts</dir>
<cachedir>${tmpdir()}/fontcache</cachedir>${prefer("system-ui", "Open Sans")}${prefer("sans-serif", "Open Sans")}</fontconfig>`);
const { default: chromium } = await import("@sparticuz/chromium");
const { chromium: playwright } = await import("playwright-core");

const { CONSOLE_URL: base, CONSOLE_TOKEN: token, CONSOLE_SCREENSHOT: screenshot } = process.env;
const elsewhere = base.replace("127.0.0.1", "console.example"); // the Worker sees another machine's host

const browser = await playwright.launch({
  executablePath: await chromium.executablePath(),
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP console.example 127.0.0.1"],
});

// What all pages have recorded.
const errors = [], sockets = [], frames = [], paymentIDs = [];

// open opens the console in a new browser profile.
async function open({ at = base, width = 1280, height = 800, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(30000);
  page.on("pageerror", (e) => errors.push("uncaught: " + e.message));
  page.on("console", (m) => m.type() === "error" && errors.push(`${m.text()} ${m.location().url}`));
  page.on("request", (r) => r.method() === "POST" && r.url().endsWith("/payments") && paymentIDs.push(r.postDataJSON().id));
  page.on("websocket", (ws) => {
    sockets.push(ws.url());
    ws.on("framereceived", ({ payload }) => frames.push(String(payload)));
  });
  await page.goto(at + "/console");
  return page;
}

const status = (page, text) => page.waitForFunction((t) => document.getElementById("status").textContent === t, text);
const live = (page) => status(page, "Live");
const text = (page, id) => page.locator("#" + id).textContent();
const state = async () => (await fetch(base + "/console/state")).json();
const command = async (name) => assert.equal((await fetch(`${base}/test/${name}`, { method: "POST" })).status, 200);

// figures returns the numbers on the page.
const figures = (page) => page.locator(".figure").evaluateAll((list) =>
  Object.fromEntries(list.map((e) => [e.id, Number(e.textContent.replaceAll(",", ""))])));

// agree waits until the page shows the figures of /console/state, and returns
// those.
async function agree(page, want) {
  let shown, said;
  for (let i = 0; i < 200; i++) {
    [shown, said] = [await figures(page), await state()];
    const { acquired, duplicates, replayed, inProgress, takenOver, fenced, failed, mismatched } = said.totals;
    const expected = { acquired, duplicates, replayed, inProgress, takenOver, fenced, refused: failed + mismatched, sequence: said.sequence };
    const isWanted = Object.entries(want).every(([k, v]) => ({ ...said.totals, ...expected })[k] === v);
    if (isWanted && JSON.stringify(shown) === JSON.stringify(expected)) return said;
    await new Promise((done) => setTimeout(done, 50)); // there is no notification
  }
  assert.fail(`the page shows ${JSON.stringify(shown)}, /console/state says ${JSON.stringify(said.totals)}, wanted ${JSON.stringify(want)}`);
}

// newest waits until the newest result contains a pattern, and returns its
// text.
async function newest(page, pattern) {
  const entry = page.locator("#results > li").first();
  await entry.filter({ hasText: pattern }).waitFor();
  return entry.innerText();
}

// test runs a test. The browser's console may have only the expected errors.
async function test(name, run, expected = /^$/) {
  errors.length = 0;
  let failure = "";
  try {
    await run();
    assert.deepEqual(errors.filter((e) => !expected.test(e)), [], "errors in the browser's console");
  } catch (e) {
    failure = e.message;
  }
  console.log(JSON.stringify({ test: name, failure }));
}

const refused = /^Failed to load resource|WebSocket connection to/; // Chromium's messages; the page also shows a message

const page = await open();

await test("an empty console shows that it is empty", async () => {
  await live(page);
  assert.ok(await page.getByText("Nothing yet: send a payment.").isVisible());
  assert.ok(await page.getByText("No key yet.").isVisible());
  assert.equal(await text(page, "acquired"), "0");
});

await test("a payment is acquired, completed and numbered", async () => {
  await page.getByRole("button", { name: "Send a payment" }).click();
  assert.match(await newest(page, "ms"), /200 · charge ch_\d+ · sequence 1 · \d+ ms/);
  await agree(page, { acquired: 1, duplicates: 0, completed: 1, sequence: 1 });
  await page.locator("#keys-rows").getByText("completed").waitFor();
  assert.match(await page.locator("#keys-rows tr").first().innerText(), /^[0-9a-f]{12}\s+completed\s+1\s+0\s+\d{16}\s+remembered 1 d 0 h/);
  assert.ok(await page.getByText("Nothing yet: send a payment.").isHidden());
  assert.match(await text(page, "chart-summary"), /1 acquired, 0 duplicates, 0 taken over/);
  assert.equal(await page.locator("#chart rect.acquired").count(), 1);
});

await test("one of 25 concurrent calls acquires; page, state and answers agree", async () => {
  const answers = [];
  const collect = async (r) => r.url().endsWith("/payments") && answers.push(await r.text());
  page.on("response", collect);
  await page.getByRole("button", { name: "Send one 25 times" }).click();
  const said = await newest(page, "all got the same answer");
  page.off("response", collect);
  assert.match(said, /25 × 200/);
  assert.equal(new Set(answers).size, 1);
  assert.equal(answers.length, 25);
  const { keys } = await agree(page, { acquired: 2, duplicates: 24, completed: 2, sequence: 2 });
  assert.equal(keys[0].duplicates, 24);
  assert.match(String(keys[0].fence), /^\d{16}$/);
  assert.ok(Number(keys[0].fence) > Number(keys[1].fence), "the later payment has the larger fence"); // fences are times in µs
  await page.locator("#keys-rows tr").first().getByText("completed").waitFor();
  assert.match(await page.locator("#keys-rows tr").first().innerText(), /completed\s+1\s+24\s/);
});

for (const when of ["before", "after"]) {
  await test(`a crash ${when} the charge is explained, and taken over when the lease ends`, async () => {
    const before = await state();
    let calls = 0; // the example lets callers wait; this answers the first repetition at once
    const busy = { status: 409, headers: { "Retry-After": "1" }, json: { detail: "in progress" } };
    await page.route("**/payments", (route) => ++calls === 2 ? route.fulfill(busy) : route.continue());
    await page.getByRole("button", { name: `Crash ${when} charge` }).click();
    await newest(page, "The page tries again");
    await page.getByText(/^lease \d s$/).waitFor();
    await newest(page, /409: in progress, for \d s/);
    assert.match(await newest(page, "Taken over"), /200 · charge ch_\d+ · sequence/);
    await page.unroute("**/payments");
    const after = await agree(page, { takenOver: before.totals.takenOver + 1, completed: before.totals.completed + 1, sequence: before.sequence + 1 });
    const reported = after.totals.acquired - before.totals.acquired; // the crash may have lost the report of the claim
    assert.ok(reported === 0 || reported === 1, `${reported} claims of the holder that crashed`);
    assert.equal(after.keys[0].attempt, 2);
    assert.equal(after.keys[0].state, "completed");
  }, refused);
}

await test("after an eviction the connection continues with the right figures", async () => {
  const before = await state(), connections = sockets.length;
  assert.equal(await (await fetch(base + "/evict")).text(), "evicted");
  await page.getByRole("button", { name: "Send a payment" }).click();
  const after = await agree(page, { acquired: before.totals.acquired + 1, completed: before.totals.completed + 1, sequence: before.sequence + 1 });
  assert.deepEqual(after.keys.slice(1), before.keys);
  assert.equal(sockets.length, connections);
  assert.equal(await text(page, "status"), "Live");
});

await test("after SIGKILL the page shows the loss, reconnects and shows the figures", async () => {
  const before = await state();
  await command("kill");
  await status(page, "Reconnecting");
  await page.getByRole("heading", { name: "Connection lost" }).waitFor();
  await page.getByText("The Worker cannot be reached.").waitFor();
  assert.match(await text(page, "notice-countdown"), /^Next try in \d+ s\.$/);
  await command("start");
  await live(page);
  assert.ok(await page.getByRole("heading", { name: "Connection lost" }).isHidden());
  const after = await agree(page, { acquired: before.totals.acquired });
  assert.deepEqual({ ...after, now: 0 }, { ...before, now: 0 });
  await page.getByRole("button", { name: "Send a payment" }).click();
  await agree(page, { acquired: before.totals.acquired + 1 });
}, refused);

await test("the keyboard is enough, and the focus is visible", async () => {
  const p = await open();
  await live(p);
  const before = await state();
  await p.keyboard.press("Tab");
  const focused = await p.evaluate(() => {
    const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
    return [document.activeElement.id, outlineStyle, outlineWidth];
  });
  assert.deepEqual(focused, ["one", "solid", "2px"]);
  await p.keyboard.press("Enter");
  await newest(p, "200 · charge");
  assert.equal(await p.evaluate(() => document.activeElement.id), "one");
  await p.keyboard.press("Tab");
  await p.keyboard.press("Space");
  await newest(p, "all got the same answer");
  await agree(p, { acquired: before.totals.acquired + 2, duplicates: before.totals.duplicates + 24 });
  await p.context().close();
});

await test("a screen reader gets the results, the connection state and the figures", async () => {
  assert.equal(await page.getByRole("main").count(), 1);
  assert.equal(await page.getByRole("banner").count(), 1);
  for (const name of ["Totals", "Claims, last five minutes", "Try it", "Recent keys"]) {
    assert.equal(await page.getByRole("region", { name, exact: true }).count(), 1, name);
  }
  assert.equal(await page.getByRole("log", { name: "Answers" }).getAttribute("aria-live"), "polite");
  assert.equal(await page.getByRole("status").textContent(), "Live");
  assert.equal(await page.getByRole("table", { name: "Recent keys" }).getByRole("columnheader").count(), 6);
  const chart = page.getByRole("img", { name: "Claims, last five minutes" });
  assert.equal(await chart.getAttribute("aria-describedby"), "chart-summary");
  await page.getByText("As a table").click();
  const rows = await page.locator("#chart-rows tr").evaluateAll((list) =>
    list.map((r) => [...r.cells].slice(1).map((c) => Number(c.textContent))));
  const { buckets } = await state();
  assert.deepEqual(rows, buckets.toReversed().map((b) => [b.acquired, b.duplicates, b.takenOver, b.fenced, b.failed + b.mismatched]));
  await page.getByText("As a table").click();
});

await test("a 360 px screen shows everything without horizontal scrolling", async () => {
  const p = await open({ width: 360, height: 740, hasTouch: true, isMobile: true });
  await live(p);
  await p.getByRole("button", { name: "Send one 25 times" }).tap();
  await newest(p, "all got the same answer");
  await p.getByText("As a table").tap();
  assert.equal(await p.evaluate(() => document.documentElement.scrollWidth), 360);
  const wide = await p.locator("body *").evaluateAll((list) => list
    .filter((e) => !e.closest(".scroll, .hidden, #keys thead, svg") && e.getBoundingClientRect().right > 360.5).map((e) => e.outerHTML.slice(0, 80)));
  assert.deepEqual(wide, [], "elements that stick out");
  const small = await p.locator("button:visible").evaluateAll((list) => list.filter((b) => b.getBoundingClientRect().height < 44).map((b) => b.textContent));
  assert.deepEqual(small, [], "buttons that are too small for a finger");
  await p.context().close();
});

// contrasts returns the texts on the page whose contrast is below level AA.
const contrasts = (p) => p.evaluate(() => {
  const rgb = (s) => s.match(/[\d.]+/g).map(Number);
  const linear = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c[3] !== 0) return c;
    }
    return [255, 255, 255];
  };
  const ratio = (e) => {
    const [light, dark] = [luminance(rgb(getComputedStyle(e).color)), luminance(ground(e))].sort((x, y) => y - x);
    return (light + 0.05) / (dark + 0.05);
  };
  const hasText = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  return [...document.querySelectorAll("body *")].filter((e) => hasText(e) && e.checkVisibility() && !e.closest("noscript"))
    .map((e) => [ratio(e), e.textContent.trim().slice(0, 40)]).filter(([r]) => r < 4.5);
});

for (const colorScheme of ["light", "dark"]) {
  await test(`${colorScheme} mode is ${colorScheme}, with enough contrast`, async () => {
    const p = await open({ colorScheme, reducedMotion: "reduce" });
    await live(p);
    await p.getByRole("button", { name: "Send a payment" }).click();
    await newest(p, "200 · charge");
    const ground = await p.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.equal(Number(ground.match(/\d+/)[0]) > 128, colorScheme === "light", ground);
    assert.deepEqual(await contrasts(p), []);
    await p.context().close();
  });
}

await test("on another machine the page asks for the token, and reports a wrong one", async () => {
  const p = await open({ at: elsewhere });
  await p.getByRole("heading", { name: "This Worker requires a token" }).waitFor();
  assert.equal(await p.evaluate(() => document.activeElement.id), "token");
  assert.equal(await text(p, "acquired"), "–");
  await p.keyboard.type("not the token");
  await p.keyboard.press("Enter");
  await p.getByText("That token was refused.").waitFor();
  const before = sockets.length;
  await p.keyboard.type(token);
  await p.keyboard.press("Enter");
  await live(p);
  await p.getByRole("button", { name: "Send a payment" }).click();
  await newest(p, "200 · charge");
  assert.deepEqual(sockets.slice(before), [elsewhere.replace("http", "ws") + "/console/live"], "the token is in no URL");
  await p.reload();
  await live(p);
  await p.context().close();
}, refused);

await test("an error of the Worker is shown with its hint, and the page retries", async () => {
  const p = await open();
  await live(p);
  const reasons = [
    { status: 500, json: { error: "the console has no Durable Object", hint: "bind it" } },
    { status: 502, body: "<h1>Bad gateway</h1>" },
  ];
  await p.route("**/console/state", (route) => reasons.length ? route.fulfill(reasons.shift()) : route.continue());
  await p.evaluate(() => socket.close());
  await p.getByText("The Worker answered with status 500: the console has no Durable Object. bind it").waitFor();
  await p.getByRole("button", { name: "Try now" }).click();
  await p.getByText("The Worker answered with status 502: no reason given.").waitFor();
  await live(p);
  assert.ok(await p.getByRole("heading", { name: "Connection lost" }).isHidden());
  await p.context().close();
}, refused);

await test("no key appears on the page, on a socket or in the state", async () => {
  assert.ok(paymentIDs.length > 50 && frames.length > 10, `${paymentIDs.length} payments, ${frames.length} frames`);
  const places = { "the page": await page.content(), "the sockets": frames.join("\n"), "the state": JSON.stringify(await state()) };
  for (const id of new Set(paymentIDs)) {
    const plain = createHash("sha256").update(id).digest("hex").slice(0, 12);
    for (const [place, content] of Object.entries(places)) {
      assert.ok(!content.includes(id), `${place}: a key`);
      assert.ok(!content.includes(plain), `${place}: contains an unkeyed hash`);
    }
  }
});

// The picture shows two minutes of work.
if (screenshot) {
  const p = await open();
  await live(p);
  const click = (name) => p.getByRole("button", { name }).click();
  for (const end = Date.now() + 120000; Date.now() < end;) {
    for (let n = 1 + Math.random() * 6; n > 0; n--) await click("Send a payment");
    if (Math.random() < 0.25) await click("Send one 25 times");
    if (Math.random() < 0.05) await click("Crash after charge");
    await p.waitForTimeout(500 + Math.random() * 2500);
  }
  await p.locator("#results > li").evaluateAll((list) => list.forEach((e) => e.remove()));
  await click("Send a payment");
  await newest(p, "200 · charge");
  await click("Send one 25 times");
  await newest(p, "all got the same answer");
  await click("Crash after charge");
  await newest(p, "until its lease ends");
  await p.getByText(/^lease \d s$/).waitFor();
  await live(p);
  await p.mouse.move(0, 0);
  await p.screenshot({ path: screenshot });
}
await browser.close();
