// Replacements of JavaScript's globals: promises, timeouts, clocks, streams.
// They also check the boundary to Go.

const NativePromise = Promise, NativeDate = Date, NativeInstance = WebAssembly.Instance;

export const START = 1_000_000_000_000;

// ABORTED is thrown where workerd terminates JavaScript. The rest of that turn
// must have no effect.
export const ABORTED = new Error("the object was aborted");

// sim is the Platform on which JavaScript runs.
export let sim = null;
export function use(platform) { sim = platform; }

export const nameOf = (d) => !d ? "nowhere" : d.name === null ? `request ${d.call.id}` : `object ${d.name} (${d.id})`;

// SimPromise: code that awaits a promise runs in the domain that created it,
// whatever resolves it.
export class SimPromise {
  constructor(executor) {
    this.platform = sim;
    this.domain = sim?.current ?? null;
    this.state = "pending";
    this.reactions = [];
    let isResolved = false;
    const once = (f) => (v) => {
      if (isResolved) return;
      isResolved = true;
      f(v);
    };
    const reject = (e) => this.settle("rejected", e);
    const resolve = (v) => {
      if (typeof v?.then === "function") micro(null, () => v.then((v) => this.settle("fulfilled", v), reject));
      else this.settle("fulfilled", v);
    };
    try {
      executor(once(resolve), once(reject));
    } catch (e) {
      once(reject)(e);
    }
  }
  settle(state, value) {
    Object.assign(this, { state, value });
    const { domain, reactions } = this;
    this.reactions = [];
    if (this.platform !== sim || reactions.length === 0) return;
    if (!domain || domain === sim.current) for (const f of reactions) micro(domain, f);
    else if (domain.alive) sim.post({ domain, label: "wake", run: () => { for (const f of reactions) micro(domain, f); } });
  }
  then(fulfilled, rejected) {
    const { promise, resolve, reject } = SimPromise.withResolvers();
    const react = () => {
      const f = this.state === "fulfilled" ? fulfilled : rejected;
      if (typeof f !== "function") return this.state === "fulfilled" ? resolve(this.value) : reject(this.value);
      try {
        resolve(f(this.value));
      } catch (e) {
        reject(e);
      }
    };
    if (this.state === "pending") this.reactions.push(react);
    else micro(this.domain, react);
    return promise;
  }
  catch(f) { return this.then(undefined, f); }
  finally(f) { return this.then((v) => { f(); return v; }, (e) => { f(); throw e; }); }
  static withResolvers() {
    let resolve, reject;
    const promise = new SimPromise((a, b) => { resolve = a; reject = b; });
    return { promise, resolve, reject };
  }
  static resolve(v) { return new SimPromise((resolve) => resolve(v)); }
  static reject(e) { return new SimPromise((_, reject) => reject(e)); }
}

// micro runs f after the current code, unless its domain has ended by then.
function micro(domain, f) {
  const platform = sim;
  NativePromise.resolve().then(() => {
    if (platform !== sim || (domain && !domain.alive)) return;
    try {
      f();
    } catch (e) {
      if (e !== ABORTED && !e.goRuntimeExited) platform.violation(`an exception in a microtask: ${e.stack}`);
    }
  });
}

// clock does not pass the next timeout of the calling domain if the platform
// clamps clocks, even if that timeout is delayed.
function clock() {
  if (!sim) return START;
  let { now } = sim;
  if (sim.clamps) for (const t of sim.current?.timers ?? []) if (t.at < now) now = t.at;
  return now;
}

export class SimReadable {
  constructor(domain) { Object.assign(this, { domain, writes: [], locked: false, reader: null, isOver: false, isReading: false }); }
  // next takes the next written chunk, at the speed of the client.
  next() {
    if (!this.reader || this.isReading || this.writes.length === 0) return;
    this.isReading = true;
    sim.post({ domain: this.domain, label: "body", run: () => {
      this.isReading = false;
      const w = this.writes.shift();
      if (!w) return; // the read was cancelled
      this.domain.io--;
      if (w.ends) this.end();
      w.resolve();
      this.next();
    } });
  }
  write(ends) {
    if (this.isOver) return SimPromise.reject(new TypeError("the stream has ended"));
    const { promise, resolve, reject } = SimPromise.withResolvers();
    this.domain.io++;
    this.writes.push({ ends, resolve, reject });
    this.next();
    return promise;
  }
  end() {
    this.isOver = true;
    if (!this.reader) return;
    this.reader.body = null;
    sim.finish(this.domain);
  }
  cancel(reason) {
    const { writes } = this;
    this.writes = [];
    this.end();
    for (const w of writes) {
      this.domain.io--;
      w.reject(reason);
    }
    return SimPromise.resolve();
  }
}

