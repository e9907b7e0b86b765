// A simulated workerd with exactly the rules of internal/jsrt/PROTOCOL.md. A
// domain here is an I/O context of workerd. Every event belongs to one domain,
// and the caller of next chooses the next event.

import { ABORTED, START, SimPromise, SimReadable, nameOf, sim, use } from "./globals.mjs";

const NativePromise = Promise;
const checkpoint = new Function("%PerformMicrotaskCheckpoint()"); // node --allow-natives-syntax
const SECTION_LIMIT = 30_000, AFTER_ANSWER = 30_000, EVENT = 900_000;

class Domain {
  constructor(name, call = null) {
    this.id = ++sim.sequence;
    this.name = name; // the object's name; null for a request
    this.call = call; // the request's call
    this.alive = true;
    this.reads = 0;      // pending storage reads
    this.section = null; // {isOver, at}
    this.timers = [];
    this.io = 0;         // pending I/O
    this.waits = 0;      // pending waitUntil
    this.calls = new Set();
    this.killAt = Infinity;
    this.go = null;
    sim.domains.push(this);
  }
  isGated(event) {
    const section = event.section?.isOver ? null : event.section ?? null;
    return this.section !== section || (this.reads > 0 && !event.isRead);
  }
  // timer returns the next timer that can run.
  timer() {
    let first = null;
    for (const t of this.timers) if (!this.isGated(t) && (!first || t.at < first.at)) first = t;
    return first;
  }
  isIdle() {
    return this.alive && this.calls.size === 0 && this.timers.length === 0 && this.io === 0 && this.waits === 0 && this.reads === 0 &&
      !this.section && !sim.ready.some((e) => e.domain === this);
  }
  // die ends the domain: none of its code runs any more, and only its callers
  // get an error.
  die(error) {
    if (!this.alive) return;
    this.alive = false;
    this.timers = [];
    if (this.name !== null) {
      if (sim.objects.get(this.name) === this) sim.objects.delete(this.name);
      const store = sim.store(this.name);
      store.data = new Map(store.durable);
    }
    this.call?.answer("failed", error);
    for (const call of this.calls) call.settle(false, error);
    this.calls.clear();
  }
}

const resetError = (message) => Object.assign(new Error(message), { durableObjectReset: true });

export class Platform {
  // glue is {GoObject, fetchWorker, scheduledWorker}. random returns numbers below 1.
  constructor(glue, random) {
    Object.assign(this, { glue, random });
    this.now = START;
    this.sequence = 0;
    this.current = this.section = null;
    this.ready = [];
    this.domains = [];
    this.objects = new Map();
    this.stores = new Map();
    this.calls = [];       // calls of clients
    this.violations = [];
    this.construct = "";
    this.log = [];
    this.afterAnswer = AFTER_ANSWER; // Infinity in local workerd
    this.clamps = true;    // like production, unlike local workerd
    this.watchdog = null;  // runs an event that may not return, until 20 ms have passed
    use(this);
  }

  violation(text) { if (this.violations.length < 10) this.violations.push(text); }
  store(name) {
    if (!this.stores.has(name)) this.stores.set(name, { data: new Map(), durable: new Map() });
    return this.stores.get(name);
  }
  confirm(domain) {
    if (domain?.name == null || !domain.alive) return;
    const store = this.store(domain.name);
    store.durable = new Map(store.data);
  }
  // own checks that an I/O object is used only in its own domain.
  own(domain, what) {
    if (this.current === domain && domain.alive) return;
    this.violation(`${what} of ${nameOf(domain)} used in ${nameOf(this.current)}`);
    throw new Error("Cannot perform I/O on behalf of a different request");
  }

  // ---- Events --------------------------------------------------------------

