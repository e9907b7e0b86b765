// The main module of the boundary's fuzzer. GET /WAY?seed=N&n=N sends hostile
// values in one way and answers with a report.
import { DurableObject, env as bindings } from "cloudflare:workers";
import * as entry from "./entry.mjs";
import program from "./app.wasm";
import { guard, Guarded } from "./guard.mjs";
import { Report, clip, settled, textOf } from "./report.mjs";
import { GoObject, fetchWorker, runtime, start, stats } from "./shim.mjs";
import { ByRef } from "./value.mjs";
import { Random, cloneable, dump, generate, reading } from "./values.mjs";

start(() => new Guarded(program, { env: { GOGC: String(bindings.GOGC) } }));

// check returns what is wrong with the result of a node: an answer (the value
// and Go's dump of it) or an error.
function check(node, { failed, value, dumped }, report) {
  report.values++;
  const isGood = () => { try { return node.match(value); } catch (e) { return false; } };
  if (failed) {
    report.refused++;
    if (node.fate === "ok") return `was refused: ${value}`;
    if (typeof value !== "string" || value === "") return "was refused without a text";
    return null;
  }
  if (node.fate === "refused") return `should be refused, but became ${clip(dumped)}`;
  if (!isGood()) return `became ${clip(dumped)}`;
  if (node.fate === "ok" && dump(value) !== dumped) return `is ${clip(dumped)} in Go, but comes back as ${clip(dump(value))}`;
  return null;
}

// ---- JavaScript's values come to Go without structured clone ---------------

// A step describes a call of Go to the host, and the expected result.
const step = {
  // call returns a node's value at once. A returned Error counts as an error.
  call: (node) => ({ how: "call", give: () => node.v, node }),
  get: (node) => ({ how: "get", give: () => node.v, node }),
  throw: (node) => ({ how: "call", give: () => { throw node.v; }, thrown: true, node }),
  resolve: (node) => ({ how: "await", give: async () => node.v, node }),
  later: (node) => ({ how: "await", give: () => new Promise((resolve) => setTimeout(() => resolve(node.v), 1)), node }),
  reject: (node) => ({ how: "await", give: async () => { throw node.v; }, thrown: true, node }),
  rejectLater: (node) => ({ how: "await", give: () => new Promise((_, reject) => setTimeout(() => reject(node.v), 1)), thrown: true,
    node }),
  thenable: (node) => ({ how: "await", give: () => ({ then(f) { f(node.v); f(2); throw 3; } }), node }), // does more than a promise may do
  lateThenable: (node) => ({ how: "await", give: () => ({ then(f) { setTimeout(() => { f(node.v); f(2); }, 1); } }), node }),
  throwingThenable: (node) => ({ how: "await", give: () => ({ then() { throw node.v; } }), thrown: true, node }),
  // changingThen has a then that is a function only at the first access.
  changingThen: () => {
    let n = 0;
    const v = {};
    Object.defineProperty(v, "then", { get: () => n++ ? 7 : (f) => f(1) });
    return { how: "await", give: () => v, node: { fate: "either", match: () => true, v } };
  },
  lyingPromise: (node) => ({
    how: "await", node,
    give: () => { const p = Promise.resolve(node.v); p.then = () => { throw new Error("hostile"); }; return p; },
  }),
};
const stepNames = Object.keys(step);

// isAwaited reports a promise or thenable: Go gets what it resolves to.
const isAwaited = (v) => { try { return typeof v?.then === "function"; } catch { return true; } };

function expectation({ node, thrown, how }, [failed, value, dumped]) {
  if (thrown) { // Go must get an error with a text
    const isRight = failed && typeof value?.message === "string" && value.message.isWellFormed() && value.message.length <= 16_384;
    return isRight || (failed && value?.text) ? null : `was thrown, but became ${clip(dumped)}`;
  }
  if (node.isError) { // a returned Error is an error too
    const e = failed && value.message !== undefined && Object.assign(new Error(), { name: value.name, message: value.message });
    for (const [k, p] of Object.entries(value.props ?? {})) {
      Object.defineProperty(e, k, { value: p, configurable: true, writable: true, enumerable: true });
    }
    return e && node.match(e) ? null : `is an error, but became ${clip(dumped)}`;
  }
  return { failed, value: failed ? value?.message ?? value?.text : value, dumped };
}

