// Contexts and invocations: who may run when, what is open in whom, and what
// becomes of it when a caller, an object or the program ends.

import { host } from "./host.mjs";
import { flush } from "./stdio.mjs";

// DEADLOCK_MS: a stateless request that waits is deadlocked when nothing at all
// has been in flight for so long.
const DEADLOCK_MS = 5000;

// workerd ends what a stateless invocation still does 30 s after its client has
// its answer or has gone. TIME_UP_MS after that its goroutines are told that
// time is up, and CLOSE_MS after it its I/O ends, so that none is left waiting
// with a lock in its hands.
// https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil
const TIME_UP_MS = 24_000, CLOSE_MS = 28_000;

// What of an invocation goes on; must match internal/jsrt.
const TASKS = 0, OVER = 1, BODY = 2;

// STATELESS is added to the kind of an invocation whose context ends with it;
// must match internal/jsrt.
const STATELESS = 1 << 8;

// Invocation is one call into Go. Its answer is there at once when Go did not
// have to wait, else it is promised.
export class Invocation {
  constructor(context, id) {
    this.context = context;
    this.id = id;
    this.value = undefined;
    this.isAnswered = false;
    this.isOver = false;
    this.doneAt = 0;    // when its client had its answer, or had gone, in ms; 0 before
    this.settle = null; // {resolve, reject} of a promised answer
    this.ended = null;  // called when it is over
    this.seenAt = 0;    // when a look has first found it the oldest, in ms
  }

  // isUpgraded: the answer is a WebSocket, so its client has all of it when that is closed.
  get isUpgraded() { return this.value?.[0] === 101; }

  reply(v, phase) {
    this.value = v;
    this.isAnswered = true;
    if (this.settle) v instanceof Error ? this.settle.reject(v) : this.settle.resolve(v);
    this.proceed(phase);
  }
  proceed(phase) {
    if (phase === TASKS) this.doneAt ||= Date.now();
    if (phase !== OVER) return;
    this.isOver = true;
    this.context.over();
    this.context.calls.delete(this.id);
    if (this.context.state) this.context.idleSince = Date.now();
    this.ended?.();
  }
  fail(error) {
    if (this.isAnswered) this.proceed(OVER);
    else this.reply(error, OVER);
  }
  answer() {
    if (!this.isAnswered) return (this.settle = Promise.withResolvers()).promise;
    if (this.value instanceof Error) throw this.value;
    return this.value;
  }
}

export class Context {
  constructor(rt, state) {
    this.rt = rt;
    this.state = state; // the DurableObjectState, or null for a stateless invocation
    this.id = rt.fresh();
    this.refs = [host];
    this.unused = [];
    this.calls = new Map(); // invocations that are not over
    this.encoded = new Map(); // values for Go to take: id → Encoded, or null for a promise that has not settled
    this.sockets = new Set(); // WebSockets that Go reads
    this.promises = 0;  // that Go waits for
    this.closed = false;
    this.isOver = false; // Go has closed it
    this.isAsked = false; // for a turn
    this.askedAt = 0;
    this.isListening = false;
    this.isExclusive = false; // a critical section is under way
    this.notify = null;   // resolves what listen awaits
    this.timeout = null;  // {at, handle}
    this.watchedAt = 0;
    this.idleSince = state ? Date.now() : 0; // in ms; objects only
    this.quietSince = 0;  // when nothing was in flight any more
    this.lookedAt = 0;    // when Go last looked for cycles of calls
    this.lines = null;    // of output
    rt.contexts.set(this.id, this);
    if (state) this.listen();
  }

  // ---- References that Go holds --------------------------------------------

  hold(v) { const ref = this.unused.pop() ?? this.refs.length; this.refs[ref] = v; return ref; }
  free(ref) {
    if (this.refs[ref] === undefined || ref === 0) return; // nobody has it: freed twice, a number would be two values'
    this.refs[ref] = undefined;
    this.unused.push(ref);
  }
  target(ref) {
    if (this.refs[ref] === undefined) throw new TypeError("the handle has been released");
    return this.refs[ref];
  }

  // ---- Turns ---------------------------------------------------------------

  // wake asks for a turn, from whatever context runs.
  wake() {
    if (this.isAsked || this.closed) return;
    this.isAsked = true;
    this.askedAt = Date.now();
    this.rt.inFlight++;
    this.notify?.();
  }

  // listen takes the turns that are asked for: anyone may resolve a promise,
  // and workerd runs what awaits it in the context that created it
  // (handle_cross_request_promise_resolution, compatibility date 2024-10-14).
  // Another turn may be asked for in one.
  async listen() {
    if (this.isListening) return;
    for (this.isListening = true; ;) {
      await (this.isAsked ? null : this.notice());
      if (this.rt.dead) return this.abort();
      if (this.closed) return;
      this.isAsked = false;
      this.rt.inFlight--;
      this.rt.turn(this, "capdo_tick");
    }
  }

  // notice is a promise that a turn is asked for. (Promise.withResolvers, not
  // new Promise: when V8 optimizes that, the promise belongs to no context, and
  // what awaits it runs in the one that resolves it.)
  notice() {
    const { promise, resolve } = Promise.withResolvers();
    this.notify = resolve;
    return promise;
  }

