// The JavaScript half of capdo's boundary: it runs one Go program per isolate and carries calls between it and workerd.
// JS forwards, Go decides: nothing here knows what a namespace or an alarm is. The Go half is package internal/jsrt, and the
// two share the value encoding below, the imports of module "capdo", and the exports named capdo_*.
//
// Words used below:
//   context     an I/O context of workerd: one Durable Object instance, or one invocation of the stateless Worker. workerd lets
//               code touch I/O objects only while their own context is running.
//   invocation  one call from workerd into Go: a constructor, a fetch, an alarm, an RPC method, an event of a WebSocket.
//   parcel      a value that waits on the JS side, under a number, until Go has memory for it.

import "./wasm_exec.js"; // Go's own, copied from the toolchain: it defines globalThis.Go

// ---- Values -------------------------------------------------------------------------------------------------------------
// One encoding for everything that crosses: a tag byte, then little-endian content. Must match internal/jsrt/value.go.
const UNDEFINED = 0, NULL = 1, FALSE = 2, TRUE = 3, NUMBER = 4, STRING = 5, BYTES = 6, ARRAY = 7, OBJECT = 8, DATE = 9, BIGINT = 10,
  REF = 11, ERROR = 12, PENDING = 13;

const utf8 = { encoder: new TextEncoder(), decoder: new TextDecoder("utf-8", { ignoreBOM: true }) };

// Pending stands for a promise that Go has to wait for.
class Pending { constructor(id) { this.id = id; } }

// ByRef makes a plain object go to Go as a reference instead of by value.
export class ByRef { constructor(target) { this.target = target; } }

const isPlain = (v) => { const p = Object.getPrototypeOf(v); return p === Object.prototype || p === null; };
const asBytes = (v) => v instanceof Uint8Array ? v : v instanceof ArrayBuffer ? new Uint8Array(v)
  : ArrayBuffer.isView(v) ? new Uint8Array(v.buffer, v.byteOffset, v.byteLength) : null;

// errorFields is what Go learns of a thrown value: name, message and its own primitive properties (retryable, overloaded, code…).
function errorFields(e) {
  if (!(e instanceof Error)) return { name: "", message: String(e).toWellFormed() };
  const fields = { name: String(e.name).toWellFormed(), message: String(e.message).toWellFormed() };
  for (const k of Object.keys(e)) {
    const v = e[k];
    if (typeof v === "string") fields[k] = v.toWellFormed();
    else if (typeof v === "number" || typeof v === "boolean") fields[k] = v;
  }
  return fields;
}

function toError(fields) {
  const e = new Error(fields.message);
  e.name = fields.name;
  for (const k of Object.keys(fields)) if (k !== "name" && k !== "message") e[k] = fields[k];
  return e;
}

// bound is an upper bound, in bytes, of v's encoding.
function bound(v) {
  switch (typeof v) {
    case "string": return 5 + 3 * v.length;
    case "bigint": return 5 + v.toString().length;
    case "object": {
      if (v === null || v instanceof Date || v instanceof Pending) return 9;
      const bytes = asBytes(v);
      if (bytes) return 5 + bytes.byteLength;
      if (Array.isArray(v)) return v.reduce((n, x) => n + bound(x), 5);
      if (v instanceof Error) v = errorFields(v);
      else if (!isPlain(v)) return 9;
      return Object.keys(v).reduce((n, k) => n + bound(k) + bound(v[k]), 6);
    }
  }
  return 9;
}

// Wire reads and writes values in Go's linear memory.
class Wire {
  constructor(memory) { this.memory = memory; this.pos = 0; this.u8 = new Uint8Array(0); }

  // at points the wire to an address. Memory that grows gets a new buffer, and the old one's views have no length any more.
  at(ptr) {
    if (this.u8.byteLength === 0) {
      this.u8 = new Uint8Array(this.memory.buffer);
      this.view = new DataView(this.memory.buffer);
    }
    this.pos = ptr >>> 0;
    return this;
  }
  byte(b) { this.u8[this.pos++] = b; }
  u32(n) { this.view.setUint32(this.pos, n, true); this.pos += 4; }
  f64(n) { this.view.setFloat64(this.pos, n, true); this.pos += 8; }
  bytes(b) { this.u32(b.byteLength); this.u8.set(b, this.pos); this.pos += b.byteLength; }
  string(s) {
    if (!s.isWellFormed()) throw new TypeError("a string with a lone surrogate cannot be a Go string");
    const { written } = utf8.encoder.encodeInto(s, this.u8.subarray(this.pos + 4));
    this.u32(written);
    this.pos += written;
  }