// hostOf returns a JavaScript object for Go. Each of its properties and methods
// returns one value.
function hostOf(steps) {
  const host = {};
  steps.forEach(({ how, give, node }, i) => {
    const f = () => { guard.isStable = Boolean(node.stable) && how !== "await"; return give(); };
    if (how === "get") Object.defineProperty(host, `s${i}`, { get: f });
    else host[`s${i}`] = f;
  });
  return host;
}

export class Fuzz extends entry.Fuzz {
  // direct sends values to Go without structured clone: as arguments, and as
  // values that a JavaScript object returns or throws.
  async direct(seed, n) {
    const report = new Report(), rt = runtime();
    for (let i = 0; i < n && report.failures.length === 0; i++) {
      const r = new Random(seed * 1_000_003 + i), at = `seed ${seed}, case ${i}`;
      try {
        if (r.below(3) === 0) await this.asArguments(r, report, at);
        else await this.fromHost(r, report, at);
        if (i % 10 === 0) await this.back(r, report);
        if (i % 50 === 49) await super.probe("canaries");
      } catch (e) {
        report.fail(`${at}: ${textOf(e)}`);
      }
      if (rt.dead) { report.fail(`${at}: the program has ended: ${rt.dead.message}`); return report.done(); }
    }
    if (report.failures.length === 0) await super.probe("canaries");
    return report.done();
  }

  // run fuzzes one way, and checks that the tables have the same sizes
  // afterwards.
  async run(way, seed, n) {
    await super.stored("absent"); // objects created at the first use remain: storage.kv, storage.sql
    await super.rows("SELECT 1");
    await super.probe("gc");
    const before = stats(), out = await this[way](seed, n), report = new Report();
    if (out.failures.length === 0 && way !== "edges") await this.compare(before, report); // edges keeps a handle
    out.failures.push(...report.failures);
    return out;
  }

  // compare checks that the tables have their old sizes. Go's collector may
  // need some time.
  async compare(before, report) {
    let after;
    for (let i = 0; i < 20; i++) {
      await super.probe("gc");
      after = stats();
      if (after.refs <= before.refs && after.encoded <= before.encoded && after.inFlight <= before.inFlight &&
        after.calls <= before.calls && after.contexts <= before.contexts && after.sockets <= before.sockets) {
        return;
      }
    }
    report.fail(`tables: ${JSON.stringify(before)} became ${JSON.stringify(after)}`);
  }

  async asArguments(r, report, at) {
    const nodes = Array.from({ length: 1 + r.below(3) }, () => generate(r)), stable = nodes.every((n) => n.stable);
    report.calls++;
    const isRefused = nodes.some((n) => n.fate === "refused"), names = nodes.map((n) => n.name).join();
    if (r.below(8) === 0) { // a value that calls Go while it is read
      const probe = () => super.probe("echo", 1), again = { get again() { report.calls++; return probe()[0][0]; } };
      nodes.push({ v: again, fate: "ok", name: "again", match: (got) => got.again === 1 });
    }
    guard.isStable = stable && nodes.length > 0;
    let out;
    try {
      out = await settled(super.probe("echo", ...nodes.map((n) => n.v)));
    } catch (e) {
      guard.isStable = false;
      const isAllowed = nodes.some((n) => n.fate !== "ok");
      report.values += nodes.length;
      report.refused++;
      if (!isAllowed) report.fail(`${at}, arguments ${names} were refused: ${textOf(e)}`);
      if (typeof e?.message !== "string" || e.message === "" || e.message === "hangs") {
        report.fail(`${at}, arguments ${names}: ${textOf(e)}`);
      }
      return;
    }
    const [values, dumped] = out;
    if (isRefused) return report.fail(`${at}, arguments ${names}: should be refused, but became ${clip(dumped)}`);
    if (nodes.every((n) => n.fate === "ok") && dump(values) !== dumped) {
      report.fail(`${at}, arguments ${names}: are ${clip(dumped)} in Go, but come back as ${clip(dump(values))}`);
    }
    nodes.forEach((node, i) => {
      const wrong = check(node, { failed: false, value: values[i], dumped: node.fate === "ok" ? dump(values[i]) : "something else" },
        report);
      if (wrong) report.fail(`${at}, argument ${node.name}: ${wrong}`);
    });
  }