  setTimeout(at, now) {
    this.clearTimeout();
    const handle = setTimeout(() => {
      if (this.timeout?.handle === handle) this.timeout = null;
      this.rt.look(this, at);
    }, at - now);
    this.timeout = { at, handle };
  }
  clearTimeout() { // only in this context
    if (this.timeout) clearTimeout(this.timeout.handle);
    this.timeout = null;
  }

  // enterSection: workerd holds back timeouts that were set before, and its
  // clock does not go beyond them.
  enterSection() {
    this.isExclusive = true;
    this.clearTimeout();
  }
  leaveSection() {
    this.isExclusive = false;
    this.clearTimeout();
  }

  // ---- Invocations ---------------------------------------------------------

  // invoke calls Go and returns its answer, or a promise of it. The signal of
  // request says that the caller went away; it is made when it is first asked
  // for. background keeps a stateless context alive until
  // the invocation is over (ExecutionContext.waitUntil). An object's would get
  // no turn after the answer, either.
  invoke(kind, index, args, { request, background } = {}) {
    const { rt } = this, id = rt.fresh(this), size = rt.pass(this, args, id), call = new Invocation(this, id);
    this.calls.set(id, call);
    rt.enter(this, "capdo_invoke", id, size, this.state ? kind : kind | STATELESS, index);
    if (call.isOver) { // the common case: nothing was armed for it
      this.rest();
      return call.answer();
    }
    if (rt.dead || this.closed) {
      this.abort();
      throw rt.dead ?? new Error("the object's instance is gone");
    }
    const { promise, resolve } = Promise.withResolvers(), ended = promise.then(() => this.rest());
    call.ended = resolve;
    if (this.state) this.state.waitUntil(ended);
    else background?.(ended);
    request?.signal.addEventListener("abort", () => { if (!call.isOver) this.cancel(call); });
    this.listen();
    rt.watch(this);
    return call.answer();
  }

  // cancel tells Go that an invocation's caller went away.
  cancel(call) {
    call.doneAt ||= Date.now();
    this.rt.turn(this, "capdo_cancel", call.id);
  }

  // look is what a context does from time to time while it waits.
  look(now) {
    for (const inbox of [...this.sockets]) inbox.look(now);
    if (this.calls.size === 0) return;
    const { rt } = this, [call] = this.calls.values();
    if (this.state) return this.lookForCycles(call, now);
    if (call.doneAt && call.isUpgraded && this.sockets.size > 0) call.doneAt = now;
    if (call.doneAt && now - call.doneAt > CLOSE_MS) return this.close();
    if (call.doneAt && now - call.doneAt > TIME_UP_MS) return rt.enter(this, "capdo_time_up", call.id);
    if (!rt.quiet()) this.quietSince = 0;
    else if ((this.quietSince ||= now) <= now - DEADLOCK_MS) rt.enter(this, "capdo_deadlock", call.id);
  }

  lookForCycles(oldest, now) {
    const { patience } = this.rt;
    oldest.seenAt ||= now;
    if (this.promises === 0 || now - oldest.seenAt < patience || now - this.lookedAt < patience / 2) return;
    this.lookedAt = now;
    this.rt.enter(this, "capdo_look", patience);
  }

  // ---- Ends ----------------------------------------------------------------

  isOpen() { return this.calls.size > 0 || this.sockets.size > 0 || this.isExclusive; }

  addPromise(n) {
    this.promises += n;
    if (!this.closed) this.rt.inFlight += n;
  }
  addSocket(inbox) {
    this.sockets.add(inbox);
    this.listen();
  }
  removeSocket(inbox) { if (this.sockets.delete(inbox)) this.rest(); }

  // rest is called when something is over. Where nothing is open any more,
  // nothing may hold the object, and Go can let go of it; a stateless context
  // ends.
  rest() {
    const { rt, state } = this;
    if (this.calls.size > 0) return;
    if (this.lines) flush(this);
    if (!state) {
      this.close();
      for (const inbox of [...this.sockets]) inbox.leave();
    }
    if (this.isOpen()) return rt.watch(this);
    if (this.timeout && state) this.clearTimeout(); // a stateless context's ends with it
    rt.open.delete(this);
    if (rt.dead) return;
    if (rt.keeper === this) rt.handOver();
    this.idleSince = Date.now();
    rt.sweep(this.idleSince);
  }
  isIdle() { return this.state !== null && this.promises === 0 && !this.isOpen(); }

  // over: Go closes a stateless context with its invocation.
  over() { if (!this.state) this.isOver = true; }

  // close tells Go that the context is gone: goroutines that still want its I/O
  // get an error. What it holds is forgotten.
  close() {
    const { rt } = this;
    if (this.closed) return;
    if (!this.isOver) rt.enter(this, "capdo_close");
    this.closed = true;
    rt.contexts.delete(this.id);
    rt.open.delete(this);
    rt.inFlight -= this.promises + (this.isAsked ? 1 : 0);
    this.refs = [host];
    this.unused = [];
    this.encoded.clear();
    if (!this.state) for (const call of [...this.calls.values()]) call.fail(new Error("the invocation has been ended"));
    if (rt.keeper === this) rt.handOver();
  }

  // reset has workerd build the object anew: its open calls fail, and writes
  // that nobody was told about go.
  reset(...reason) {
    this.close();
    this.state.abort(...reason);
  }

  // abort does so when the object's Go program died under its open calls.
  abort() { if (this.rt.dead && (this.isOpen() || this.isExclusive)) this.state?.abort(this.rt.dead); }
}