  post(event) {
    event.since = this.now;
    event.order = ++this.sequence;
    this.ready.push(event);
  }
  isEnabled(e) {
    if (e.target !== undefined) {
      const d = this.objects.get(e.target);
      return !d || !d.isGated(e);
    }
    return !e.domain || !e.domain.isGated(e);
  }
  // choices returns the events that could be next.
  choices() {
    this.ready = this.ready.filter((e) => !e.domain || e.domain.alive);
    const woken = new Set(); // workerd keeps the order of promises that other contexts resolve
    const list = this.ready.filter((e) => {
      const isNext = e.label !== "wake" || !woken.has(e.domain);
      if (e.label === "wake") woken.add(e.domain);
      return isNext && this.isEnabled(e);
    });
    let isDue = false;
    for (const d of this.domains) {
      const t = d.alive && d.timer();
      if (!t || t.at > this.now) continue;
      isDue = true;
      list.push({ domain: d, section: t.section, label: "timeout", since: t.at, run: () => {
        d.timers.splice(d.timers.indexOf(t), 1);
        t.f();
      } });
    }
    return { list, isDue };
  }
  // nextTime returns the time of the next scheduled event.
  nextTime() {
    let at = Infinity;
    for (const d of this.domains) {
      if (!d.alive) continue;
      const t = d.timer();
      if (t) at = Math.min(at, t.at);
      at = Math.min(at, d.killAt, d.section ? d.section.at + SECTION_LIMIT : Infinity);
    }
    return at;
  }
  advance(to) {
    this.now = Math.max(this.now, to);
    for (const d of this.domains) {
      if (!d.alive) continue;
      if (d.killAt <= this.now) d.die(new Error("its time is up"));
      else if (d.section && d.section.at + SECTION_LIMIT <= this.now) d.die(Object.assign(resetError("a section took too long"), { overloaded: true }));
    }
    this.domains = this.domains.filter((d) => d.alive);
  }
  run(event) {
    const at = this.ready.indexOf(event);
    if (at >= 0) this.ready.splice(at, 1);
    this.current = event.domain ?? null;
    this.section = event.section?.isOver ? null : event.section ?? null;
    const turn = () => {
      try {
        event.run();
      } catch (e) {
        if (e !== ABORTED) this.violation(`an exception reached the platform: ${e.stack}`);
      }
      checkpoint();
    };
    if (!this.watchdog || this.now < START + 20) turn();
    else if (!this.watchdog(turn)) {
      this.current?.die(resetError("exceeded its CPU limit"));
      this.watchdog = null;
    }
    this.hung(this.current);
    this.current = this.section = null;
  }
  // hung: workerd ends a request if no pending work could continue it.
  hung(d) {
    if (!d?.call || !d.alive || d.call.state !== "open") return;
    if (d.timers.length > 0 || d.io > 0 || this.ready.some((e) => e.domain === d)) return;
    this.violation(`call ${d.call.id}: workerd ends the request as hung`);
    d.call.answer("failed", new Error("hung"));
    d.die();
  }
  // settled calls f after v, which may be a promise of the current domain, has
  // settled.
  settled(v, f) {
    if (typeof v?.then !== "function") return f(true, v);
    NativePromise.resolve(v).then((v) => f(true, v), (e) => f(false, e));
  }

  // ---- Objects -------------------------------------------------------------

  newEnv(domain) {
    const platform = this;
    return {
      get CONSTRUCT() { return platform.construct; },
      OBJECT: { idFromName() {}, getByName: (name) => this.newStub(domain, name), constructor: Domain, __proto__: Object.create({}) },
    };
  }
  newStub(domain, name) {
    return { __proto__: { run: (bytes) => {
      this.own(domain, "a stub");
      this.confirm(domain);
      const { section } = this;
      const promise = SimPromise.withResolvers();
      domain.io++;
      this.deliver(name, bytes.slice(), (ok, v) => this.post({ domain, section, label: "result", run: () => {
        domain.io--;
        if (ok) promise.resolve(v?.slice());
        else promise.reject(Object.assign(new Error(v.message), v, { remote: true }));
      } }));
      return promise.promise;
    } } };
  }
  deliver(name, bytes, outcome) {
    const call = { settle: (ok, v) => {
      if (call.isSettled) return;
      call.isSettled = true;
      outcome(ok, v);
    } };
    const event = { target: name, label: `deliver to ${name}` };
    event.run = () => {
      let d = this.objects.get(name);
      if (d) return this.serve(d, bytes, call);
      this.current = d = new Domain(name);
      this.objects.set(name, d);
      d.calls.add(call); // workerd resets the object if its constructor throws
      try {
        d.go = new this.glue.GoObject(0, this.newState(d), this.newEnv(d));
      } catch (e) {
        if (e === ABORTED) return;
        return d.die(resetError(e.message));
      }
      d.calls.delete(call);
      this.post(event);
    };
    this.post(event);
  }
  serve(d, bytes, call) {
    this.current = d;
    d.calls.add(call);
    const settle = (ok, v) => {
      d.calls.delete(call);
      if (!d.alive) return;
      this.confirm(d);
      call.settle(ok, v);
    };
    let v;
    try {
      v = d.go.method(0, [bytes]);
    } catch (e) {
      if (e !== ABORTED) settle(false, e);
      return;
    }
    this.settled(v, settle);
  }
  newState(d) {
    const state = {
      id: { toString: () => String(d.name), name: String(d.name) },
      storage: this.newStorage(d),
      waitUntil: (p) => this.waitUntil(d, p),
      blockConcurrencyWhile: (f) => this.enter(d, f, null, true),
      abort: (reason) => {
        this.own(d, "abort");
        d.die(resetError(String(reason?.message ?? reason)));
        throw ABORTED;
      },
    };
    return { __proto__: state, domain: d };
  }
  waitUntil(d, promise) {
    d.waits++;
    this.settled(promise, () => {
      d.waits--;
      this.finish(d);
    });
  }
  // finish ends a request that was answered and whose work is done.
  finish(d) { if (d.call && d.call.state !== "open" && d.waits === 0 && !d.call.body) d.die(); }

