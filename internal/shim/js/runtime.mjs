// A Runtime runs one Go program: it boots the wasm, carries calls across the
// boundary, and keeps Go's time. JavaScript forwards, Go decides: this module
// does not know what a namespace or an alarm is. The Go half is package
// internal/jsrt. Its PROTOCOL.md defines what both halves guarantee.
//
//   context     an I/O context of workerd: one Durable Object instance, or one
//               invocation of the stateless Worker. workerd lets code touch
//               I/O objects only while their own context is running.
//   invocation  one call from workerd into Go: a constructor, a fetch, an
//               alarm, an RPC method, an event of a WebSocket, a cron trigger,
//               a batch of messages.
//   turn        Go has the stack, for one context, until every goroutine waits.

import { abandon, dispose, setCaller } from "./host.mjs";
import { callBack, current, flush, forgetCallbacks, log, runtimeWrite } from "./stdio.mjs";
import { Encoded, Pending, Reader, Writer, asError, errorFields, utf8 } from "./value.mjs";

// WATCH_MS is the interval, in ms, in which a context with open calls checks
// that some context serves Go's timers.
export const WATCH_MS = 1000;

// SECTION_MS is the timeout in a critical section, in ms. During a section only
// its own I/O and timeouts run, so goroutines that others have woken wait for
// this timeout.
const SECTION_MS = 50;

// LATE_MS: if a timeout is this many ms late, its context is gone or held back.
// Then another context keeps the time.
const LATE_MS = 100;

// GONE_MS: if the timeout of an open context has not run for this long, the
// context is gone. workerd holds a timeout back for at most 30 s, while
// concurrency is blocked.
const GONE_MS = 40_000;

// IDLE_MS is how long an object without events stays in Go. workerd evicts it
// after 10 s
// (https://developers.cloudflare.com/durable-objects/concepts/durable-object-lifecycle/),
// but does not notify Go.
const IDLE_MS = 10_000;

// If wasm memory exceeds CROWDED bytes, of the isolate's 128 MB, an idle object
// stays only for CROWDED_IDLE_MS.
const CROWDED = 80 << 20, CROWDED_IDLE_MS = 1000;

// CYCLE_MS: if an object's event has been open for this long with I/O in
// flight, Go looks for cycles of calls. It looks again after each half of that
// time.
export const CYCLE_MS = 10_000;

// INBOX is the size of Go's inbox, in bytes; must match internal/jsrt.
const INBOX = 4096;

// MAX_ID is the largest number that identifies something on both sides. After
// it, numbers start again.
const MAX_ID = 0x7fffffff;

// then is the original Promise.prototype.then, even if a promise overrides it.
// It calls back only once, and never synchronously.
const then = Function.prototype.call.bind(Promise.prototype.then);

const isTrap = (e) => e instanceof WebAssembly.RuntimeError || e instanceof RangeError;

// nowhere is the context of Go code that runs for no context, in callbacks of
// package syscall/js. It can do no I/O.
const nowhere = { id: 0, closed: false, isOver: false, lines: null };

// GLOBAL is the number that wasm_exec.js gives to globalThis. Package
// syscall/js sees globalThis with a fetch that fails, because the real one
// would run for the context that happens to have Go's stack. net/http returns
// the rejection's message.
const GLOBAL = 5;
const refused = () => Promise.reject(new Error("all requests of a Worker share the Go program, so http.Transport and syscall/js cannot know for which request they fetch" +
  "\nhint: import durable/durablehttp, and use http.DefaultTransport or durablehttp.Outbound"));
const visible = new Proxy(globalThis, {
  get(target, name) {
    if (name === "fetch") return refused;
    const value = target[name];
    return typeof value === "function" && !("prototype" in value) ? value.bind(target) : value;
  },
});

