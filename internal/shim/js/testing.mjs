// Runs a Go test program inside workerd for capdo exec: GET /run starts it and
// answers when it has ended. The tests' goroutines use the I/O context of that
// request. The objects that they call are in this isolate too, in the same Go
// program.

import { written } from "./testfs.mjs"; // before wasm_exec.js
import * as restart from "./restart.mjs";
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import { retryable } from "cloudflare:durable-objects";
import unsafe from "workerd:unsafe";
import { Context } from "./context.mjs";
import { CYCLE_MS, Runtime, WATCH_MS } from "./runtime.mjs";
import { GoObject, fetchWorker, queueWorker, scheduledWorker, start, runtime, TEST } from "./shim.mjs";
import { redirect } from "./stdio.mjs";
import { ByRef } from "./value.mjs";
import program from "./app.wasm";
import config from "./test.json"; // {argv, env, outputs, begin, timeout and hang in ms, classes: binding → class}

// Go's output goes to the host byte by byte, in lines that nothing else prints.
const emit = (fd, bytes) => console.log(`\x01${fd}${bytes.toBase64()}`);
const say = (text) => emit(2, new TextEncoder().encode(`capdo: ${text}\n`));
redirect(emit);

// ---- The program -----------------------------------------------------------

let entries = 0;               // how often Go was entered
let ahead = 0n;                // how far Go's clock is put forward, in ns
let deadline = Number.MAX_VALUE; // of -timeout, in ms: a timer due after it cannot wake a test

let frozen = null;               // the state of a program from the previous workerd

class TestRuntime extends Runtime {
  boot(instance) {
    this.waiting = new Set(); // promises that the tests' goroutines wait for
    if (config.timeout > 0) deadline = config.begin + config.timeout;
    if (frozen) restart.thaw(this, instance, frozen);
    else super.boot(instance);
  }
  await(context, promise) {
    const pending = super.await(context, promise);
    if (promise === this.restarting) this.restartID = pending.id;
    if (!context.state) {
      const settled = () => { this.waiting.delete(pending.id); };
      this.waiting.add(pending.id);
      promise.then(settled, settled);
    }
    return pending;
  }
  timerImports(go) {
    const nanotime = go.importObject.gojs["runtime.nanotime1"];
    return {
      ...super.timerImports(go),
      "runtime.nanotime1": (sp) => {
        nanotime(sp);
        if (ahead) go.mem.setBigInt64((sp >>> 0) + 8, go.mem.getBigInt64((sp >>> 0) + 8, true) + ahead, true);
      },
    };
  }
  // enter: a program that does not use package durabletest needs no events, and
  // may lack the exports. It only continues.
  enter(context, name, ...args) {
    if (this.isFrozen) return; // it continues in another workerd
    if (name !== "capdo_look") entries++; // a look is not an event of the test
    this.isTold ??= Boolean(this.exports?.capdo_describe && this.describe());
    super.enter(context, this.isTold ? name : "resume", ...args);
  }
  // end: the program is over, so objects need no notice. Some were deleted long
  // ago.
  end(error) {
    for (const c of this.open) if (c.state) this.open.delete(c);
    super.end(error);
  }
  report() {} // run reports it
}

let begun = false;
const early = []; // functions to call after the program has begun
start(() => {
  if (begun) throw new Error("the test program is over");
  begun = true;
  return new TestRuntime(program, { argv: config.argv, env: config.env });
});