  // enter runs f as a section: after earlier sections, and while no other event
  // is delivered.
  enter(d, f, argument, resets) {
    this.own(d, "a section");
    const promise = SimPromise.withResolvers(), section = { isOver: false, at: 0 };
    let before;
    d.io++;
    const done = (ok, v) => {
      section.isOver = true;
      d.section = null;
      if (!ok && resets) return d.die(resetError(v.message));
      if (!ok) this.store(d.name).data = before;
      this.post({ domain: d, label: "section over", run: () => {
        d.io--;
        ok ? promise.resolve(v) : promise.reject(v);
      } });
    };
    this.post({ domain: d, label: "section", run: () => {
      d.section = this.section = section;
      section.at = this.now;
      before = new Map(this.store(d.name).data);
      let v;
      try {
        v = f(argument);
      } catch (e) {
        return done(false, e);
      }
      this.settled(v, done);
    } });
    return promise.promise;
  }
  newStorage(d) {
    const kv = {
      get: (key) => {
        this.own(d, "storage");
        return key.startsWith("hostile:") ? hostile(Number(key.slice(8))) : this.store(d.name).data.get(key);
      },
      put: (key, v) => {
        this.own(d, "storage");
        this.store(d.name).data.set(key, v);
      },
    };
    const get = (key) => {
      this.own(d, "storage");
      const promise = SimPromise.withResolvers();
      d.io++;
      d.reads++;
      this.post({ domain: d, section: this.section, isRead: true, label: "read", run: () => {
        d.io--;
        d.reads--;
        promise.resolve(this.store(d.name).data.get(key));
      } });
      return promise.promise;
    };
    const transactionSync = (f) => {
      this.own(d, "storage");
      const store = this.store(d.name), before = new Map(store.data);
      try {
        return f();
      } catch (e) {
        store.data = before;
        throw e;
      }
    };
    const storage = { kv: { __proto__: kv }, sql: { __proto__: { databaseSize: 0 } }, get, transactionSync,
      transaction: (f) => this.enter(d, f, { __proto__: { get } }, false) };
    return { __proto__: storage };
  }

  // ---- Clients -------------------------------------------------------------

  // request starts a client's call, to the stateless Worker or directly to an
  // object, or a cron trigger (isEvent).
  request(call) {
    Object.assign(call, { state: "new", domain: null, body: null });
    call.answer = (state, v) => {
      if (call.state !== "open") return;
      Object.assign(call, { state, value: v, answeredAt: this.now });
      if (!call.domain) return;
      if (!call.isEvent) call.domain.killAt = this.now + this.afterAnswer;
      if (state === "ok" && v?.body instanceof SimReadable) this.readBody(call, v.body);
    };
    this.calls.push(call);
    this.post({ domain: null, label: `call ${call.id}`, run: () => {
      call.state = "open";
      call.at = this.now;
      if (call.to === null) return this.fetch(call);
      this.deliver(call.to, call.code, (ok, v) => call.answer(ok ? "ok" : "failed", v));
    } });
  }
  fetch(call) {
    const d = this.current = call.domain = new Domain(null, call);
    const request = { method: "GET", url: `http://x/?${Buffer.from(call.code).toString("hex")}`, headers: [], body: null, signal: new EventTarget() };
    call.signal = request.signal;
    const settle = (ok, v) => {
      call.answer(ok ? "ok" : "failed", v);
      this.finish(d);
    };
    let v;
    if (call.isEvent && this.afterAnswer < Infinity) d.killAt = this.now + EVENT;
    try {
      const env = this.newEnv(d), execution = { waitUntil: (p) => this.waitUntil(d, p) };
      if (call.isEvent) v = this.glue.scheduledWorker({ cron: Buffer.from(call.code).toString("hex"), scheduledTime: this.now }, env, execution);
      else v = this.glue.fetchWorker(request, env, execution);
    } catch (e) {
      return settle(false, e);
    }
    this.settled(v, settle);
  }
  readBody(call, stream) {
    call.body = stream;
    stream.reader = call;
    stream.next();
  }
  // leave: the client disconnects.
  leave(call) {
    const d = call.domain;
    this.post({ domain: d, label: `client of ${call.id} leaves`, run: () => {
      call.answer("left");
      d.killAt = Math.min(d.killAt, this.now + this.afterAnswer);
      call.signal.dispatchEvent(new Event("abort"));
      call.body?.cancel(new Error("the client has disconnected"));
      this.finish(d);
    } });
  }
}

// hostile makes values that pretend to be larger or different.
function hostile(n) {
  switch (n) {
    case 0: return new Array(3000);
    case 1: { const a = [1]; Object.defineProperty(a, 0, { get: () => { a.length = 2000; return 1; }, enumerable: true }); return a; }
    case 2: return [...Array.from({ length: 100 }, () => () => {}), "\ud800"];
    case 3: { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return [proxy]; }
    case 4: return "é".repeat(4095);
    case 5: return { get a() { this.b = "x".repeat(5000); return this.b; }, b: 1 };
    default: return Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`key ${i}`, [,,, i]]));
  }
}