  async fromHost(r, report, at) {
    const steps = Array.from({ length: 1 + r.below(6) }, () => {
      const kind = r.pick(stepNames), node = generate(r), s = step[kind](node);
      if (!s.thrown && node.v !== null && s.node === node && isAwaited(node.v)) return { ...step.throw(node), kind: "throw" };
      return { ...s, kind };
    });
    const plan = steps.map(({ how }, i) => [how, `s${i}`]), host = new ByRef(hostOf(steps));
    report.calls += steps.length;
    const depth = r.below(20) ? 0 : r.pick([10, 500, 2000]);
    const out = await settled(depth ? super.probe("deep", depth, host, plan) : super.probe("call", host, plan));
    steps.forEach((s, i) => {
      let wrong;
      try {
        wrong = expectation(s, out[i]);
        if (wrong && typeof wrong === "object") wrong = check(s.node, wrong, report);
        else report.values++;
      } catch (e) {
        wrong = textOf(e);
      }
      if (wrong) report.fail(`${at}, ${s.kind} of ${s.node.name}: ${wrong}`);
    });
  }

  // back sends Go's values to JavaScript and back.
  async back(r, report) {
    const host = new (class Host { same(v) { return v; } })();
    report.values += await settled(super.probe("return", host, r.next(), 20));
  }

  // edges has the cases that a seed would seldom find: the last numbers, many
  // names, released handles.
  async edges() {
    const report = new Report();
    try {
      await this.anew(report);
      const names = new Proxy({}, { get: (_, k) => k.endsWith("x") ? k : () => k });
      await settled(super.probe("names", new ByRef(names), 700));
      const host = { object: () => new (class { secret = 1; })(), same: (v) => v, isSame: (a, b) => a === b };
      report.handles = await settled(super.probe("handles", new ByRef(host)));
      await this.outcomes(report);
      await this.deeply(report, 2000);
      await this.late(report);
    } catch (e) {
      report.fail(textOf(e));
    }
    return report.done();
  }

  // anew: after the last number the numbers start again, and skip those still
  // in use.
  async anew(report) {
    const rt = runtime(), first = Promise.withResolvers();
    rt.lastID = 0;
    const waiting = super.probe("call", new ByRef({ s0: () => first.promise }), [["await", "s0"]]);
    rt.lastID = 0x7fffffff - 40;
    const { failures } = await this.direct(1, 30);
    failures.forEach((f) => report.fail(f));
    if (rt.lastID > 0x7fff0000) report.fail(`numbers did not start again: ${rt.lastID}`);
    first.resolve("first");
    const [[failed, value]] = await settled(waiting, 5000);
    if (failed || value !== "first") report.fail(`a value was lost when numbers started again: ${failed} ${value}`);
  }

  // deeply sends values of the maximum depth when Go's stack is already deep.
  async deeply(report, frames) {
    let v = "bottom";
    for (let i = 0; i < 495; i++) v = i % 2 ? [v] : { v };
    const host = new ByRef({ s0: () => v, s1: async () => v });
    for (const [failed, value, dumped] of await settled(super.probe("deep", frames, host, [["call", "s0"], ["await", "s1"]]))) {
      if (failed || dumped !== dump(v)) report.fail(`a deep value: ${failed}, ${clip(dumped)}, ${value?.message}`);
    }
    for (const how of ["call", "await"]) { // a deeper value is refused
      const [[failed, value]] = await settled(super.probe("deep", frames, new ByRef({ s0: () => [[[[[[[v]]]]]]] }), [[how, "s0"]]));
      if (!failed || !/nested/.test(value.message)) report.fail(`a value that is too deep: ${value?.message}`);
    }
  }

  async deepest(_, n) {
    const report = new Report();
    await this.deeply(report, n);
    return report.done();
  }

