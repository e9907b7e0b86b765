// Runs the real program and the real glue on a simulated workerd: node
// --allow-natives-syntax explore.mjs BUILD [key=value …]
//   seed=N         run only this schedule, and print its events
//   first=N        the first seed
//   for=MS         how long to run random schedules
//   only=NAME      run only this scenario
//   exhaustive=MS  how long to run all interleavings of the small scenarios

import { readFileSync, writeSync } from "node:fs";
import { pathToFileURL } from "node:url";
import vm from "node:vm";
import { install, nameOf } from "./globals.mjs";
import { Platform } from "./platform.mjs";
import { adds, encode, generate, has } from "./script.mjs";
import { scenarios, small } from "./scenarios.mjs";

const realNow = Date.now, print = (text) => writeSync(1, text + "\n");
const build = pathToFileURL(process.argv[2] + "/");
const options = Object.fromEntries(process.argv.slice(3).map((a) => a.split("=")));
process.on("unhandledRejection", () => {}); // workerd only logs them

const module = new WebAssembly.Module(readFileSync(new URL("app.wasm", build)));
install();
const glue = await import(new URL("shim.mjs", build));
const { Runtime, WATCH_MS } = await import(new URL("runtime.mjs", build));

// Limits of a schedule.
const MAX_STEPS = 6000, MAX_DELAY = 3000, ANSWER_MS = 130_000, REST_MS = 200_000, DEATH_MS = 6000, GONE_MS = 60_000, OVER_MS = 31_000, EVENT_MS = 901_000;

// randomOf returns the generator mulberry32.
function randomOf(seed) {
  let a = seed >>> 0;
  return () => {
    a = a + 0x6D2B79F5 | 0;
    let t = Math.imul(a ^ a >>> 15, 1 | a);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) / 4294967296;
  };
}

// Schedule is one run of a scenario. choose(n) chooses the next of n events.
class Schedule {
  constructor(scenario, random, choose) {
    Object.assign(this, { scenario, random, choose });
    this.steps = 0;
    this.trace = [];
    this.rt = null;
    this.runtimes = new Map(); // Runtime → the time of its end, or 0
    this.domains = new WeakMap(); // the glue's Context → Domain
    this.faults = scenario.faults ?? [];
    this.delays = scenario.delays ?? false;
    const p = this.platform = new Platform(glue, random);
    p.domainOf = (id) => this.domainOf(id);
    glue.start(() => {
      this.rt = new Runtime(module);
      this.runtimes.set(this.rt, 0);
      return this.rt;
    });
    if (scenario.calls.some((c) => has(c.script, "spin"))) p.watchdog = watch;
    if (scenario.local) p.afterAnswer = Infinity;
    p.clamps = random() < 0.5;
    p.construct = scenario.construct ?? "";
    scenario.calls.forEach((c, i) => p.request({ id: i, to: c.to ?? null, script: c.script, code: encode(c.script), leaves: c.leaves, isEvent: c.isEvent }));
  }

  domainOf(id) {
    const context = this.rt?.contexts.get(id);
    if (!context) return this.platform.current;
    if (!this.domains.has(context)) {
      const d = context.state?.domain ?? this.platform.current;
      d.rt = this.rt;
      this.domains.set(context, d);
    }
    return this.domains.get(context);
  }

  run() {
    const p = this.platform;
    while (p.violations.length === 0 && this.step());
    if (p.violations.length === 0) this.end();
    return p.violations;
  }
  // over ends the program, so that the next schedule starts a new one.
  over() {
    this.platform.current = null;
    if (this.rt && !this.rt.dead) this.rt.end(new Error("the schedule is over"));
  }

  step() {
    const p = this.platform;
    if (++this.steps > MAX_STEPS) return p.violation(`does not come to rest within ${MAX_STEPS} events`);
    let { list, isDue } = p.choices();
    const old = list.filter((e) => p.now - e.since > MAX_DELAY);
    if (old.length > 0) list = old;
    const moves = list.map((e) => ({ label: `${e.label}${e.domain ? `, ${nameOf(e.domain)}` : ""}`, run: () => p.run(e) }));
    const next = Math.min(p.nextTime(), ...list.map((e) => e.since + MAX_DELAY + 1));
    if (!isDue && old.length === 0 && next < Infinity && (list.length === 0 || this.delays)) moves.push({ label: "time passes", run: () => this.pass(next) });
    if (old.length === 0) moves.push(...this.accidents());
    if (moves.length === 0) return false;
    const move = moves[moves.length === 1 ? 0 : this.choose(moves.length)];
    if (this.trace.length < MAX_STEPS) this.trace.push(`${p.now % 1e9} ${move.label}`);
    move.run();
    this.check();
    return true;
  }
  pass(next) {
    const p = this.platform, late = this.scenario.delays && this.random() < 0.05 ? Math.floor(this.random() * 800) : 0;
    p.advance(next + late);
  }