  encode(v, context) {
    switch (typeof v) {
      case "undefined": return this.byte(UNDEFINED);
      case "boolean": return this.byte(v ? TRUE : FALSE);
      case "number": this.byte(NUMBER); return this.f64(v);
      case "string": this.byte(STRING); return this.string(v);
      case "bigint": this.byte(BIGINT); return this.string(v.toString());
      case "object": {
        if (v === null) return this.byte(NULL);
        const bytes = asBytes(v);
        if (bytes) { this.byte(BYTES); return this.bytes(bytes); }
        if (Array.isArray(v)) { this.byte(ARRAY); this.u32(v.length); for (const x of v) this.encode(x, context); return; }
        if (v instanceof Pending) { this.byte(PENDING); return this.u32(v.id); }
        if (v instanceof Date) { this.byte(DATE); return this.f64(v.getTime()); }
        if (v instanceof Error) { this.byte(ERROR); v = errorFields(v); }
        if (isPlain(v)) {
          const keys = Object.keys(v);
          this.byte(OBJECT); this.u32(keys.length);
          for (const k of keys) { this.string(k); this.encode(v[k], context); }
          return;
        }
      }
    }
    this.byte(REF); // anything else stays in JavaScript, and Go holds a reference
    this.u32(context.hold(v instanceof ByRef ? v.target : v));
  }

  decode(context) {
    switch (this.u8[this.pos++]) {
      case UNDEFINED: return undefined;
      case NULL: return null;
      case FALSE: return false;
      case TRUE: return true;
      case NUMBER: { const n = this.view.getFloat64(this.pos, true); this.pos += 8; return n; }
      case STRING: return this.text();
      case BYTES: return this.chunk().slice();
      case ARRAY: {
        const list = [];
        for (let n = this.count(); n > 0; n--) list.push(this.decode(context));
        return list;
      }
      case OBJECT: return this.fields(context);
      case DATE: { const ms = this.view.getFloat64(this.pos, true); this.pos += 8; return new Date(ms); }
      case BIGINT: return BigInt(this.text());
      case REF: return context.refs[this.count()];
      case ERROR: this.pos++; return toError(this.fields(context));
    }
    throw new Error("capdo: the Go half sent a value of an unknown kind; wasm and shim.mjs are not of one build");
  }
  count() { const n = this.view.getUint32(this.pos, true); this.pos += 4; return n; }
  chunk() { const n = this.count(); this.pos += n; return this.u8.subarray(this.pos - n, this.pos); }
  text() {
    const n = this.count(), end = this.pos + n;
    if (n > 24) return utf8.decoder.decode(this.u8.subarray(end - n, this.pos = end));
    let s = ""; // a short ASCII string is faster read here
    for (let i = this.pos; i < end; i++) {
      if (this.u8[i] > 127) return utf8.decoder.decode(this.u8.subarray(this.pos, this.pos = end));
      s += String.fromCharCode(this.u8[i]);
    }
    this.pos = end;
    return s;
  }
  fields(context) {
    const o = {};
    for (let n = this.count(); n > 0; n--) { const k = this.text(); o[k] = this.decode(context); }
    return o;
  }
}

// ---- The runtime --------------------------------------------------------------------------------------------------------

let boot = null; // makes a Runtime
let live = null; // the Runtime that serves this isolate, until its Go program ends

// start says what program to run: a compiled WebAssembly.Module, or what makes a Runtime.
export function start(program) { boot = typeof program === "function" ? program : () => new Runtime(program); }

// runtime returns the live Runtime, booting one where there is none. Boot is synchronous and happens inside a handler or a
// constructor: at the top level of a module workerd refuses random values and timers, and behind a shared promise the second
// request to arrive would be killed as hung.
export function runtime() {
  if (!live || live.dead) live = boot();
  return live;
}

// KEEP_ALIVE_MS: workerd ends a stateless request that has no I/O of its own in flight, even when it only waits for another
// request's goroutine. So a waiting one keeps a timer. When it fires and nothing at all is in flight, the request is deadlocked.
const KEEP_ALIVE_MS = 5000;

// LATE_MS is how late a timeout can be of a context that lives.
const LATE_MS = 1000;

// MIN_PARCEL is room for an error of the encoder, in bytes.
const MIN_PARCEL = 512;