  // outcomes are mistakes that were once made, each with the expected result.
  async outcomes(report) {
    const before = stats(), thrown = (v) => async () => { throw v; }, bad = () => { throw worst; };
    const worst = Object.defineProperties(new Error(), { message: { get: bad }, name: { get: bad } });
    const numbered = Object.assign(new Error(), { message: 7 });
    const withPrototype = (v, of) => Object.setPrototypeOf(v, of.prototype);
    const cases = {
      "a thenable that calls back at once, and twice": [() => ({ then(f, g) { f(1); f(2); g(3); throw 4; } }), false, 1],
      "a promise with a then of its own": [() => Object.assign(Promise.resolve(1), { then: bad }), false, 1],
      "a promise whose constructor throws": [() => Object.defineProperty(Promise.resolve(1), "constructor", { get: bad }), true],
      "a then that is a function only once": [() => { let n = 0; return { get then() { return n++ ? undefined : bad; } }; }, false,
        { then: undefined }],
      "bytes with an error's prototype, rejected with": [thrown(withPrototype(new Uint8Array(1), Error)), true],
      "an array with an error's prototype, rejected with": [thrown(withPrototype([1], Error)), true],
      "undefined, rejected with": [thrown(undefined), true, "undefined"],
      "an error whose text throws, rejected with": [thrown(worst), true],
      "a property that throws such an error": [async () => ({ get a() { throw worst; } }), true],
      "a property that throws an error whose text is a number": [async () => ({ get a() { throw numbered; } }), true, "7"],
      "an invalid date before a function": [() => [new Date(NaN), () => 1], true],
      "a value that has only an ArrayBuffer's prototype": [() => withPrototype({ length: 2e6 }, ArrayBuffer), true],
    };
    for (const [name, [give, isError, want]] of Object.entries(cases)) {
      const [[failed, value]] = await settled(super.probe("call", new ByRef({ s0: give }), [["await", "s0"]]), 5000);
      const got = failed ? value?.message ?? value?.text : value;
      if (failed !== isError || (want !== undefined && dump(got) !== dump(want))) {
        report.fail(`${name}: ${failed ? "an error" : "a value"}, ${dump(got)}, ${got}`);
      }
    }
    await this.compare(before, report);
  }

  // late: bytes may be transferred or resized after a value was encoded and
  // before Go takes it. Go must not get other bytes.
  async late(report) {
    for (const change of [(b) => structuredClone(b, { transfer: [b] }), (b) => b.resize(10), (b) => b.resize(150_000)]) {
      const buffer = new ArrayBuffer(100_000, { maxByteLength: 200_000 });
      new Uint8Array(buffer).fill(7);
      const result = { bytes: new Uint8Array(buffer), f: () => 1, [Symbol.dispose]() { change(buffer); } };
      const [[failed, value, dumped]] = await settled(super.probe("call", new ByRef({ s0: async () => result }), [["await", "s0"]]));
      if (!failed && !value.bytes.every((b) => b === 7)) report.fail(`bytes that were changed became others: ${dumped}`);
      if (failed && !/resized|transferred/.test(value?.text ?? value?.message)) {
        report.fail(`bytes that were changed: ${JSON.stringify(value)}`);
      }
    }
  }

  // stored puts values into storage and lets Go read them.
  async storedBy(seed, n) {
    const report = new Report();
    for (let i = 0; i < n; i++) {
      const r = new Random(seed * 77_003 + i), at = `seed ${seed}, case ${i}`, kv = this.ctx.storage.kv;
      const v = cloneable(r);
      try { kv.put("key", v); } catch { kv.put("key", r.below(2) ? "\ud800" : [1, , 2]); }
      let want = "error";
      try { want = dump(kv.get("key")); } catch (e) { want = `error: ${textOf(e)}`; }
      const out = await settled(super.stored("key"));
      report.values += out.length;
      for (const got of out) {
        if (got.startsWith("error: ")) report.refused++;
        else if (got !== want) report.fail(`${at}: ${clip(want)} was stored, but is ${clip(got)} in Go`);
      }
      report.calls++;
    }
    return report.done();
  }

