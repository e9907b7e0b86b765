// The main module of the runtime's tests: the generated entry, what only tests may do (evict, collect garbage), and a hand-written
// JavaScript class to measure against.
import { DurableObject } from "cloudflare:workers";
import unsafe from "workerd:unsafe";
import go from "./entry.mjs";
import { stats } from "./shim.mjs";
export * from "./entry.mjs";

export class JSPeer extends DurableObject {
  putIfAbsent(_args) {
    const { kv } = this.ctx.storage, now = Date.now();
    const v = kv.get("r");
    if (v && Number(new DataView(v.buffer, v.byteOffset).getBigUint64(0, true)) > now) return new Uint8Array([0]);
    const b = new Uint8Array(8);
    new DataView(b.buffer).setBigUint64(0, BigInt(now + 86_400_000), true);
    kv.put("r", b);
    return new Uint8Array([1]);
  }
}

// bench calls putIfAbsent of n objects, each repeat times, from 8 callers at once, and returns µs per call.
async function bench(namespace, prefix, n, repeat) {
  let next = 0;
  const message = new Uint8Array(26);
  const caller = async () => {
    for (let i; (i = next++) < n * repeat;) await namespace.getByName(`${prefix}${i % n}`).putIfAbsent(message);
  };
  const start = Date.now();
  await Promise.all(Array.from({ length: 8 }, caller));
  return (Date.now() - start) * 1000 / (n * repeat);
}

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url), q = url.searchParams;
    switch (url.pathname) {
      case "/evict": await unsafe.evict(env.LAB.getByName(q.get("o"))); return new Response("evicted");
      case "/abortAll": await unsafe.abortAllDurableObjects(); return new Response("aborted");
      case "/gc": globalThis.gc(); return new Response("collected");
      case "/stats": return Response.json(stats());
      case "/bench": return Response.json(await bench(env[q.get("class")], q.get("prefix"), +q.get("n"), +q.get("repeat")));
    }
    // What the platform would log and answer with a bare 500, so that tests can see it.
    try {
      return await go.fetch(request, env, ctx);
    } catch (e) {
      return Response.json({ error: e.message }, { status: 500 });
    }
  },
};