class SimResponse {
  constructor(body, { status = 200 } = {}) {
    if (status !== 101 && (status < 200 || status > 599)) throw new RangeError("Responses may only be constructed with status codes in the range 200 to 599, inclusive.");
    if ([101, 204, 205, 304].includes(status) && body) throw new TypeError("Response with null body status cannot have body.");
    Object.assign(this, { body, status, headers: { append() {} } });
  }
}

class IdentityTransformStream {
  constructor() {
    const readable = this.readable = new SimReadable(sim.current);
    this.writable = { getWriter: () => ({ __proto__: { write: () => readable.write(false), close: () => readable.write(true), abort: (e) => readable.cancel(e) } }) };
  }
}

class SimDate extends NativeDate {
  constructor(...args) { args.length > 0 ? super(...args) : super(clock()); }
  static now() { return clock(); }
}

const timeouts = {
  setTimeout(f, ms = 0) {
    const d = sim.current;
    if (!d?.alive) {
      sim.violation("a timeout is set outside of any I/O context");
      return 0;
    }
    const id = ++sim.sequence;
    d.timers.push({ id, at: clock() + Math.max(0, ms), f, section: sim.section });
    return id;
  },
  clearTimeout(id) { // another context's timeout is not found
    const timers = sim.current?.timers ?? [], at = timers.findIndex((t) => t.id === id);
    if (at >= 0) timers.splice(at, 1);
  },
};

// later is called by the program. It calls a js.Func after Go has returned the
// stack, in any domain or in none, like a FinalizationRegistry.
function later(f) {
  if (sim.random() < 0.3) return micro(null, f);
  sim.post({ domain: null, label: "callback", run: () => micro(null, f) });
}

const CANARY = 256;

// guarded checks what the boundary's imports write to memory.
function guarded(imports, instance) {
  const guard = (name, at) => {
    const f = imports[name];
    imports[name] = (...args) => {
      const [ptr, room] = at(args), memory = () => new Uint8Array(instance().exports.mem.buffer);
      const end = (ptr >>> 0) + room, before = memory().slice(end, end + CANARY);
      try {
        return f(...args);
      } finally {
        if (!Buffer.from(before).equals(memory().slice(end, end + CANARY))) sim.violation(`I8: ${name} writes beyond its buffer`);
      }
    };
  };
  guard("call", (args) => [args[4], args[6]]);
  guard("take", (args) => [args[2], args[3]]);
}

// ENTRIES are the exports that make a context current.
const ENTRIES = ["invoke", "settle", "tick", "cancel", "time_up", "deadlock"].map((name) => `capdo_${name}`);

// entered checks that Go is entered in the domain of the context for which it
// is entered.
function entered(exports) {
  const watched = { ...exports };
  for (const name of ENTRIES) {
    watched[name] = (id, ...args) => {
      const d = sim.domainOf(id);
      if (d !== sim.current) sim.violation(`I7: ${name} enters Go for ${nameOf(d)} in ${nameOf(sim.current)}`);
      return exports[name](id, ...args);
    };
  }
  return watched;
}

// install replaces the globals. The explorer itself keeps the real ones.
export function install() {
  Object.assign(globalThis, { Date: SimDate, Promise: SimPromise, ReadableStream: SimReadable, Response: SimResponse, IdentityTransformStream, later, ...timeouts });
  globalThis.queueMicrotask = (f) => micro(sim.current, f);
  const define = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  define("performance", { now: clock, timeOrigin: 0 });
  define("crypto", { getRandomValues: (b) => {
    const bytes = new Uint8Array(b.buffer, b.byteOffset, b.byteLength);
    for (let i = 0; i < bytes.length; i++) bytes[i] = sim.random() * 256;
    return b;
  } });
  for (const level of ["log", "error", "warn", "info"]) {
    console[level] = (...args) => {
      const text = args.join(" ");
      if (sim.log.length < 200) sim.log.push(text);
      if (text.includes("VIOLATION")) sim.violation(text);
    };
  }
  WebAssembly.Instance = function (module, imports) {
    let instance = null;
    guarded(imports.capdo, () => instance);
    instance = new NativeInstance(module, imports);
    return Object.create(NativeInstance.prototype, { exports: { value: entered(instance.exports) } });
  };
  WebAssembly.Instance.prototype = NativeInstance.prototype;
}
