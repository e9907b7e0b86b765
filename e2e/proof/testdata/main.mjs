// The main module of the proof: the generated entry, and the faults that a request asks for.
import unsafe from "workerd:unsafe";
import * as entry from "./entry.mjs";
export const { Dedupe, Ledger, Racy } = entry;

// faulty lets the plan's n-th call of an object happen and then fail, and counts the calls that failed for whatever reason.
const faulty = (namespace, plan) => ({
  getByName(...args) {
    const stub = namespace.getByName(...args);
    return new Proxy(stub, {
      get: (_, name) => name === Symbol.dispose ? stub[name]?.bind(stub) : async (...args) => {
        const lose = ++plan.calls === plan.fail;
        try {
          const result = await stub[name](...args);
          if (lose) throw new Error("the reply was lost");
          return result;
        } catch (e) {
          plan.lost++;
          throw e;
        }
      },
    });
  },
});

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url), q = url.searchParams;
    if (url.pathname === "/abort") {
      await unsafe.abortAllDurableObjects();
      return new Response("aborted");
    }
    const plan = { calls: 0, lost: 0, fail: Number(q.get("fail")) };
    const faults = { DEDUPE: faulty(env.DEDUPE, plan), LEDGER: faulty(env.LEDGER, plan) };
    const response = await entry.default.fetch(request, new Proxy(env, { get: (t, name) => faults[name] ?? t[name] }), ctx);
    const body = await response.text();
    if (q.has("drop")) return new Response("the reply was dropped", { status: 502 });
    return new Response(body, { status: response.status, headers: { "x-lost": plan.lost } });
  },
};