export class Runtime {
  constructor(module, { argv = ["js"], env = {} } = {}) {
    this.dead = null;          // the Error that ended the program
    this.running = false;      // Go has the stack
    this.isBelow = false;      // JavaScript called by Go is running, and may call js.Funcs
    this.isEnding = false;     // Go has printed why it ends
    this.lastID = 0;           // last number given to a context, invocation or waiting value
    this.isSecondRound = false; // numbers have started again
    this.lastTimer = 0;
    this.contexts = new Map(); // id → Context
    this.names = [];           // method names that Go has interned
    this.timers = new Map();   // Go's timeouts: id → deadline
    this.inFlight = 0;         // number of promises that Go waits for, and of turns asked for
    this.open = new Set();     // contexts in which something is open; the one watched last is at the end
    this.lastSweep = 0;        // when sweep last ran, in ms
    this.patience = CYCLE_MS;
    this.keeper = null;        // the context whose timeout is for Go's nearest deadline
    this.callbacks = new Set();  // js.Funcs that have not been called yet
    this.writer = new Writer();
    this.reader = new Reader();

    const go = Object.assign(this.go = new Go(), { argv, env });
    go.exit = (code) => this.end(Object.assign(new Error(`the Go program exited with code ${code}`), { code }));
    go._resume = () => this.resumeFromOutside();
    go._makeFuncWrapper = (id) => this.callback(go, id);
    for (const name of ["valueCall", "valueInvoke", "valueNew"]) this.watchCalls(go.importObject.gojs, `syscall/js.${name}`);
    Object.assign(go.importObject.gojs, { "runtime.wasmWrite": runtimeWrite(go) }, this.timerImports(go), noPendingEvent(go));
    go.importObject.capdo = this.boundaryImports();
    const instance = new WebAssembly.Instance(module, go.importObject);
    this.exports = instance.exports;
    this.boot(instance);
    this.inbox = this.exports?.capdo_inbox?.() >>> 0; // a test program need not have one
    if (this.dead) throw this.dead;
  }

  boot(instance) {
    this.begin(nowhere);
    try {
      this.go.run(instance).catch((e) => this.end(e));
      this.go._values[GLOBAL] = visible;
      this.callBack();
    } catch (e) {
      this.end(e);
    }
    this.finish(nowhere);
  }

  // describe asks the program what it registers. It returns undefined if main
  // has not called durable.Run.
  describe() {
    let description;
    this.describing = (v) => { description = v; };
    this.exports.capdo_describe();
    return description;
  }

  // end is called once, when the Go program has ended. Every open invocation
  // fails at once, each in its own context. Nothing may keep the program's
  // memory alive.
  end(error) {
    if (this.dead) return;
    this.running = false;
    const contexts = [nowhere, ...this.contexts.values()];
    const causes = contexts.map((c) => flush(c)).filter(Boolean);
    if (causes.length > 0) error.message += `: ${causes[0]}`;
    error.name = "GoRuntimeError";
    error.stack; // formats it; until then it holds the wasm frames and their memory
    error.goRuntimeExited = true;
    this.dead = error;
    if (causes.length === 0) this.report(error);
    const open = [...this.open];
    this.exports = this.go = this.view = this.u8 = this.reader = this.writer = this.keeper = null;
    for (const table of [this.contexts, this.timers, this.open, this.callbacks]) table.clear();
    forgetCallbacks();
    for (const c of open) {
      if (c.state) c.wake(); // the object is reset in its own turn
      else for (const call of [...c.calls.values()]) call.fail(error);
    }
  }

  // report logs why the program has ended, unless Go has logged it, and where a
  // trap was.
  report(error) { log(2, `capdo: ${error.message}${isTrap(error) ? error.stack.slice(error.stack.indexOf("\n")) : ""}`); }

  // begin and finish surround all code that runs with Go on the stack.
  begin(context) {
    this.running = true;
    this.isBelow = false;
    current.runtime = this;
    current.context = context;
  }
  finish(context) {
    this.running = false;
    current.runtime = current.context = null;
    if (!this.isEnding || this.dead) return;
    this.isEnding = false; // it was not the end: the program only printed similar text
    flush(context);
  }