  // queried puts values into a table and lets Go read them.
  async queried(seed, n) {
    const report = new Report(), { sql } = this.ctx.storage;
    sql.exec("DROP TABLE IF EXISTS t");
    sql.exec("CREATE TABLE t (a, b TEXT, c BLOB, d REAL, e INTEGER)");
    const r = new Random(seed);
    for (let i = 0; i < n; i++) {
      const values = Array.from({ length: 5 }, () => {
        const v = r.below(4) ? r.pick([1n << 62n, -(1n << 63n), NaN, -0, 5e-324, "x".repeat(30_000), "\ud800", "\0",
          new Uint8Array(r.pick([0, 1, 20_000])), "9007199254740993", Infinity, null]) : cloneable(r);
        return v;
      });
      try {
        sql.exec("INSERT INTO t VALUES (?, ?, ?, ?, ?)", ...values);
      } catch {
        sql.exec("INSERT INTO t VALUES (CAST(x'ff41c0' AS TEXT), x'', 9223372036854775807, -0.0, ?)", r.pick([0, 2 ** 53, 1e300, "x"]));
      }
      report.calls++;
    }
    const rows = [...sql.exec("SELECT * FROM t").raw()], got = await settled(super.rows("SELECT * FROM t"));
    if (got.length !== rows.length) report.fail(`${rows.length} rows are ${got.length} in Go`);
    rows.forEach((row, i) => {
      const isInexact = row.some((v) => typeof v === "number" && Number.isInteger(v) && Math.abs(v) > Number.MAX_SAFE_INTEGER);
      report.values += row.length;
      if (got[i]?.startsWith("error: ")) {
        report.refused++;
        if (!isInexact && !row.some((v) => Math.abs(v) === Infinity || Math.abs(v) > Number.MAX_SAFE_INTEGER)) {
          report.fail(`row ${i}: ${got[i]} for ${clip(dump(row))}`);
        }
      } else if (got[i] !== dump(row)) report.fail(`row ${i}: ${clip(dump(row))} is ${clip(got[i])} in Go`);
    });
    for (let i = 0; i < n; i++) { // also as parameters that Go binds
      const v = cloneable(r);
      let out;
      try {
        out = (await settled(super.bind(v)))[0];
      } catch (e) {
        report.refused++;
        if (!e.message || e.message === "hangs") report.fail(textOf(e));
        continue;
      }
      report.values++;
      if (out.startsWith("error: ")) report.refused++;
      else if (out !== dump(v) && !(typeof v === "boolean" || v instanceof Date || Object.is(v, -0) || typeof v === "bigint")) {
        report.fail(`parameter ${dump(v)} is ${out}`);
      }
    }
    return report.done();
  }

  // environment lets Go read hostile variables and props.
  async environment(seed, n) {
    const report = new Report();
    reading.once = false; // Go reads a variable more than once
    for (let i = 0; i < n; i++) {
      const r = new Random(seed * 31_337 + i), env = {}, props = generate(r), nodes = [];
      for (let k = 0; k < 4; k++) {
        const node = generate(r), isGetter = r.below(3) === 0;
        nodes.push(node);
        Object.defineProperty(env, `V${k}`, isGetter ? { enumerable: true,
          get() { if (r.below(2)) throw node.v; return node.v; } } : { value: node.v, enumerable: true });
      }
      // A new state, because only the runtime can set props.
      const state = new (class State {})();
      Object.assign(state, { storage: this.ctx.storage, id: this.ctx.id, props: props.v, waitUntil: (p) => this.ctx.waitUntil(p),
        abort() {} });
      const object = new GoObject(0, state, env);
      const index = 8; // index of Vars among the class's methods
      const out = await settled(Promise.resolve(object.method(index, [["V0", "V1", "V2", "V3", "absent"]])));
      object.context.close();
      report.values += out.length;
      report.calls++;
      out.forEach((text, k) => {
        const node = nodes[k], isString = typeof node?.v === "string" && node.v.isWellFormed();
        if (node?.name !== "moodyProxy" && text.includes("taken for a namespace") || text === "") report.fail(`case ${i}: ${text}`);
        if (k < 4 && isString && !text.startsWith("error") && text !== `${dump(node.v)}true`) {
          report.fail(`case ${i}: ${dump(node.v)} is ${text}`);
        }
      });
    }
    reading.once = true;
    return report.done();
  }

