// The main module of the runtime's tests: the generated entry, and actions that
// only tests may do (reset objects, collect garbage, inspect the runtime).
import { RpcTarget, WorkerEntrypoint } from "cloudflare:workers";
import unsafe from "workerd:unsafe";
import * as entry from "./entry.mjs";
import { runtime, stats } from "./shim.mjs";
import { terminate } from "./terminate.mjs";
export const { Dedupe, Ledger, default: Events } = entry;

// The number of remote values in RPC results that callers have not disposed of.
let undisposed = 0;
class Target extends RpcTarget {
  constructor() { super(); undisposed++; }
  [Symbol.dispose]() { undisposed--; }
}

export class Lab extends entry.Lab {
  target() { return { text: "t", target: new Target() }; }
  hold(ms) { this.ctx.blockConcurrencyWhile(() => scheduler.wait(ms)); }
  storeHoles(n) { this.ctx.storage.kv.put("holes", new Array(n)); }
  terminate() {
    terminate(this.ctx);
    return this.run(new TextEncoder().encode("m=spin&n=100"));
  }
}

// The pending timeouts. A pending timeout prevents an object's eviction.
const pending = new Set(), { setTimeout, clearTimeout } = globalThis;
globalThis.setTimeout = (fn, ms) => {
  const handle = setTimeout(() => { pending.delete(handle); fn(); }, ms);
  pending.add(handle);
  return handle;
};
globalThis.clearTimeout = (handle) => { pending.delete(handle); clearTimeout(handle); };

// strange calls an RPC method with unexpected arguments and returns the errors.
async function strange(stub) {
  const cycle = {};
  cycle.self = cycle;
  const values = ["text", "\ud800", cycle, 1n << 70n, () => 1, [new Map(), new Date(NaN)], { get: 1 }, new Error("\ud800"), null];
  const calls = [...values.map((v) => stub.run(v)), stub.run(), stub.run(new Uint8Array(1), 2)];
  return Promise.all(calls.map((c) => c.then(() => "ok", (e) => e.message)));
}

// socketEnd opens a WebSocket to an object, and returns how the object ends it.
async function socketEnd(stub) {
  const { webSocket } = await stub.fetch("http://object/", { headers: { Upgrade: "websocket" } });
  webSocket.accept();
  const closed = new Promise((resolve) => webSocket.addEventListener("close", (e) => resolve(`${e.code} ${e.reason}`)));
  return Promise.race([closed, new Promise((resolve) => setTimeout(() => resolve("still open after 20 s"), 20_000))]);
}

// sent are the requests that the queue's binding has made.
const sent = [];

// Broker is the service behind the queue's binding.
export class Broker extends WorkerEntrypoint {
  async fetch(request) {
    const body = await request.text(), { pathname } = new URL(request.url), { headers } = request;
    if (pathname === "/metrics") return Response.json({ backlogCount: 2, backlogBytes: 30, oldestMessageTimestamp: 1_700_000_000_000 });
    sent.push({ path: pathname, format: headers.get("x-msg-fmt"), delay: headers.get("x-msg-delay-secs"), body });
    if (body.includes("refused")) return new Response(null, { status: 429, statusText: "Too Many Requests", headers: { "CF-Queues-Error-Code": "10250", "CF-Queues-Error-Cause": "Queue is overloaded" } });
    return Response.json({ metadata: { metrics: { backlogCount: 0, backlogBytes: 0 } } });
  }
}

// bodies are values that messages have as their bodies, by name.
const bodies = {
  object: { n: 1, list: [true, null, "x"] }, number: 42, text: "text", null: null, bytes: new Uint8Array([1, 2]),
  date: new Date(1000), big: 1n << 60n, map: new Map(), surrogate: "\ud800",
};

// deliver delivers messages to the Worker, and returns what workerd then tells
// the queue.
function deliver(self, queue, names) {
  const at = (i) => new Date(1_700_000_000_000 + i);
  const body = (name) => name === "undefined" ? { serializedBody: new Uint8Array([255, 15, 95]) } : { body: bodies[name] }; // as V8 writes it
  return self.queue(queue, names.map((name, i) => ({ id: `id${i}`, timestamp: at(i), attempts: i + 1, ...body(name) })),
    { metrics: { backlogCount: 7, backlogBytes: 80, oldestMessageTimestamp: at(0) } });
}