  // enter calls an export of the Go program and lets Go run until every
  // goroutine waits. An export never waits: it records the event and returns,
  // and then resume runs the goroutines. So no goroutine is left runnable.
  enter(context, name, a, b, c, d) {
    if (this.running) this.interrupted();
    if (this.dead || context.closed || context.isOver) return;
    this.begin(context);
    try {
      this.exports[name](context.id, a, b, c, d);
      this.resume();
    } catch (e) {
      this.end(e); // a trap or a stack overflow: Go's state cannot be trusted any more
    }
    this.finish(context);
  }

  // interrupted is called when JavaScript starts a new turn although Go has not
  // returned from the last one.
  interrupted() { this.end(new Error("the Go program was interrupted by the platform (CPU or memory limit), or was called again by JavaScript that it had called")); }

  // isOver: the program has ended. Do not call it while Go is on the stack.
  isOver() {
    if (this.running) this.interrupted();
    return this.dead !== null;
  }

  // resume runs Go until every goroutine waits for a future event.
  resume() {
    this.exports?.resume();
    this.callBack();
  }
  callBack() {
    const isBelow = this.isBelow; // a callback may begin a transaction, which resumes Go below itself
    this.isBelow = true;
    while (!this.dead && callBack());
    this.isBelow = isBelow;
  }

  // watchCalls records when an import runs JavaScript that may call back.
  watchCalls(imports, name) {
    const f = imports[name];
    imports[name] = (sp) => {
      const isBelow = this.isBelow;
      this.isBelow = true;
      f(sp);
      this.isBelow = isBelow;
      if (this.dead) throw this.dead; // unwind the frames of the ended program
    };
  }

  // resumeFromOutside is called when a js.Func is called: by JavaScript that Go
  // has called, or outside of any turn. Then the context is unknown.
  resumeFromOutside() {
    if (this.running && this.isBelow) return this.resumeBelow();
    if (this.running) this.interrupted();
    if (this.dead) throw this.dead;
    this.enter(nowhere, "capdo_outside");
    this.handOver();
  }

  // resumeBelow is exports.resume below other frames of Go. If it throws, those
  // frames must not continue.
  resumeBelow() {
    try {
      this.exports.capdo_pin?.();
      this.exports.resume();
    } catch (e) {
      this.end(e);
      throw e;
    }
  }

  // callback replaces wasm_exec.js's _makeFuncWrapper. It creates the
  // JavaScript function behind a js.Func.
  callback(go, id) {
    const rt = this;
    function f(...args) {
      rt.callbacks.delete(f);
      if (rt.dead) throw rt.dead;
      const event = { id, this: this, args };
      go._pendingEvent = event;
      go._resume();
      return event.result;
    }
    this.callbacks.add(f);
    return f;
  }

  // turn enters Go, and ensures that the context is entered again in time.
  turn(context, name, a, b) {
    this.enter(context, name, a, b);
    this.watch(context);
  }

  // ---- Values and numbers --------------------------------------------------

  // fresh returns a number that identifies no context and nothing in a context.
  fresh(context) {
    do {
      if (this.lastID === MAX_ID) this.isSecondRound = true;
      this.lastID = this.lastID % MAX_ID + 1;
    } while (this.isSecondRound && (this.contexts.has(this.lastID) || context?.encoded.has(this.lastID) || context?.calls.has(this.lastID)));
    return this.lastID;
  }

  // memory makes u8 and view refer to Go's memory. When that memory grows, it
  // gets a new buffer and the old one becomes empty.
  memory() {
    if (this.u8?.byteLength > 0) return;
    this.u8 = new Uint8Array(this.exports.mem.buffer);
    this.view = new DataView(this.exports.mem.buffer);
  }

  // encode encodes v like Writer's encode; if v cannot be encoded, it encodes
  // the error. Reading a property may run JavaScript that also encodes; that
  // code uses another Writer. It may also call Go, whose memory grows; then v is
  // encoded outside of that memory.
  encode(v, context, memory, view, start, end) {
    const writer = this.writer ?? new Writer();
    this.writer = null;
    try {
      return writer.encode(v, context, memory, view, start, end);
    } catch (e) {
      if (memory?.length === 0) return this.encode(v, context, null, null, 0, 0);
      const refused = new TypeError(errorFields(e).message.slice(0, 200) || "a value that cannot be read");
      return writer.encode(Object.assign(refused, { valueRefused: true }), context, memory, view, start, end);
    } finally {
      writer.trim();
      if (!this.dead) this.writer = writer;
    }
  }

