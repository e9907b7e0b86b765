// The JavaScript half of capdo. It runs one Go program per isolate. The
// generated entry.mjs uses this module. The other modules are
//
//   value.mjs      how values cross the boundary
//   runtime.mjs    the Go program: boot and end, imports, time
//   context.mjs    I/O contexts and invocations
//   host.mjs       JavaScript functions that Go calls
//   websocket.mjs  WebSockets that Go reads
//   stdio.mjs      Go's standard output, and files

import { Context } from "./context.mjs";
import { cancel, headerText, host, refuse, withHeaders } from "./host.mjs";
import { Runtime } from "./runtime.mjs";
import { ByRef, asError } from "./value.mjs";
import { Inbox, messageBytes, socketID } from "./websocket.mjs";

let boot = null; // makes a Runtime
let live = null; // the Runtime that serves this isolate, until its Go program ends

// start sets the program: a compiled WebAssembly.Module, or a function that
// returns a Runtime.
export function start(program) { boot = typeof program === "function" ? program : () => new Runtime(program); }

// runtime returns the live Runtime and boots one if there is none. It boots
// synchronously, inside a handler or a constructor. At the top level of a
// module, workerd refuses random values and timers. With a shared promise,
// workerd would kill the second request as hung.
export function runtime() {
  if (!live || live.isOver()) live = boot();
  return live;
}

// Kinds of invocation; must match internal/jsrt.
export const CONSTRUCT = 0, FETCH = 1, ALARM = 2, METHOD = 3, TEST = 4, MESSAGE = 5, CLOSE = 6, ERR = 7, SCHEDULED = 8, QUEUE = 9;

// GoObject is the Go side of one Durable Object instance. Go may forget an idle
// object, and the Go program may end. The next event then constructs the object
// again, as after an eviction.
export class GoObject {
  constructor(index, state, env) {
    this.index = index;
    this.state = state;
    this.env = env;
    this.context = null;
    this.building = null;
    this.build((e, context) => context.close()); // workerd resets an object whose constructor throws
  }
  // build runs the Go constructor. While it waits, invoke holds events back.
  // blockConcurrencyWhile would not work: nothing outside its critical section
  // can wake code inside, so a constructor that waits for another context's
  // goroutine would hang.
  build(failed) {
    const context = this.context = new Context(runtime(), this.state);
    this.building = null;
    let built;
    try {
      built = context.invoke(CONSTRUCT, this.index, [this.state, new ByRef(this.env)]);
    } catch (e) {
      failed(e, context);
      throw e;
    }
    if (!(built instanceof Promise)) return;
    const isCurrent = () => this.context === context; // otherwise the program has ended, and the object was built again
    const done = () => { if (isCurrent()) this.building = null; };
    this.building = built.then(done, (e) => { if (isCurrent()) context.reset(e); });
  }
  invoke(kind, index, args, options) {
    if (this.context.rt.isOver() || this.context.closed) this.build((e, context) => context.reset(e));
    if (this.building) return this.building.then(() => this.invoke(kind, index, args, options)); // Go may have forgotten it since
    return this.context.invoke(kind, index, args, options);
  }
  method(index, args) { return this.invoke(METHOD, index, args); }
  alarm(info) { return this.invoke(ALARM, 0, [info?.scheduledTime, info?.retryCount ?? 0, info?.isRetry ?? false]); }
  fetch(request) { return respond(this.invoke(FETCH, 0, requestParts(request), { request })); }
  webSocketMessage(ws, data) { return this.invoke(MESSAGE, 0, [socketID(ws), ws, typeof data === "string", messageBytes(data)]); }
  webSocketClose(ws, code, reason, wasClean) { return this.invoke(CLOSE, 0, [socketID(ws), ws, code, reason.toWellFormed(), wasClean]); }
  webSocketError(ws, error) { return this.invoke(ERR, 0, [socketID(ws), ws, error]); }
}

// SMALL: if a body's announced length is at most this, it crosses together with
// its request.
const SMALL = 16 << 10;

// fetchWorker serves the stateless Worker's fetch event.
export function fetchWorker(request, env, execution) {
  const serve = (body) => {
    const options = { request, background: (p) => execution.waitUntil(p) };
    return respond(new Context(runtime(), null).invoke(FETCH, 0, [...requestParts(request, body), new ByRef(env)], options));
  };
  const { body } = request;
  if (!body) return serve(null);
  const length = request.headers.get("content-length"), size = length === null ? NaN : Number(length);
  return Number.isInteger(size) && size >= 0 && size <= SMALL ? readSmall(body, size).then(serve) : serve(body);
}