  // accidents returns what the platform may do at any time, each a few times.
  accidents() {
    const p = this.platform, moves = [];
    for (const [i, kind] of this.faults.entries()) {
      const happen = (label, f) => moves.push({ label, run: () => {
        this.faults = this.faults.filter((_, j) => j !== i);
        f();
      } });
      if (kind === "evict") for (const d of p.objects.values()) if (d.isIdle()) happen(`evict object ${d.name}`, () => d.die(new Error("evicted")));
      if (kind === "reset") for (const d of p.objects.values()) happen(`reset object ${d.name}`, () => d.die(Object.assign(new Error("reset because its code was updated"), { durableObjectReset: true })));
      if (kind === "leave") for (const c of p.calls) if (c.leaves && c.domain?.alive && (c.state === "open" || c.body)) happen(`client of ${c.id} leaves`, () => p.leave(c));
      if (kind.startsWith("construct ")) happen(`constructors: ${kind}`, () => { p.construct = p.construct === kind ? "" : kind; });
    }
    return moves.length > 0 && (this.scenario.isSmall || this.random() < 0.1) ? moves : [];
  }

  // check checks what must hold whenever no JavaScript runs.
  check() {
    const p = this.platform, { rt } = this;
    for (const c of p.calls) if (c.state === "open" && p.now - c.at > ANSWER_MS) p.violation(`I3: call ${c.id} is not answered after ${ANSWER_MS} ms`);
    for (const [r, at] of this.runtimes) if (r.dead) this.checkDead(r, at);
    if (!rt || rt.dead) return;
    if (rt.running) {
      if (!this.scenario.interrupts) p.violation("I7: Go did not return the stack");
      return;
    }
    let asked = 0, promises = 0;
    for (const c of rt.contexts.values()) {
      this.domainOf(c.id);
      asked += c.isAsked ? 1 : 0;
      promises += c.promises;
      this.checkContext(c);
    }
    if (rt.inFlight !== asked + promises) p.violation(`I6: ${rt.inFlight} in flight, but ${promises} promises and ${asked} turns`);
    const known = rt.exports.capdo_table(0, 0);
    if (known > rt.contexts.size) p.violation(`I4: Go knows ${known} contexts, JavaScript ${rt.contexts.size}`);
    this.checkDeadline();
  }
  checkContext(c) {
    const p = this.platform, d = this.domains.get(c), waiters = this.rt.exports.capdo_table(1, c.id);
    if (waiters > 0 && !c.isAsked) p.violation(`I1: ${waiters} goroutines wait for context ${c.id}, but no turn is requested`);
    if (c.refs.length - c.unused.length > 90) p.violation(`I6: context ${c.id} holds ${c.refs.length - c.unused.length} references`);
    if (!d.alive) return;
    if (d.call?.answeredAt < p.now - (d.call?.isEvent ? EVENT_MS : OVER_MS) && !d.call.value?.body) p.violation(`I4: call ${d.call.id} had its answer ${p.now - d.call.answeredAt} ms ago, but its context still exists`);
    const wakes = p.ready.some((e) => e.domain === d && e.label === "wake");
    if (!c.isOpen() && !wakes && d.timers.length > 0) p.violation(`I5: context ${c.id} has ${d.timers.length} timeouts, but nothing is open in it`);
    if (c.isAsked && !wakes) p.violation(`I1: a turn of context ${c.id} is requested, but nothing will run it`);
    if (c.isExclusive && d.section && d.reads === 0 && !d.timers.some((t) => t.section === d.section && t.at <= p.now + 60)) p.violation(`I1: the section of object ${d.name} takes no turns`);
  }
  // checkDeadline checks that a live context takes care of Go's timers.
  checkDeadline() {
    const p = this.platform, { rt } = this, deadline = rt.deadline();
    if (deadline === Infinity) return;
    let open = 0, at = Infinity;
    for (const c of rt.contexts.values()) {
      const d = this.domains.get(c);
      if (!c.isOpen() || !d.alive || d.reads > 0) continue;
      open++;
      at = Math.min(at, d.timer()?.at ?? Infinity);
    }
    if (open > 0 && at > Math.max(deadline, p.now) + WATCH_MS) p.violation(`I2: Go's deadline in ${deadline - p.now} ms; ${open} contexts are open, and the first timeout is in ${at - p.now} ms`);
  }
  // checkDead checks that calls into an ended program fail soon.
  checkDead(rt, at) {
    const p = this.platform;
    if (!at) this.runtimes.set(rt, at = p.now);
    for (const d of p.domains) {
      if (!d.alive || d.rt !== rt || (d.calls.size === 0 && d.call?.state !== "open")) continue;
      const isTold = p.ready.some((e) => e.domain === d && p.isEnabled(e)) || (d.section && d.timers.length > 0);
      if (!isTold || p.now > at + DEATH_MS) p.violation(`I3: the program ended ${p.now - at} ms ago, but a call to ${nameOf(d)} is still open`);
    }
  }