  // keep encodes a value for Go to take, and returns its size.
  keep(context, v, id) {
    const out = this.encode(v, context, null, null, 0, 0);
    context.encoded.set(id, out);
    return out.size;
  }

  // pass writes v into Go's inbox and returns its size, negated. If v does not
  // fit, or the inbox is being written, pass keeps v and returns its size.
  pass(context, v, id) {
    const isFree = this.writer !== null && !this.dead && this.inbox > 0;
    if (isFree) this.memory();
    const out = this.encode(v, context, isFree ? this.u8 : null, this.view, this.inbox, this.inbox + INBOX);
    if (out instanceof Encoded) {
      context.encoded.set(id, out);
      return out.size;
    }
    context.encoded.delete(id); // it was there for a promise
    return -out;
  }

  // pack writes v into Go's buffer and returns its size. If v does not fit,
  // pack keeps v and returns v's number, negated.
  pack(context, v, ptr, cap) {
    this.memory();
    const at = ptr >>> 0, out = this.encode(v, context, this.u8, this.view, at, Math.min(at + cap, this.u8.length));
    if (this.dead) throw this.dead; // reading the value has called Go, and Go has ended
    if (!(out instanceof Encoded)) return out;
    const id = this.fresh(context);
    context.encoded.set(id, out);
    return -id;
  }

  // drop forgets a value that was kept, and frees its references.
  drop(context, id) {
    for (const ref of context?.encoded.get(id)?.held ?? []) {
      abandon(context.refs[ref]);
      context.free(ref);
    }
    context?.encoded.delete(id);
  }

  unpack(context, ptr, size) {
    this.memory();
    return this.reader.decode(context, this.u8, this.view, ptr >>> 0, size);
  }

  // ---- Imports of package jsrt ---------------------------------------------
  // None may throw while the program lives, because that would unwind Go's
  // stack.

  boundaryImports() {
    const text = (ptr, size) => {
      this.memory();
      return utf8.decode(this.u8.subarray(ptr >>> 0, (ptr >>> 0) + size));
    };
    return {
      // intern gives a method or property name a number.
      intern: (ptr, size) => this.names.push(text(ptr, size)) - 1,

      // call calls a method of the value behind ref; if get is set, it reads a
      // property instead. It packs the result over the arguments. A name
      // without a number is the first of the arguments.
      call: (contextID, ref, name, get, ptr, size, cap) => {
        const context = this.contexts.get(contextID);
        setCaller(context);
        try {
          const args = get && name >= 0 ? [] : this.unpack(context, ptr, size);
          const key = name >= 0 ? this.names[name] : args.shift(), target = context.target(ref);
          let v = get ? target[key] : target[key](...args);
          if (!get && typeof v?.then === "function") v = this.await(context, v);
          return this.pack(context, v, ptr, cap);
        } catch (e) {
          if (this.dead) throw this.dead; // unwind the frames of the ended program
          return this.pack(context, asError(e), ptr, cap);
        }
      },

      // transact calls transactionSync with a Go function as the callback. Go
      // runs below Go here, as it does for a js.Func.
      transact: (contextID, ref, ptr, cap) => {
        const context = this.contexts.get(contextID);
        let isRunning = false, rolledBack = false, error;
        try {
          context.target(ref).transactionSync(() => {
            isRunning = true;
            this.exports.capdo_begin();
            this.resume();
            rolledBack = this.dead || !this.exports.capdo_end(contextID);
            isRunning = false;
            if (rolledBack) throw new Error("roll back");
          });
        } catch (e) {
          if (isRunning) this.end(e); // Go did not return, so its state cannot be trusted any more
          if (this.dead) throw this.dead;
          if (!rolledBack) error = asError(e);
        }
        return this.pack(context, error, ptr, cap);
      },

      // size and take pass a kept value to Go. take returns 1 for success, 0 if
      // the value's size differs from the space that Go has allocated, and -1
      // if the value has changed.
      size: (contextID, id) => this.contexts.get(contextID)?.encoded.get(id)?.size ?? 0,
      take: (contextID, id, ptr, size) => {
        this.memory();
        const context = this.contexts.get(contextID), value = context?.encoded.get(id);
        const isIn = value?.size === size && value.copy(this.u8, ptr >>> 0, size);
        if (!isIn) this.drop(context, id);
        context?.encoded.delete(id);
        return isIn ? 1 : value?.size === size ? -1 : 0;
      },
      discard: (contextID, id) => { this.drop(this.contexts.get(contextID), id); },

      // reply answers an invocation and sets its next phase; see the phases in
      // jsrt.
      reply: (contextID, id, ptr, size, phase) => {
        if (id === 0) return this.describing(this.unpack(null, ptr, size));
        const context = this.contexts.get(contextID), call = context?.calls.get(id);
        if (!call) return; // nobody waits for it any more
        let v;
        try {
          v = this.unpack(context, ptr, size);
        } catch (e) {
          v = asError(e);
        }
        call.reply(v, phase);
      },
      proceed: (contextID, id, phase) => { this.contexts.get(contextID)?.calls.get(id)?.proceed(phase); },

      // wake asks for a context's turn: goroutines have I/O to do in it.
      wake: (contextID) => { this.contexts.get(contextID)?.wake(); },
      free: (contextID, ref) => { this.contexts.get(contextID)?.free(ref); },
    };
  }