// forged returns a request whose body does not match its length.
function forged(kind, path) {
  const native = (text) => {
    const { readable, writable } = new IdentityTransformStream(), writer = writable.getWriter();
    writer.write(new TextEncoder().encode(text)).then(() => writer.close()).catch(() => {});
    return readable;
  };
  const script = (start) => new ReadableStream({ start });
  const body = {
    longer: () => native("x".repeat(100_000)),
    shorter: () => native("x"),
    script: () => script((c) => { c.enqueue(new TextEncoder().encode("xxx")); c.close(); }),
    fails: () => script((c) => c.error(new Error("no more of it"))),
    empty: () => script((c) => c.close()),
    minus: () => native("xxx"),
  }[kind]();
  return new Request("http://x" + path, { method: "POST", body, headers: { "content-length": kind === "minus" ? "-1" : "3" } });
}

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url), q = url.searchParams, n = Number(q.get("n")), object = env.LAB.getByName(q.get("o") ?? "");
    const answer = (p) => p.then((v) => new Response(String(v)), (e) => Response.json({ error: e.message }, { status: 500 }));
    switch (url.pathname) {
      case "/holes": return answer(object.list(new Array(n)));
      case "/storeHoles": return answer(object.storeHoles(n));
      case "/bigString": return answer(object.list(["x".repeat(n)]));
      case "/bigBytes": return answer(object.list([new Uint8Array(n)]));
      case "/unencodable": // references come before the value that makes the call fail
        for (let i = 0; i < n; i++) await object.list([() => 1, "\ud800"]).catch(() => {});
        return new Response("done");
      case "/lastIDs": Object.assign(runtime(), { lastID: n, lastTimer: n }); return new Response("done");
      case "/names": return new Response(String(runtime().names.length));
      case "/undisposed": return new Response(String(undisposed));
      case "/hold": return answer(object.hold(n));
      case "/terminate": return answer(object.terminate());
      case "/socketEnd": return answer(socketEnd(object));
      case "/objectFetch": return object.fetch(request).catch((e) => Response.json({ error: e.message }, { status: 500 }));
      case "/abortAll": await unsafe.abortAllDurableObjects(); return new Response("aborted");
      case "/gc": globalThis.gc(); return new Response("collected");
      case "/strange": return Response.json(await strange(object));
      case "/scheduled": return Response.json(await env.SELF.scheduled({ cron: q.get("cron"), scheduledTime: new Date(n) }));
      case "/queue": return Response.json(await deliver(env.SELF, q.get("queue"), q.getAll("body")));
      case "/sent": return Response.json(sent.splice(0));
      case "/forged": return entry.default.fetch(forged(q.get("kind"), q.get("path") ?? "/body"), env, ctx);
      case "/newline": return entry.default.fetch(new Request("http://x/?m=ping\nname\nvalue"), env, ctx);
      case "/open": { // except this request's own
        const { contexts, calls } = stats();
        return new Response(`${contexts} ${calls}`);
      }
      case "/replaced": { // an event arrives just before the constructor's goroutine ends, and with it the program
        const event = object.run(new TextEncoder().encode("m=ping")), go = (m) => entry.default.fetch(new Request(`http://x/?m=${m}`), env, ctx);
        const ended = await Promise.resolve().then(() => go("openexit")).catch((e) => e);
        await go("failnext&how=never");
        ctx.waitUntil(event);
        return new Response(ended.message);
      }
      case "/stats": return Response.json({ ...stats(), timeouts: pending.size });
      // A caller outside of Go: only the object itself can end its call.
      case "/direct": return answer(object.run(new TextEncoder().encode(url.search.slice(1))).then((b) => new TextDecoder().decode(b)));
    }
    // The platform's context outlives the invocation, as it does while a
    // response is being sent.
    if (q.has("linger")) ctx.waitUntil(new Promise((resolve) => setTimeout(resolve, 150)));
    // The platform would log this error and answer with a bare 500. Here tests
    // can see it.
    try {
      return await entry.default.fetch(request, env, ctx);
    } catch (e) {
      return Response.json({ error: e.message }, { status: 500 });
    }
  },
};