// GRACE_MS is how long a stateless invocation's I/O goes on after its client has gone (workerd: 30 s, by waitUntil).
const GRACE_MS = 25_000;

export class Runtime {
  constructor(module, { argv = ["js"], env = {} } = {}) {
    this.dead = null;          // the Error that ended the program
    this.running = false;      // Go has the stack
    this.lastID = 0;           // of contexts, invocations and parcels
    this.lastTimer = 0;
    this.contexts = new Map(); // id → Context
    this.parcels = new Map();  // id → {v, size}
    this.calls = new Map();    // id → Invocation that is not over
    this.names = [];           // method names that Go has interned
    this.timers = new Map();   // Go's timeouts: id → deadline
    this.armed = new Set();    // contexts that have a setTimeout for the nearest of them
    this.lastWords = "";       // why the program ended, if it said so

    const go = Object.assign(this.go = new Go(), { argv, env });
    go.exit = (code) => this.end(Object.assign(new Error(`the Go program exited with code ${code}${this.lastWords}`), { code }));
    Object.assign(go.importObject.gojs, this.timerImports(go), noPendingEvent(go));
    go.importObject.capdo = this.boundaryImports();
    const instance = new WebAssembly.Instance(module, go.importObject);
    this.exports = instance.exports;
    this.wire = new Wire(instance.exports.mem);
    this.boot(instance);
    if (this.dead) throw this.dead;
  }

  boot(instance) {
    current = this;
    try {
      this.go.run(instance).catch((e) => this.end(e));
    } finally {
      current = null;
    }
  }

  // describe asks the program what it registers; undefined where main has not called durable.Run.
  describe() {
    const call = new Invocation(null, 0);
    this.calls.set(call.id, call);
    this.exports.capdo_describe();
    this.calls.delete(call.id);
    return call.value;
  }

  // end is called once, when the Go program is over. Every open invocation fails at once, each in its own context; nothing
  // may keep the dead program's memory alive.
  end(error) {
    if (this.dead) return;
    error.name = "GoRuntimeError";
    error.goRuntimeExited = true;
    this.dead = error;
    const contexts = [...this.contexts.values()], calls = [...this.calls.values()];
    this.exports = this.wire = null;
    for (const map of [this.contexts, this.calls, this.parcels, this.timers]) map.clear();
    for (const c of calls) if (!c.context.state) { c.reply(c.isAnswered ? c.value : error); c.over(); }
    for (const c of contexts) if (c.open > 0) c.wake(); // what waits in an idle one belongs to an event that is over
  }

  // enter calls an export of the Go program and lets Go run until every goroutine is idle. An export itself never yields:
  // it notes what happened and returns, and resume runs the goroutines. So nothing is ever left runnable behind.
  enter(context, name, ...args) {
    if (this.dead || context.closed) return;
    if (this.running) this.end(new Error("the Go program was interrupted by the platform (CPU or memory limit)"));
    if (this.dead) return;
    this.running = true;
    current = this;
    try {
      this.exports[name](context.id, ...args);
      this.exports?.resume();
    } catch (e) {
      this.end(e); // a trap or a stack overflow: Go's state is not to be trusted any more
    }
    this.running = false;
    current = null;
  }

  // turn enters Go and arms the timer that it then waits for.
  turn(context, name, ...args) {
    this.enter(context, name, ...args);
    this.arm(context);
  }

  // parcel keeps a value for Go to take, with room for at least an error in its place. A cyclic value has no size, and is one.
  parcel(v, id = ++this.lastID) {
    let size;
    try {
      size = bound(v);
    } catch (e) {
      size = bound(v = e);
    }
    this.parcels.set(id, { v, size: Math.max(size, MIN_PARCEL) });
    return id;
  }