  // await registers a promise, or another object with a then method, as a value
  // that arrives later.
  await(context, thenable) {
    const id = this.fresh(context), promise = Promise.resolve(thenable);
    context.encoded.set(id, null);
    context.addPromise(1);
    const settle = (v) => {
      context.addPromise(-1);
      if (this.dead) context.abort();
      if (this.dead || context.closed) return abandon(v);
      const isSimple = v instanceof Uint8Array || typeof v !== "object" && typeof v !== "function";
      const size = isSimple ? this.pass(context, v, id) : this.keep(context, v, id);
      dispose(v);
      this.turn(context, "capdo_settle", id, size);
      context.rest();
    };
    try {
      then(promise, settle, (e) => settle(asError(e)));
    } catch (e) { // its constructor property is not a constructor
      context.encoded.delete(id);
      context.addPromise(-1);
      throw e;
    }
    return new Pending(id);
  }

  // ---- Time ----------------------------------------------------------------
  // Go keeps one timeout for its nearest deadline; here it is a number. Each
  // context in which something is open has one setTimeout. In the context that
  // keeps the time, it is for that deadline; in the others, it checks once a
  // second that some context keeps the time. Contexts in which nothing is open
  // have none, because workerd would neither evict such an object nor stop
  // charging for it.

  timerImports(go) {
    return {
      "runtime.scheduleTimeoutEvent": (sp) => {
        sp >>>= 0;
        const delay = go.mem.getUint32(sp + 8, true) + go.mem.getInt32(sp + 12, true) * 4294967296;
        do this.lastTimer = this.lastTimer % MAX_ID + 1; while (this.timers.has(this.lastTimer));
        this.timers.set(this.lastTimer, Date.now() + delay);
        go.mem.setInt32(sp + 16, this.lastTimer, true);
      },
      "runtime.clearTimeoutEvent": (sp) => { this.timers.delete(go.mem.getInt32((sp >>> 0) + 8, true)); },
    };
  }

  // deadline returns the nearest deadline of Go's timers.
  deadline() {
    let at = Infinity;
    for (const t of this.timers.values()) if (t < at) at = t;
    return at;
  }

  // isKept reports whether a living context has a timeout for a deadline.
  isKept(deadline, now) {
    const timeout = this.keeper?.timeout;
    return Boolean(timeout) && timeout.at <= deadline && timeout.at >= now - LATE_MS && !this.keeper.closed;
  }