class TestContext extends Context {
  // look ends a program in which nothing happens any more. Before that, the
  // objects look for calls that wait for each other. Go prints where its
  // goroutines wait: as at the end of -timeout, or without -timeout, as when it
  // finds a deadlock.
  look(now) {
    const { rt } = this, isWaiting = rt.deadline() < deadline;
    if (isWaiting || this.seen !== entries) {
      this.seen = entries;
      this.since = now;
    }
    const quiet = now - this.since;
    rt.patience = quiet < config.hang ? CYCLE_MS : 0;
    if (quiet < config.hang + (rt.open.size > 1 ? 2 * WATCH_MS : 0)) return;
    const promises = [...rt.contexts.values()].reduce((n, c) => n + c.promises, 0);
    const what = promises ? `${promises} of workerd's promises, which do not settle` : "itself: nothing is in flight that could wake a goroutine (a deadlock)";
    say(`nothing has happened for ${config.hang / 1000} s; the test waits for ${what}`);
    ahead = BigInt(config.timeout) * 1_000_000n;
    if (!ahead) rt.go._pendingEvent = { id: 0 };
    rt.enter(this, "capdo_tick");
    rt.end(new Error("the test hangs"));
  }
}

async function run(env) {
  let end;
  try {
    const bytes = await (await env[HOST].fetch("http://host/state")).arrayBuffer();
    if (bytes.byteLength > 0) frozen = restart.parse(bytes);
    const rt = runtime(), context = new TestContext(rt, null);
    rt.tools = tools(env, context);
    const over = frozen ? restart.resume(rt, context, frozen) : context.invoke(TEST, 0, [new ByRef(rt.tools)]);
    for (const f of early) f();
    await over;
  } catch (e) {
    end = e;
  }
  if (end.code === undefined) say(end.stack);
  const files = Object.entries(written(config.outputs)).map(([path, bytes]) => ({ path, bytes: bytes.toBase64() }));
  return Response.json({ code: end.code ?? 2, files });
}

// ---- What package durabletest uses -----------------------------------------

// Bindings: the host in capdo exec, the tested Worker, and the Worker of
// events.mjs.
const HOST = "capdo:host", WORKER = "capdo:worker", EVENTS = "capdo:events";

const tools = (env, context) => {
  const kill = async () => {
    await null;
    const { rt } = context, body = restart.freeze(rt, context, rt.restartID);
    rt.isFrozen = true;
    const response = await env[HOST].fetch("http://host/restart", { method: "POST", body });
    rt.isFrozen = false;
    throw new Error(await response.text());
  };
  const bindingOf = (name) => Object.keys(config.classes).find((binding) => config.classes[binding] === name);
  const object = (ns, id) => ns.get(ns.idFromString(id));
  return {
    env: () => new ByRef(visible(env)),
    vars: (v) => { vars = v; },
    worker: env[WORKER],
    deliver: (...args) => deliver(env[EVENTS], ...args),
    evict: (name, id) => unsafe.evict(object(env[bindingOf(name)], id)),
    // reset ends everything that the test has begun, except goroutines that
    // compute or sleep. Those find that their I/O is over. workerd deletes
    // objects without a notice, so reset closes their contexts.
    reset: async () => {
      await unsafe.deleteAllDurableObjects(); // leaves empty databases
      for (const list of sent.values()) list.length = 0;
      for (const c of [...context.rt.contexts.values()]) if (c !== context) c.close();
      context.rt.watch(context); // a closed context may have kept the time
      await env[HOST].fetch("http://host/objects", { method: "DELETE" });
    },
    // restart makes the host kill this workerd when Go is idle. The promise
    // that Go waits for is settled in the next workerd.
    restart: () => context.rt.restarting = kill(),
    sent: (binding) => sent.get(binding) ?? null,
    list: async (binding) => (await env[HOST].fetch(`http://host/objects?class=${config.classes[binding]}`)).json(),
  };
};

let vars = {}; // variables that the test has set

const visible = ({ [HOST]: _host, [WORKER]: _worker, [EVENTS]: _events, ...env }) => ({ ...env, ...vars });

// Worker serves the events of the tested Worker.
export class Worker extends WorkerEntrypoint {
  fetch(request) { return fetchWorker(request, visible(this.env), this.ctx); }
  scheduled(controller) { return handle("scheduled", "HandleScheduled", () => scheduledWorker(controller, visible(this.env), this.ctx)); }
  queue(batch) { return handle("queue", "HandleQueue", () => queueWorker(batch, visible(this.env), this.ctx)); }
}

