// The main module of the stress test: the generated entry, and the faults that
// requests ask for.
import unsafe from "workerd:unsafe";
import { env as bindings } from "cloudflare:workers";
import program from "./app.wasm";
import * as entry from "./entry.mjs";
import { Runtime } from "./runtime.mjs";
import { start, stats } from "./shim.mjs";
import { terminate } from "./terminate.mjs";
export { Ledger } from "./entry.mjs";

start(() => new Runtime(program, { env: { GOGC: bindings.GOGC } }));

export class Actor extends entry.Actor {
  terminate() {
    terminate(this.ctx);
    return this.do({ kind: "spin" });
  }
}

// evict gives up after 5 s: workerd's promise may never settle if the object is
// aborted at the same time. This also happens in plain JavaScript (in about one
// of 200 evictions beside aborts, workerd 1.20261117.1).
function evict(object) {
  const evicted = unsafe.evict(object).then(() => "evicted", (e) => e.message);
  return Promise.race([evicted, scheduler.wait(5000).then(() => "no answer from workerd")]);
}

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url), object = env.ACTOR.getByName(url.searchParams.get("object") ?? "");
    try {
      switch (url.pathname) {
        case "/abortAll": await unsafe.abortAllDurableObjects(); return new Response("aborted");
        case "/evict": return new Response(await evict(object));
        case "/terminate": return new Response(await object.terminate());
        case "/gc": globalThis.gc(); return new Response("collected");
        case "/stats": return Response.json(stats());
      }
      return await entry.default.fetch(request, env, ctx);
    } catch (e) {
      return Response.json({ error: e.message }, { status: 500 });
    }
  },
};