  boundaryImports() {
    // pack writes v into Go's buffer, or keeps it as a parcel where it does not fit.
    const pack = (context, v, ptr, cap) => {
      if (bound(v) > cap) return -this.parcel(v);
      const w = this.wire.at(ptr);
      w.encode(v, context);
      return w.pos - (ptr >>> 0);
    };
    const string = (ptr, n) => utf8.decoder.decode(this.wire.at(ptr).u8.subarray(ptr >>> 0, (ptr >>> 0) + n));
    return {
      // intern gives a method or property name a number.
      intern: (ptr, n) => this.names.push(string(ptr, n)) - 1,

      // call calls a method (or with get, reads a property) of the object behind ref and packs what comes out over the arguments.
      call: (contextID, ref, name, get, ptr, cap) => {
        const context = caller = this.contexts.get(contextID);
        let v;
        try {
          const target = context.refs[ref], key = this.names[name];
          v = get ? target[key] : target[key](...this.wire.at(ptr).decode(context));
          if (!get && typeof v?.then === "function") v = this.await(context, v);
          return pack(context, v, ptr, cap);
        } catch (e) {
          if (this.dead) throw this.dead; // unwind the frames of a program that is no more
          return pack(context, e instanceof Error ? e : toError(errorFields(e)), ptr, cap);
        }
      },

      // transact is call for transactionSync: its argument is a Go function. Go runs below Go here, as it does for a js.Func.
      transact: (contextID, ref, ptr, cap) => {
        const context = this.contexts.get(contextID);
        let rolledBack = false;
        try {
          context.refs[ref].transactionSync(() => {
            this.exports.capdo_begin();
            this.exports.resume();
            rolledBack = this.dead || !this.exports.capdo_end(contextID);
            if (rolledBack) throw new Error("roll back");
          });
        } catch (e) {
          if (this.dead) throw this.dead;
          if (!rolledBack) return pack(context, e, ptr, cap);
        }
        return pack(context, undefined, ptr, cap);
      },

      // size and take hand over a parcel: how much memory it needs at most, then the value itself.
      size: (id) => this.parcels.get(id).size,
      take: (contextID, id, ptr) => {
        const { v } = this.parcels.get(id), w = this.wire.at(ptr);
        this.parcels.delete(id);
        try {
          w.encode(v, this.contexts.get(contextID));
        } catch (e) {
          this.wire.at(ptr).encode(new TypeError(e.message.slice(0, 100)));
        }
        return w.pos - (ptr >>> 0);
      },
      discard: (id) => { this.parcels.delete(id); },

      // reply answers an invocation; over says that no goroutine works for it any more; mostly both come together.
      reply: (contextID, id, ptr, over) => {
        const call = this.calls.get(id);
        const context = this.contexts.get(contextID);
        call?.reply(context || id === 0 ? this.wire.at(ptr).decode(context) : new Error("the I/O context is closed"));
        if (over) call?.over();
      },
      over: (id) => { this.calls.get(id)?.over(); },

      // wake asks for a context's turn, for goroutines that have I/O to do in it.
      wake: (contextID) => { this.contexts.get(contextID)?.wake(); },
      free: (contextID, ref) => { this.contexts.get(contextID)?.free(ref); },
    };
  }

  // await turns a promise into a parcel that arrives later.
  await(context, promise) {
    const id = ++this.lastID;
    const settle = (v) => {
      context.promises--;
      if (this.dead || context.closed) return;
      this.parcel(v, id);
      this.turn(context, "capdo_settle", id, this.parcels.get(id).size);
    };
    context.promises++;
    promise.then(settle, (e) => settle(e instanceof Error ? e : toError(errorFields(e))));
    return new Pending(id);
  }

  // ---- Timers: Go keeps one idle timeout. It is a deadline here, armed with setTimeout in a context that has an open
  // invocation; when that context's last invocation ends, another open one takes over, or nobody until the next entry.
  timerImports(go) {
    return {
      "runtime.scheduleTimeoutEvent": (sp) => {
        sp >>>= 0;
        const delay = go.mem.getUint32(sp + 8, true) + go.mem.getInt32(sp + 12, true) * 4294967296;
        this.timers.set(++this.lastTimer, Date.now() + delay);
        go.mem.setInt32(sp + 16, this.lastTimer, true);
      },
      "runtime.clearTimeoutEvent": (sp) => { this.timers.delete(go.mem.getInt32((sp >>> 0) + 8, true)); },
    };
  }

  // arm runs in the context given. One in a critical section (see helpers.within) has a timeout of its own: what other contexts wake cannot
  // get in.
  arm(context) {
    if (this.dead || this.timers.size === 0) return;
    const at = Math.min(...this.timers.values());
    for (const c of this.armed) if (c.timer.at < Date.now() - LATE_MS) this.armed.delete(c); // it was reset, and nobody said so
    for (const c of this.armed) if (c.timer.at <= at && (c === context || !context.isExclusive)) return;
    if (context.open === 0) return this.handOver();
    this.disarm(context);
    const handle = setTimeout(() => {
      this.disarm(context);
      this.turn(context, "capdo_tick");
    }, Math.max(0, at - Date.now()));
    context.timer = { at, handle };
    this.armed.add(context);
  }
  // disarm, too: a timeout can be cleared only in its own context.
  disarm(context) {
    if (!this.armed.delete(context)) return;
    clearTimeout(context.timer.handle);
    context.timer = null;
  }
  handOver() { for (const c of this.contexts.values()) if (c.open > 0 && !c.isExclusive) return c.wake(); }