// EVENT_MS is how long workerd gives a cron trigger or a batch of messages, with
// its work in the background.
// https://developers.cloudflare.com/workers/platform/limits/#duration
const EVENT_MS = 900_000;

// scheduledWorker and queueWorker serve the stateless Worker's cron triggers and
// queues. They are async, so that an error is always a rejected promise. The
// body of a message stays in JavaScript until Go asks for it: if Go cannot have
// one, that does not affect the others.
export async function scheduledWorker(controller, env, execution) {
  await event(SCHEDULED, [controller.cron, controller.scheduledTime, new ByRef(controller)], env, execution, EVENT_MS);
}
export async function queueWorker(batch, env, execution) {
  const messages = batch.messages.map((m) => [m.id, m.timestamp, m.attempts, new ByRef(m)]);
  // with this flag only the handler has that time
  const limit = globalThis.Cloudflare?.compatibilityFlags.queue_consumer_no_wait_for_wait_until ? undefined : EVENT_MS;
  await event(QUEUE, [batch.queue, messages, new ByRef(batch)], env, execution, limit);
}

const event = (kind, args, env, execution, limit) =>
  new Context(runtime(), null).invoke(kind, 0, [...args, new ByRef(env)], { limit, background: (p) => execution.waitUntil(p) });

// requestParts returns a request's method, URL and headers as one string, which
// takes less time than three, and its body. The URL of a request that JavaScript
// has made may contain newlines, with the flag fetch_legacy_url.
const requestParts = (r, body = r.body) => [`${r.method}\n${r.url.replaceAll("\n", "%0A")}\n${headerText(r.headers)}`, body];

// readSmall reads a body to its end, or up to one byte beyond its announced
// size. It returns the bytes; if there is more, the bytes and the rest of the
// body; or the error.
async function readSmall(body, size) {
  let reader;
  try {
    reader = body.getReader({ mode: "byob" });
  } catch {
    return body; // the stream was made in JavaScript, or already has a reader
  }
  try {
    const { value } = await reader.readAtLeast(size + 1, new Uint8Array(size + 1));
    if (!(value?.length > size)) return value ?? new Uint8Array();
    reader.releaseLock();
    return [value, body];
  } catch (e) {
    return asError(e);
  }
}

// newResponse passes as few options as possible, because each takes time.
function newResponse(status, body, webSocket, isEncoded) {
  if (isEncoded) return new Response(body, { status, encodeBody: "manual" });
  if (webSocket) return new Response(body, { status, webSocket });
  return status === 200 ? new Response(body) : new Response(body, { status });
}

const respond = (parts) => parts instanceof Promise ? parts.then(response) : response(parts);

function response([status, headers, body, webSocket, isEncoded]) {
  try {
    return withHeaders(newResponse(status, body, webSocket, isEncoded), headers);
  } catch (e) { // for example, the status allows no body: nobody will read what Go writes
    cancel(body, e);
    if (webSocket) refuse(webSocket, "the response was refused");
    throw e;
  }
}

// When a class has no instance at a garbage collection, V8 discards its shape
// and the code optimized for it. The hottest functions were compiled again 20
// to 35 times in 18,000 calls. So each class has a permanent instance.
const noRuntime = { fresh: () => 0, contexts: new Map() }, noContext = new Context(noRuntime, null);
export const shapes = [noContext, new Inbox(null, noContext), host];

// stats returns the sizes of the tables, for tests that look for leaks.
export function stats() {
  const contexts = [...live?.contexts.values() ?? []], sum = (f) => contexts.reduce((n, c) => n + f(c), 0);
  return {
    contexts: contexts.length, open: live?.open.size, idle: sum((c) => c.isIdle()), encoded: sum((c) => c.encoded.size), timers: live?.timers.size,
    inFlight: live?.inFlight, calls: sum((c) => c.calls.size), sockets: sum((c) => c.sockets.size),
    refs: sum((c) => c.refs.length - c.unused.length - 1), memory: live?.exports?.mem.buffer.byteLength,
  };
}