  // end checks what must hold at the end of a schedule.
  end() {
    const p = this.platform;
    for (const c of p.calls) this.checkAnswer(c);
    p.advance(p.now + 61_000);
    const probe = ["sleep", this.scenario.isSmall && !this.scenario.mayFail ? 1200 : GONE_MS, "collect"];
    p.construct = "";
    this.faults = [];
    if (this.scenario.isSmall) this.delays = false; // one order of the clean-up is enough
    p.request({ id: p.calls.length, to: null, script: probe, code: encode(probe) }); // its timeouts clean up
    while (p.violations.length === 0 && this.step());
    this.checkAnswer(p.calls.at(-1));
    const { rt } = this;
    if (p.violations.length > 0 || !rt || rt.dead) return;
    const stats = glue.stats();
    for (const k of ["contexts", "open", "idle", "encoded", "inFlight", "calls", "sockets", "refs"]) if (stats[k] !== 0) p.violation(`I4: at the end there are ${stats[k]} ${k}`);
    const known = rt.exports.capdo_table(0, 0);
    if (known !== 0) p.violation(`I4: at the end Go knows ${known} contexts`);
    this.checkSums();
  }
  checkAnswer(c) {
    const p = this.platform;
    if (c.state === "new" || c.state === "open") return p.violation(`I3: call ${c.id} has no answer`);
    const message = c.state === "failed" ? String(c.value?.message) : "";
    if (c.state === "failed" && !this.scenario.mayFail) p.violation(`call ${c.id} failed: ${c.value?.stack}`);
    if (message.includes("deadlock") && !has(c.script, "forever")) p.violation(`call ${c.id}: ${message}`);
    if (/nil pointer|interface conversion|index out of range|slice bounds|unreachable|malformed|different builds/.test(message)) p.violation(`call ${c.id}: ${message}`);
    if (c.state === "ok" && has(c.script, "forever")) p.violation(`call ${c.id} should wait for ever, but was answered`);
  }
  checkSums() {
    const p = this.platform, least = { ...this.scenario.least }, most = {};
    for (const c of p.calls) {
      const sums = adds(c.script, c.to);
      for (const [k, n] of Object.entries(sums.most)) most[k] = (most[k] ?? 0) + n;
      if (c.state === "ok") for (const [k, n] of Object.entries(sums.least)) least[k] = (least[k] ?? 0) + n;
    }
    for (const name of new Set([...Object.keys(most), ...p.stores.keys()])) {
      const n = p.store(name).durable.get("n") ?? 0;
      if (n < (least[name] ?? 0) || n > (most[name] ?? 0)) p.violation(`object ${name} has ${n}, not ${least[name] ?? 0} to ${most[name] ?? 0}`);
    }
  }
}

// watch runs f up to workerd's CPU limit, which is a second here. V8 terminates
// it, and no finally block runs.
function watch(f) {
  globalThis.turn = f;
  try {
    vm.runInThisContext("turn()", { timeout: 1000 });
    return true;
  } catch (e) {
    if (e.code === "ERR_SCRIPT_EXECUTION_TIMEOUT") return false;
    throw e;
  }
}