  // quiet: nothing is in flight that could wake a goroutine.
  quiet() {
    if (this.timers.size > 0) return false;
    for (const c of this.contexts.values()) if (c.promises > 0) return false;
    return true;
  }
}

// noPendingEvent answers the question that Go asks at each resume, whether a js.Func was called, without decoding the name of the
// property: mostly none was (only package os has js.Funcs), and no other property that Go reads of its Go object has a name of that
// length. Addresses and ids are wasm_exec.js's.
function noPendingEvent(go) {
  const valueGet = go.importObject.gojs["syscall/js.valueGet"];
  const GO = 6, NULL_ID = 2, NAN_HEAD = 0x7FF80000, LENGTH = "_pendingEvent".length;
  return {
    // func valueGet(v ref, p string) ref
    "syscall/js.valueGet": (sp) => {
      const { mem } = go, at = sp >>> 0;
      if (mem.getUint32(at + 8, true) !== GO || mem.getUint32(at + 24, true) !== LENGTH || go._pendingEvent !== null) return valueGet(sp);
      mem.setUint32(at + 32, NULL_ID, true);
      mem.setUint32(at + 36, NAN_HEAD, true);
    },
  };
}

// Invocation is one call into Go. Its answer is there at once when Go did not have to wait, else it is promised.
export class Invocation {
  constructor(context, id) {
    this.context = context;
    this.id = id;
    this.value = undefined;
    this.isAnswered = false;
    this.isOver = false;
    this.settle = null; // {resolve, reject} of a promised answer
    this.ended = null;  // called when it is over
  }

  reply(v) {
    this.value = v;
    this.isAnswered = true;
    if (this.settle) v instanceof Error ? this.settle.reject(v) : this.settle.resolve(v);
  }
  answer() {
    if (!this.isAnswered) return new Promise((resolve, reject) => { this.settle = { resolve, reject }; });
    if (this.value instanceof Error) throw this.value;
    return this.value;
  }
  over() {
    this.isOver = true;
    this.context?.rt.calls.delete(this.id);
    this.ended?.();
  }
}

export class Context {
  constructor(rt, state) {
    this.rt = rt;
    this.state = state; // the DurableObjectState, or null for a stateless invocation
    this.id = ++rt.lastID;
    this.refs = [helpers];
    this.unused = [];
    this.open = 0;     // invocations that are not over
    this.promises = 0; // promises that Go waits for
    this.closed = false;
    this.isExclusive = false; // a critical section is under way
    this.wake = () => {};
    this.timer = this.keepAlive = this.grace = null; // timeouts
    rt.contexts.set(this.id, this);
    if (state) this.listen();
  }

  hold(v) { const ref = this.unused.pop() ?? this.refs.length; this.refs[ref] = v; return ref; }
  free(ref) { this.refs[ref] = undefined; this.unused.push(ref); }

  // listen takes the turns that other contexts ask for: anyone may resolve a promise, and workerd runs what awaits it in the
  // context that created it (handle_cross_request_promise_resolution, compatibility date 2024-10-14).
  async listen() {
    for (;;) {
      await new Promise((resolve) => { this.wake = resolve; });
      if (this.closed) return;
      if (this.rt.dead) return this.abort();
      this.rt.turn(this, "capdo_tick");
    }
  }

  // abort resets an object whose Go program died under its open calls: writes that nobody was told about go, and workerd
  // builds the object anew at the next call.
  abort() { if (this.open > 0) this.state?.abort(this.rt.dead); }

  // invoke calls Go and returns its answer, or a promise of it. signal says that the caller went away; background keeps a
  // stateless context alive until the invocation is over (ExecutionContext.waitUntil). An object's would get no turn after the answer, either.
  invoke(kind, index, args, { signal, background } = {}) {
    const { rt } = this, call = new Invocation(this, rt.parcel(args));
    rt.calls.set(call.id, call);
    this.open++;
    rt.enter(this, "capdo_invoke", call.id, rt.parcels.get(call.id).size, kind, index);
    if (call.isOver) { // the common case: nothing was armed for it
      this.leave();
      return call.answer();
    }
    if (rt.dead) {
      this.abort();
      throw rt.dead;
    }
    const ended = new Promise((resolve) => { call.ended = resolve; }).then(() => this.leave());
    if (this.state) this.state.waitUntil(ended);
    else background?.(ended);
    signal?.addEventListener("abort", () => { if (!call.isOver) this.cancel(call); });
    if (!this.state) {
      this.listen();
      this.stay(call);
    }
    rt.arm(this);
    return call.answer();
  }