  // remotely lets Go call a JavaScript object with hostile results and errors.
  async remotely(seed, n) {
    const report = new Report(), plain = this.env.PLAIN.getByName("plain");
    for (let i = 0; i < n; i++) {
      const one = seed * 4099 + i, isThrown = i % 3 === 0, method = isThrown ? "fail" : "give";
      let want;
      try { want = dump(await plain[method](one)); } catch { want = null; }
      let got;
      try {
        got = await settled(super.remote(method, one));
      } catch (e) {
        got = `error: ${e.message}`;
        if (!e.message || e.message === "hangs") report.fail(textOf(e));
      }
      report.values++;
      report.calls++;
      if (got.startsWith("error: ")) {
        report.refused++;
        if (got === "error: " && !isThrown) report.fail(`case ${i}: an error without text`);
      }
      else if (isThrown) report.fail(`case ${i}: an error became ${clip(got)}`);
      else if (got !== want && !want?.includes("r")) report.fail(`case ${i}: ${clip(want)} is ${clip(got)} in Go`);
    }
    return report.done();
  }

  async responses(seed, n) {
    const report = new Report();
    for (let i = 0; i < n; i++) {
      const one = seed * 4099 + i, want = await this.env.PLAIN.getByName("plain").headersOf(one);
      let got;
      try {
        got = await settled(super.headers(one));
      } catch (e) {
        report.refused++;
        if (!e.message || e.message === "hangs") report.fail(textOf(e));
        continue;
      }
      for (const [k, v] of want) {
        report.values++;
        if (got[k] !== v) report.fail(`header ${k}: ${dump(v)} is ${dump(got[k])} in Go`);
      }
    }
    return report.done();
  }

  async frames(seed, n) {
    const report = new Report();
    for (let i = 0; i < n; i++) {
      const one = seed * 4099 + i, plain = this.env.PLAIN.getByName("plain");
      const got = await settled(super.sockets(one)), { sent, back } = await plain.framesOf(one);
      report.values += sent.length;
      report.calls++;
      if (got.slice(0, -1).join() !== sent.join()) report.fail(`case ${i}: frames ${sent} are ${got} in Go`);
      if (back.join() !== sent.join()) report.fail(`case ${i}: frames ${sent} come back as ${back}`);
    }
    return report.done();
  }

  // hibernating opens a socket with an attachment from JavaScript. Go handles
  // its messages.
  async hibernating(seed, n) {
    const report = new Report(), [client, server] = Object.values(new WebSocketPair()), queue = [];
    let arrived = () => {};
    client.binaryType = "arraybuffer";
    client.addEventListener("message", ({ data }) => { queue.push(data); arrived(); });
    this.ctx.acceptWebSocket(server);
    client.accept();
    const next = async () => { while (queue.length === 0) await new Promise((resolve) => { arrived = resolve; }); return queue.shift(); };
    for (let i = 0; i < n; i++) {
      const r = new Random(seed * 65_537 + i), frame = frameOf(r);
      try { server.serializeAttachment(cloneable(r)); } catch { server.serializeAttachment([1, , "x"]); }
      let want = "error";
      try { want = dump(server.deserializeAttachment()); } catch {} // too deep for dump
      client.send(frame);
      const attachment = await settled(next()), back = await settled(next());
      report.values += 2;
      report.calls++;
      if (attachment.startsWith("error: ")) report.refused++;
      else if (attachment !== want) report.fail(`case ${i}: attachment ${clip(want)} is ${clip(attachment)} in Go`);
      if (dump(back) !== frameDump(frame)) report.fail(`case ${i}: frame ${frameDump(frame)} came back as ${dump(back)}`);
    }
    client.close();
    return report.done();
  }
}

// ---- Values that pass structured clone -------------------------------------

const frameOf = (r) => r.below(2)
  ? r.pick(["", "\0", "\ud800", "a\udc00", "é".repeat(9000), "\ufeffx", "x".repeat(70_000), "😀"])
  : r.pick([new Uint8Array(0), new Uint8Array([1, 2, 255]), new Uint8Array(70_000).fill(3), new Uint16Array([1, 500]),
    new DataView(new ArrayBuffer(20), 4, 3), new ArrayBuffer(16_384), new Float64Array([NaN])]);
// frameDump: workerd replaces a lone surrogate by three U+FFFD.
const lone = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const frameBytes = (f) => ArrayBuffer.isView(f) ? new Uint8Array(f.buffer, f.byteOffset, f.byteLength) : f;
const frameDump = (f) => dump(typeof f !== "string" ? frameBytes(f) : f.replace(lone, "\ufffd".repeat(3)));

