// The main module of the runtime's tests: the generated entry, and what only tests may do (reset objects, collect garbage, look inside).
import unsafe from "workerd:unsafe";
import * as entry from "./entry.mjs";
import { stats } from "./shim.mjs";
export const { Lab, Dedupe } = entry;

// The timeouts that are pending: one keeps an object from being evicted.
const pending = new Set(), { setTimeout, clearTimeout } = globalThis;
globalThis.setTimeout = (fn, ms) => {
  const handle = setTimeout(() => { pending.delete(handle); fn(); }, ms);
  pending.add(handle);
  return handle;
};
globalThis.clearTimeout = (handle) => { pending.delete(handle); clearTimeout(handle); };

// strange calls an RPC method with what it does not expect, and returns the errors.
async function strange(stub) {
  const cycle = {};
  cycle.self = cycle;
  const values = ["text", "\ud800", cycle, 1n << 70n, () => 1, [new Map(), new Date(NaN)], { get: 1 }, new Error("\ud800"), null];
  const calls = [...values.map((v) => stub.run(v)), stub.run(), stub.run(new Uint8Array(1), 2)];
  return Promise.all(calls.map((c) => c.then(() => "ok", (e) => e.message)));
}

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url), q = url.searchParams;
    switch (url.pathname) {
      case "/abortAll": await unsafe.abortAllDurableObjects(); return new Response("aborted");
      case "/gc": globalThis.gc(); return new Response("collected");
      case "/strange": return Response.json(await strange(env.LAB.getByName(q.get("o"))));
      case "/stats": return Response.json({ ...stats(), timeouts: pending.size });
      // A caller outside of Go: nothing but the object itself can end its call.
      case "/direct":
        try {
          return new Response(await env.LAB.getByName(q.get("o")).run(new TextEncoder().encode(url.search.slice(1))));
        } catch (e) {
          return Response.json({ error: e.message }, { status: 500 });
        }
    }
    // The platform's context outlives the invocation, as it does while a response is on its way.
    if (q.has("linger")) ctx.waitUntil(new Promise((resolve) => setTimeout(resolve, 150)));
    // What the platform would log and answer with a bare 500, so that tests can see it.
    try {
      return await entry.default.fetch(request, env, ctx);
    } catch (e) {
      return Response.json({ error: e.message }, { status: 500 });
    }
  },
};