  // cancel tells Go that an invocation's caller went away. workerd lets a stateless one go on for 30 s; before that is over, what its
  // goroutines still wait for is given up, so that none is left waiting for ever, with a lock in its hands.
  cancel(call) {
    this.rt.turn(this, "capdo_cancel", call.id);
    if (!this.state && !call.isOver) this.grace = setTimeout(() => this.close(), GRACE_MS);
  }

  leave() {
    if (--this.open > 0) return;
    this.rt.disarm(this);
    if (this.keepAlive) clearTimeout(this.keepAlive);
    if (this.grace) clearTimeout(this.grace);
    if (!this.state) {
      this.close();
      for (const v of this.refs) if (v instanceof Inbox) v.leave();
    }
    if (this.rt.armed.size === 0 && this.rt.timers.size > 0) this.rt.handOver();
  }

  stay(call) {
    this.keepAlive = setTimeout(() => {
      if (this.rt.quiet()) return this.rt.turn(this, "capdo_deadlock", call.id);
      this.stay(call);
      this.rt.arm(this);
    }, KEEP_ALIVE_MS);
  }

  // close tells Go that the context is gone: goroutines that still want its I/O get an error.
  close() {
    if (this.closed) return;
    this.rt.enter(this, "capdo_close");
    this.closed = true;
    this.wake();
    this.rt.contexts.delete(this.id);
    if (this.rt.armed.delete(this) && this.rt.armed.size === 0) this.rt.handOver();
  }

  // reset has workerd build the object anew: its open calls fail, and writes that nobody was told about go.
  reset(...reason) {
    this.close();
    this.state.abort(...reason);
  }
}

// ---- What the generated entry uses --------------------------------------------------------------------------------------

// Kinds of invocation; must match internal/jsrt.
export const CONSTRUCT = 0, FETCH = 1, ALARM = 2, METHOD = 3, TEST = 4, MESSAGE = 5, CLOSE = 6, ERR = 7;

const evicted = new FinalizationRegistry((object) => object.context.close());

// GoObject is the Go side of one Durable Object instance. Eviction drops the instance but keeps the Go program, so Go is told
// when the instance has been collected; nothing here may hold on to it.
export class GoObject {
  constructor(instance, index, state, env) {
    this.index = index;
    this.state = state;
    this.env = env;
    this.building = null;
    evicted.register(instance, this);
    this.build();
  }
  // build runs the Go constructor. While it waits, invoke holds events back. (Not blockConcurrencyWhile: nothing outside its critical
  // section can wake what waits inside, so a constructor that waits for another context's goroutine would hang.)
  build() {
    this.context = new Context(runtime(), this.state);
    const built = this.context.invoke(CONSTRUCT, this.index, [this.state, new ByRef(this.env)]);
    if (!(built instanceof Promise)) return;
    const done = () => { this.building = null; };
    this.building = built.then(done, (e) => { done(); this.context.reset(e); });
  }
  invoke(kind, index, args, options) {
    if (this.context.rt.dead) this.build(); // the program ended while this object was idle
    if (this.building) return this.building.then(() => this.context.invoke(kind, index, args, options));
    return this.context.invoke(kind, index, args, options);
  }
  method(index, args) { return this.invoke(METHOD, index, args); }
  alarm(info) { return this.invoke(ALARM, 0, [info?.scheduledTime, info?.retryCount ?? 0, info?.isRetry ?? false]); }
  fetch(request) { return respond(this.invoke(FETCH, 0, requestParts(request), { signal: request.signal })); }
  webSocketMessage(ws, data) { return this.invoke(MESSAGE, 0, [socketID(ws), ws, typeof data === "string", messageBytes(data)]); }
  webSocketClose(ws, code, reason, wasClean) { return this.invoke(CLOSE, 0, [socketID(ws), ws, code, reason.toWellFormed(), wasClean]); }
  webSocketError(ws, error) { return this.invoke(ERR, 0, [socketID(ws), ws, error]); }
}

