// Contexts and invocations. This module decides who may run when, tracks what
// is open in each context, and cleans up when a caller, an object or the
// program ends.

import { host } from "./host.mjs";
import { flush } from "./stdio.mjs";

// DEADLOCK_MS: a waiting stateless request is deadlocked if nothing has been in
// flight for this long.
const DEADLOCK_MS = 5000;

// workerd ends the work of a stateless invocation 30 s after its client has the
// answer or has left. TIME_UP_MS after that event, goroutines get ErrTimeUp.
// CLOSE_MS after it, their I/O ends, so that no goroutine waits forever while
// it holds a lock.
// https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil
const TIME_UP_MS = 24_000, CLOSE_MS = 28_000, END_MS = 30_000;

// The phases of an invocation; must match internal/jsrt.
const TASKS = 0, OVER = 1, BODY = 2;

// STATELESS is added to an invocation's kind if its context ends with it; must
// match internal/jsrt.
const STATELESS = 1 << 8;

// Invocation is one call into Go. If Go does not have to wait, the answer is
// available at once; otherwise it is a promise.
export class Invocation {
  constructor(context, id) {
    this.context = context;
    this.id = id;
    this.value = undefined;
    this.isAnswered = false;
    this.isOver = false;
    this.doneAt = 0;    // when its client got the answer or left, or END_MS before its limit, in ms; 0 before
    this.settle = null; // {resolve, reject} of a promised answer
    this.ended = null;  // called when it is over
    this.seenAt = 0;    // when look first found that it is the oldest, in ms
  }

  // isUpgraded: the answer is a WebSocket. Its client has the whole answer when
  // the WebSocket is closed.
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
    this.encoded = new Map(); // values for Go to take: id → Encoded, or null while a promise has not settled
    this.sockets = new Set(); // WebSockets that Go reads
    this.promises = 0;  // number of promises that Go waits for
    this.closed = false;
    this.isOver = false; // Go has closed it
    this.isAsked = false; // Go has asked for a turn
    this.askedAt = 0;
    this.isListening = false;
    this.isExclusive = false; // a critical section runs
    this.notify = null;   // resolves the promise that listen awaits
    this.timeout = null;  // {at, handle}
    this.watchedAt = 0;
    this.idleSince = state ? Date.now() : 0; // in ms; objects only
    this.quietSince = 0;  // since when nothing has been in flight; 0 if something is
    this.lookedAt = 0;    // when Go last looked for cycles of calls
    this.lines = null;    // output lines
    rt.contexts.set(this.id, this);
    if (state) this.listen();
  }

  // ---- References that Go holds --------------------------------------------

  hold(v) { const ref = this.unused.pop() ?? this.refs.length; this.refs[ref] = v; return ref; }
  free(ref) {
    if (this.refs[ref] === undefined || ref === 0) return; // free already: freed twice, a number would refer to two values
    this.refs[ref] = undefined;
    this.unused.push(ref);
  }
  target(ref) {
    if (this.refs[ref] === undefined) throw new TypeError("the handle has been released");
    return this.refs[ref];
  }

  // ---- Turns ---------------------------------------------------------------

  // wake asks for a turn; it can be called in any context.
  wake() {
    if (this.isAsked || this.closed) return;
    this.isAsked = true;
    this.askedAt = Date.now();
    this.rt.inFlight++;
    this.notify?.();
  }

  // listen takes the turns that are asked for. Any context may resolve a
  // promise; workerd then runs the code that awaits it in the context that
  // created it (handle_cross_request_promise_resolution, compatibility date
  // 2024-10-14). During a turn, another one may be asked for.
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

  // notice returns a promise that resolves when a turn is asked for. It uses
  // Promise.withResolvers: when V8 optimizes new Promise, the promise belongs
  // to no context, and the code that awaits it runs in the context that
  // resolves it.
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

  // enterSection clears the timeout, because workerd holds back timeouts that
  // were set before a section. Also, its clock does not go beyond them.
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
  // request reports that the caller has left; reading request.signal creates
  // it. background keeps a stateless context alive until the invocation is over
  // (ExecutionContext.waitUntil). For objects, state.waitUntil does the same;
  // without it they would get no turn after the answer. limit is the time, in
  // ms, after which workerd ends everything, before or after the answer.
  invoke(kind, index, args, { request, background, limit } = {}) {
    const { rt } = this, id = rt.fresh(this), size = rt.pass(this, args, id), call = new Invocation(this, id);
    if (limit) call.doneAt = Date.now() + limit - END_MS;
    this.calls.set(id, call);
    rt.enter(this, "capdo_invoke", id, size, this.state ? kind : kind | STATELESS, index);
    if (call.isOver) { // the common case: nothing else to set up
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

  // cancel notifies Go that an invocation's caller has left.
  cancel(call) {
    call.doneAt ||= Date.now();
    this.rt.turn(this, "capdo_cancel", call.id);
  }

  // look runs from time to time while the context waits.
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

  // rest is called when something has ended. If nothing is open any more, an
  // object releases everything it holds, so that Go can forget it. A stateless
  // context ends.
  rest() {
    const { rt, state } = this;
    if (this.calls.size > 0) return;
    if (this.lines) flush(this);
    if (!state) {
      this.close();
      for (const inbox of [...this.sockets]) inbox.leave();
    }
    if (this.isOpen()) return rt.watch(this);
    if (this.timeout && state) this.clearTimeout(); // a stateless context's timeout ends with it
    rt.open.delete(this);
    if (rt.dead) return;
    if (rt.keeper === this) rt.handOver();
    this.idleSince = Date.now();
    rt.sweep(this.idleSince);
  }
  isIdle() { return this.state !== null && this.promises === 0 && !this.isOpen(); }

  // over: Go closes a stateless context together with its invocation.
  over() { if (!this.state) this.isOver = true; }

  // close notifies Go that the context is gone: goroutines that still want to
  // do I/O in it get an error. It forgets everything that the context holds.
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

  // reset makes workerd construct the object again. Open calls fail, and
  // unconfirmed writes are lost.
  reset(...reason) {
    this.close();
    this.state.abort(...reason);
  }

  // abort resets the object if its Go program ended while calls were open.
  abort() { if (this.rt.dead && (this.isOpen() || this.isExclusive)) this.state?.abort(this.rt.dead); }
}