  // watch sets a context's timeout. It runs in that context.
  watch(context) {
    if (this.dead) return context.abort();
    if (context.closed || !context.isOpen()) return;
    const now = Date.now(), deadline = this.deadline();
    let at = now + (context.isExclusive ? SECTION_MS : WATCH_MS);
    if (deadline < at && (context.isExclusive || this.keeper === context || !this.isKept(deadline, now))) {
      at = Math.max(deadline, now);
      if (!context.isExclusive) this.keeper = context;
    }
    context.watchedAt = now;
    this.open.delete(context);
    this.open.add(context);
    if (context.timeout && context.timeout.at <= at) return;
    context.setTimeout(at, now);
  }

  // look runs when a context's timeout fires, in that context. If the timeout
  // was late, look does not conclude that other contexts are gone, because the
  // machine may have been asleep.
  look(context, at) {
    if (this.running) this.interrupted();
    if (this.dead) return context.abort(); // in a critical section, wake cannot reset the object
    if (context.closed) return;
    const now = Date.now();
    if (now - at < WATCH_MS) this.forget(now);
    this.sweep(now);
    if (this.deadline() <= now || context.isExclusive) this.enter(context, "capdo_tick");
    context.look(now);
    this.watch(context);
    if (this.keeper === context && !context.timeout) this.handOver();
  }

  // handOver wakes a context that can keep the time.
  handOver() {
    this.keeper = null;
    const now = Date.now();
    if (this.deadline() >= now + WATCH_MS) return; // another context looks before that
    for (const c of this.open) if (!c.isExclusive && !(c.timeout?.at < now - LATE_MS)) return c.wake();
  }

  // forget closes contexts that are gone.
  forget(now) {
    const [oldest] = this.open;
    if (oldest?.watchedAt < now - GONE_MS) oldest.close();
  }

  // sweep forgets objects without events. It runs at most once a second, while
  // there is activity. If a goroutine in such an object waits for I/O outside
  // of an event, sweep asks for a turn; an object that still lives takes it.
  sweep(now) {
    if (now < this.lastSweep + WATCH_MS && now >= this.lastSweep) return;
    const wasAwake = now < this.lastSweep + 2 * WATCH_MS; // otherwise the machine was asleep, or nothing happened
    this.lastSweep = now;
    const before = now - (this.u8?.byteLength > CROWDED ? CROWDED_IDLE_MS : IDLE_MS);
    for (const c of this.contexts.values()) {
      if (!c.state || c.isOpen() || c.idleSince >= before) continue;
      if (c.promises === 0 || (wasAwake && c.isAsked && c.askedAt < now - GONE_MS)) c.close();
      else {
        c.wake();
        c.idleSince = now;
      }
    }
  }

  // quiet reports whether nothing is in flight that could wake a goroutine.
  quiet() {
    for (const f of this.callbacks) if (!this.go._ids.has(f)) this.callbacks.delete(f); // Go's collector has freed it
    return this.timers.size === 0 && this.inFlight === 0 && this.callbacks.size === 0;
  }
}

// noPendingEvent: each resume asks whether a js.Func was called. Usually none
// was. It answers that without decoding the property's name: no other one that
// Go reads of its Go object has that length. Addresses and ids are those of
// wasm_exec.js. From then on Go may switch goroutines (pin in package jsrt).
function noPendingEvent(go) {
  const valueGet = go.importObject.gojs["syscall/js.valueGet"];
  const GO = 6, NULL_ID = 2, NAN_HEAD = 0x7FF80000, LENGTH = "_pendingEvent".length;
  return {
    // func valueGet(v ref, p string) ref
    "syscall/js.valueGet": (sp) => {
      const { mem } = go, at = sp >>> 0;
      if (mem.getUint32(at + 8, true) !== GO || mem.getUint32(at + 24, true) !== LENGTH) return valueGet(sp);
      go._inst.exports.capdo_unpin?.();
      if (go._pendingEvent !== null) return valueGet(sp);
      mem.setUint32(at + 32, NULL_ID, true);
      mem.setUint32(at + 36, NAN_HEAD, true);
    },
  };
}