// fetchWorker serves the stateless Worker's fetch event.
export function fetchWorker(request, env, execution) {
  const options = { signal: request.signal, background: (p) => execution.waitUntil(p) };
  return respond(new Context(runtime(), null).invoke(FETCH, 0, [...requestParts(request), new ByRef(env)], options));
}

const requestParts = (r) => [r.method, r.url, [...r.headers], r.body];

async function respond(parts) {
  const [status, headers, body, webSocket] = await parts;
  return new Response(body, { status, headers, webSocket });
}

// ---- WebSockets ---------------------------------------------------------------------------------------------------------

const socketIDs = new WeakMap();
let lastSocketID = 0;

// socketID is a number for a WebSocket, so that Go knows it again.
function socketID(ws) {
  let id = socketIDs.get(ws);
  if (id === undefined) socketIDs.set(ws, id = ++lastSocketID);
  return id;
}

// messageBytes: as a string, a long message would need room for three bytes a character in Go.
const messageBytes = (data) => typeof data === "string" ? utf8.encoder.encode(data) : new Uint8Array(data);

// Inbox keeps what an accepted WebSocket receives until Go asks for it: workerd delivers as fast as it arrives.
export class Inbox {
  constructor(ws) {
    this.ws = ws;
    this.messages = []; // [whether it is text, bytes]
    this.head = 0;      // of messages: those before have been taken
    this.size = 0;      // of the others, in bytes
    this.end = null;    // what comes after them: [close code, reason], or an Error
    this.arrived = null;
    this.arrival = null; // a promise that something has arrived, and what resolves it
  }

  // accept begins to receive. A message that would make the inbox larger than max bytes, each counting overhead besides its own, ends
  // it, unless it is the only one.
  accept(max, overhead, code, reason) {
    const { ws } = this;
    ws.binaryType = "arraybuffer";
    ws.addEventListener("message", ({ data }) => {
      if (this.end) return;
      const bytes = messageBytes(data), size = bytes.length + overhead;
      if (this.size > 0 && this.size + size > max) {
        this.finish([0, ""]);
        return ws.close(code, reason);
      }
      this.size += size;
      this.messages.push([typeof data === "string", bytes]);
      this.arrived?.();
    });
    ws.addEventListener("close", (e) => {
      this.finish([e.code, e.reason.toWellFormed()]);
      if (e.wasClean && ws.readyState < 3) ws.close(...e.code === 1005 ? [] : [e.code, e.reason]); // compatibility date before 2026-04-07
    });
    ws.addEventListener("error", (e) => this.finish(e.error ?? new Error(e.message)));
    ws.accept();
    return this;
  }
  // leave closes what is still open when its invocation is over, be it because the Go program ended.
  leave() {
    this.finish([1011, ""]);
    if (this.ws.readyState < 3) this.ws.close(1011, "the invocation is over");
  }
  finish(end) {
    this.end ??= end;
    this.arrived?.();
  }

  // next returns a message or, where there is none, the end; else a promise that there is one, of nothing.
  next(overhead) {
    if (this.head === this.messages.length) {
      if (this.end instanceof Error) throw this.end;
      return this.end ?? this.wait();
    }
    const message = this.messages[this.head];
    this.messages[this.head++] = null;
    if (this.head === this.messages.length) this.messages.length = this.head = 0;
    this.size -= message[1].length + overhead;
    return message;
  }
  wait() {
    this.arrival ??= new Promise((resolve) => { this.arrived = resolve; }).then(() => { this.arrival = this.arrived = null; });
    return this.arrival;
  }
}

let caller = null; // the context whose Go code calls