let delivery = null;               // the last one that began
let beginning = Promise.resolve(); // resolves when its handler has begun

// deliver has workerd deliver an event. It returns workerd's result, and the
// message of the error with which the handler failed, which is not in the
// result. Deliveries begin one after the other, so that a handler knows which
// one it serves.
async function deliver(events, ...args) {
  const before = beginning, { promise, resolve } = Promise.withResolvers();
  beginning = promise;
  await before;
  const mine = delivery = { error: null, begin: resolve };
  try {
    const result = await events.deliver(...args);
    return [result, mine.error];
  } finally {
    resolve(); // if no handler began
  }
}

// handle serves the delivery that begins.
async function handle(event, register, serve) {
  const mine = delivery;
  mine.begin();
  try {
    if (!runtime().describe()[event]) throw new Error(`the program does not handle the event ${event}; hint: call durable.${register} in main`);
    await serve();
  } catch (e) {
    mine.error = e.message;
    throw e;
  }
}

const sent = new Map(); // what was sent to each queue, by binding

// queue returns the service behind a queue's binding.
export const queue = (binding) => {
  const list = [];
  sent.set(binding, list);
  return class extends WorkerEntrypoint {
    async fetch(request) {
      const { headers } = request, delay = headers.get("x-msg-delay-secs");
      const add = (type, delay, body) => list.push([type ?? "v8", delay === null ? null : Number(delay), body]);
      if (request.url.endsWith("/message")) add(headers.get("x-msg-fmt"), delay, await request.bytes());
      else if (request.url.endsWith("/batch")) for (const m of (await request.json()).messages) add(m.contentType, m.delaySecs ?? delay, Uint8Array.fromBase64(m.body));
      const metrics = { backlogCount: list.length, backlogBytes: list.reduce((n, [, , body]) => n + body.length, 0) };
      return Response.json(request.method === "GET" ? metrics : { metadata: { metrics } });
    }
  };
};

// object returns the class with that name. Its handlers are known once the
// program runs. Normally the program runs before it has objects; the exception
// is an object whose alarm was due while workerd was restarted.
export function object(name) {
  const go = Symbol("go");
  let index = -1;
  const define = (prototype) => {
    if (index >= 0) return;
    const { classes } = runtime().describe();
    index = classes.findIndex((c) => c.name === name);
    if (index < 0) throw new Error(`class ${name} of the wrangler config is not registered; hint: call durable.Register in TestMain`);
    const { events, methods, retryable: repeatable } = classes[index];
    for (const event of events) prototype[event] = function (...args) { return of(this)[event](...args); };
    methods.forEach((m, j) => { prototype[m] = function (...args) { return of(this).method(j, args); }; });
    retryable(...(repeatable ?? []).map((m) => prototype[m]));
  };
  const of = (object) => object[go] ??= new GoObject(index, object.ctx, visible(object.env));
  return class extends DurableObject {
    constructor(state, env) {
      super(state, env);
      const { prototype } = new.target;
      if (begun) {
        define(prototype);
        of(this);
        return;
      }
      const { promise: defined, resolve } = Promise.withResolvers();
      early.push(() => resolve(define(prototype)));
      this.alarm = async (info) => { await defined; return of(this).alarm(info); };
      this.fetch = async (request) => { await defined; return of(this).fetch(request); };
    }
    capdoTest(...args) { return of(this).invoke(TEST, 1, args); }
    capdoTestID() { return new TextEncoder().encode(`${name}/${this.ctx.id}`); }
    capdoTestAbort() { of(this).context.reset("aborted by durabletest.Abort"); }
  };
}

export default {
  fetch(request, env) {
    return new URL(request.url).pathname === "/run" ? run(env) : new Response("alive");
  },
};