export class Plain extends DurableObject {
  sent = new Map();

  give(seed) { return cloneable(new Random(seed)); }
  fail(seed) {
    const r = new Random(seed);
    throw r.below(2) ? cloneable(r) : generate(r).v;
  }
  headersOf(seed) {
    const r = new Random(seed), h = new Headers();
    for (let i = 0; i < 5; i++) {
      const value = r.pick(["", "plain", "caf\u00e9", "\u00ff\u0080", "x".repeat(6000), " both ends ", "a\tb", "\u20ac", "\ud800", "\0"]);
      try { h.append(`x-h${i}`, value); } catch {} // not allowed in a header
    }
    return [...h];
  }
  framesOf(seed) { return this.sent.get(seed); }
  fetch(request) {
    const seed = Number(new URL(request.url).searchParams.get("seed"));
    if (request.headers.get("Upgrade") !== "websocket") return new Response("", { headers: this.headersOf(seed) });
    const r = new Random(seed), [client, server] = Object.values(new WebSocketPair()), frames = Array.from({ length: 1 + r.below(4) },
      () => frameOf(r));
    const record = { sent: frames.map(frameDump), back: [] };
    this.sent.set(seed, record);
    server.binaryType = "arraybuffer";
    server.accept();
    server.addEventListener("message", ({ data }) => {
      record.back.push(dump(data));
      if (record.back.length === frames.length) server.close(4000, "\ud800");
    });
    for (const f of frames) server.send(f);
    return new Response(null, { status: 101, webSocket: client });
  }
}

// rpc calls Go's object from outside, through structured clone.
async function rpc(env, seed, n) {
  const report = new Report(), stub = env.FUZZ.getByName("rpc");
  for (let i = 0; i < n; i++) {
    const r = new Random(seed * 9973 + i), v = r.below(3) ? cloneable(r) : generate(r).v;
    let out;
    report.calls++;
    report.values++;
    try {
      out = await settled(r.below(4) ? stub.echo(v) : stub.bytes(v));
    } catch (e) {
      report.refused++;
      if (/^hangs|ended|interrupted|exited|panic|malformed/.test(textOf(e))) report.fail(`seed ${seed}, case ${i}: ${textOf(e)}`);
      continue;
    }
    if (Array.isArray(out) && dump(out[0]) !== out[1]) {
      report.fail(`seed ${seed}, case ${i}: ${clip(out[1])} came back as ${clip(dump(out[0]))}`);
    }
  }
  return report.done();
}

// vars: the environment that fetchWorker passes on.
async function vars(env, ctx, seed, n) {
  const report = new Report();
  reading.once = false;
  for (let i = 0; i < n; i++) {
    const r = new Random(seed * 733 + i), hostile = { ...env };
    for (let k = 0; k < 3; k++) {
      const node = generate(r);
      Object.defineProperty(hostile, `V${k}`, r.below(2) ? { get: () => { throw node.v; } } : { value: node.v });
    }
    const response = await settled(fetchWorker(new Request("http://x/", { headers: { "X-Vars": "V0,V1,V2,ODD,FUZZ" } }), hostile, ctx));
    report.values += 5;
    report.calls++;
    if (response.status !== 200 || (await response.text()).split("\n").length < 5) report.fail(`case ${i}: status ${response.status}`);
  }
  reading.once = true;
  return report.done();
}

const inObject = { deep: "deepest", direct: "direct", edges: "edges", stored: "storedBy", sql: "queried", env: "environment",
  remote: "remotely", responses: "responses", frames: "frames", hibernating: "hibernating" };

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url), way = url.pathname.slice(1), seed = Number(url.searchParams.get("seed")),
      n = Number(url.searchParams.get("n"));
    try {
      if (way === "headers") return await fetchWorker(request, env, ctx);
      if (way === "rpc") return Response.json(await rpc(env, seed, n));
      if (way === "vars") return Response.json(await vars(env, ctx, seed, n));
      return Response.json(await env.FUZZ.getByName(url.searchParams.get("o") ?? way).run(inObject[way], seed, n));
    } catch (e) {
      return Response.json({ failures: [textOf(e), ...guard.faults] });
    }
  },
};