// helpers is reference 0 of every context: what needs a JavaScript constructor, or would take Go several crossings.
const helpers = {
  keys: (o) => Object.keys(o),

  // fetch sends a request to target, a stub, or out of the Worker where that is null, and returns the response's parts.
  fetch: async (target, method, url, headers, body, signal) => {
    const r = await (target ?? globalThis).fetch(new Request(url, { method, headers, body, signal, redirect: "manual" }));
    return [r.status, [...r.headers], r.body, r.webSocket];
  },
  abortController: () => new AbortController(),
  // pipe is how Go streams a body out: it writes to one end and hands the other over.
  pipe: () => { const { readable, writable } = new IdentityTransformStream(); return [readable, writable.getWriter()]; },

  pair: () => Object.values(new WebSocketPair()),
  inbox: (ws, ...how) => new Inbox(ws).accept(...how),
  acceptWebSocket: (state, ws, tags) => {
    state.acceptWebSocket(ws, tags);
    return socketID(ws);
  },
  webSockets: (state, ...tag) => state.getWebSockets(...tag).flatMap((ws) => [socketID(ws), ws]),
  autoResponse: (state, ...pair) => state.setWebSocketAutoResponse(pair.length ? new WebSocketRequestResponsePair(...pair) : undefined),

  id: (id) => [id.toString(), id.name, id.jurisdiction],
  entries: async (target, method, ...args) => [...await target[method](...args)],
  iterate: (target, method, ...args) => target[method](...args)[Symbol.iterator](),
  take: (rows, limit) => {
    const out = [];
    for (let r; out.length < limit && !(r = rows.next()).done;) out.push(r.value);
    return out;
  },
  // within calls target[method] with a callback that Go runs: it has begun when the promise is fulfilled, with what the callback is given,
  // and is over when Go says how it ended. Go is entered inside of it, so what Go begins there belongs to it.
  within: (target, method) => {
    const context = caller;
    return new Promise((begin, refuse) => {
      const { promise, resolve, reject } = Promise.withResolvers();
      const done = target[method]((argument) => {
        const end = (failure) => {
          context.isExclusive = false;
          if (failure === null) resolve();
          else reject(new Error(failure));
          if (failure !== null && method === "blockConcurrencyWhile") queueMicrotask(() => context.close()); // workerd resets the object
          return done;
        };
        context.isExclusive = true;
        begin([argument, new ByRef({ end })]);
        return promise;
      });
      done.catch(refuse);
    });
  },
  // abort must not be called while Go is on the stack, which it would unwind. The promise does not settle, but ends with its context.
  abort: (...args) => {
    const context = caller;
    return new Promise(() => { queueMicrotask(() => context.reset(...args)); });
  },

  // query runs SQL and returns the columns and what the first next returns, in place of true with what the rest is got from. next returns
  // rows, as many as limit or until they take budget bytes, how many were read and written so far, and whether there may be more, or what
  // ended it.
  query: (sql, limit, budget, text, ...args) => {
    const cursor = sql.exec(text, ...args), rows = cursor.raw();
    const next = (limit, budget) => {
      const out = [];
      let more = true;
      try {
        while (more && out.length < limit && budget > 0) {
          const { value, done } = rows.next();
          if (done) { more = false; break; }
          out.push(value);
          for (const v of value) budget -= v?.length ?? v?.byteLength ?? 8;
        }
      } catch (e) {
        more = e;
      }
      return [out, cursor.rowsRead, cursor.rowsWritten, more];
    };
    const first = next(limit, budget);
    if (first[3] === true) first[3] = new ByRef({ next });
    return [cursor.columnNames, ...first];
  },
};

// V8 throws away the shape of a class that has no instance at a garbage collection, and with it the code optimized for it: the hottest
// functions were compiled again 20 to 35 times in 18,000 calls. So each class has an instance that stays.
export const shapes = [new Invocation(null, 0), new Context({ lastID: 0, contexts: new Map() }, null), new Inbox(null)];

// ---- Console ------------------------------------------------------------------------------------------------------------
// Go's standard output and standard error, line by line. wasm_exec.js writes through globalThis.fs, which it has made.

let current = null; // the Runtime whose code has the stack
let print = null;   // takes what is written as it is, in place of the console
const lines = { 1: "", 2: "" };
globalThis.fs.writeSync = (fd, buffer) => {
  print?.(fd, buffer);
  const text = utf8.decoder.decode(buffer, { stream: false });
  const whole = lines[fd] + text, end = whole.lastIndexOf("\n");
  lines[fd] = whole.slice(end + 1);
  if (end < 0) return buffer.length;
  if (!print) (fd === 2 ? console.error : console.log)(whole.slice(0, end));
  const cause = fd === 2 && /^(panic|fatal error|runtime: out of memory): (?!.*\[recovered by).*/m.exec(whole);
  if (cause && current) current.lastWords = `: ${cause[0]}`;
  return buffer.length;
};

// redirect takes Go's output away from the console.
export function redirect(to) { print = to; }

// stats are the sizes of the tables, for tests that look for leaks.
export function stats() {
  const contexts = [...live?.contexts.values() ?? []];
  return {
    contexts: contexts.length, parcels: live?.parcels.size, calls: live?.calls.size, timers: live?.timers.size,
    refs: contexts.reduce((n, c) => n + c.refs.length - c.unused.length - 1, 0),
    memory: live?.exports?.mem.buffer.byteLength,
  };
}