function report(name, how, schedule) {
  print(`FAIL: ${name} ${how}\n  ${schedule.platform.violations.join("\n  ")}`);
  if (options.seed !== undefined || options.path !== undefined) {
    print(schedule.trace.join("\n"));
    print(schedule.platform.calls.map((c) => `call ${c.id} to ${c.to}: ${JSON.stringify(c.script)} ${c.state} ${c.value?.stack ?? ""}`).join("\n"));
    print(schedule.platform.log.join("\n"));
    for (const d of schedule.platform.domains) print(`${nameOf(d)}: ${JSON.stringify({ ...d, go: undefined, rt: undefined, call: undefined, calls: d.calls.size })}`);
    for (const c of schedule.rt?.contexts?.values() ?? []) print(`context ${c.id}: ${JSON.stringify({ ...c, rt: 0, state: 0, refs: c.refs.length, timeout: c.timeout?.at })}`);
  }
  process.exit(1);
}

// scheduleOf returns the schedule of a seed.
function scheduleOf(seed) {
  const random = randomOf(seed), pick = (n) => Math.floor(random() * n);
  const make = options.only ? scenarios[options.only] : Object.values(scenarios)[seed % Object.keys(scenarios).length];
  return new Schedule(make(pick, generate), random, pick);
}

// explore runs all interleavings of a small scenario. Each is a list of
// choices, of which it stores those that are not the first. Those with the
// fewest come first: most faults need few.
function explore(name, scenario, until) {
  const MAX_WAITING = 1e6, list = [null];
  let n = 0;
  for (let node = null; n < list.length; n++) {
    node = list[n];
    list[n] = null;
    const path = [], taken = [], sizes = [];
    for (let d = node; d; d = d.parent) path[d.at] = d.choice;
    const choose = (size) => {
      const i = taken.length;
      taken.push(path[i] ?? 0);
      sizes.push(size);
      return taken[i];
    };
    const schedule = new Schedule({ ...scenario, isSmall: true }, randomOf(1), choose);
    if (schedule.run().length > 0) report(name, `path=${taken.join(",")}`, schedule);
    schedule.over();
    for (let at = path.length; at < sizes.length; at++) for (let choice = 1; choice < sizes[at]; choice++) list.push({ parent: node, at, choice });
    if (realNow() > until || list.length - n > MAX_WAITING) return { n: n + 1, complete: n + 1 === list.length };
  }
  return { n, complete: true };
}

function main() {
  if (options.seed !== undefined) {
    const schedule = scheduleOf(Number(options.seed));
    if (schedule.run().length > 0) report("schedule", `seed=${options.seed}`, schedule);
    print(schedule.trace.join("\n"));
    print(`seed ${options.seed}: ${schedule.steps} events, nothing found`);
    process.exit(0);
  }
  if (options.path !== undefined) {
    const path = options.path.split(",").map(Number);
    let i = 0;
    const schedule = new Schedule({ ...small[options.only], isSmall: true }, randomOf(1), () => path[i++] ?? 0);
    if (schedule.run().length > 0) report(options.only, `path=${options.path}`, schedule);
    print("nothing found");
    process.exit(0);
  }
  const isWanted = (name) => !options.only || options.only === name;
  if (options.exhaustive) {
    const names = Object.keys(small).filter(isWanted), end = realNow() + Number(options.exhaustive);
    for (const [i, name] of names.entries()) { // unused time is left to later scenarios
      const { n, complete } = explore(name, small[name], realNow() + (end - realNow()) / (names.length - i));
      print(`${name}: ${n} interleavings, ${complete ? "all" : "until the time was up"}`);
    }
  }
  if (options.for && Object.keys(scenarios).some(isWanted)) {
    const start = realNow(), until = start + Number(options.for);
    let seed = Number(options.first ?? 1), n = 0, steps = 0;
    for (; realNow() < until; seed++) {
      const schedule = scheduleOf(seed);
      n++;
      if (schedule.run().length > 0) report("schedule", `seed=${seed}`, schedule);
      steps += schedule.steps;
      schedule.over();
    }
    print(`${n} schedules, ${steps} events, in ${Math.round((realNow() - start) / 1000)} s; the last seed is ${seed - 1}`);
  }
  process.exit(0);
}
setImmediate(main); // outside of any microtask: the platform decides when microtasks run
