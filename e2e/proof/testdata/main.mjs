// The main module of the proof: the generated entry, and the faults that a request asks for.
import unsafe from "workerd:unsafe";
import * as entry from "./entry.mjs";
export const { Dedupe, Ledger, Racy } = entry;

// FaultyStub lets the plan's n-th call of an object happen and then fail, and counts the calls that failed for whatever reason.
class FaultyStub {
  constructor(stub, plan) {
    for (const method of ["putIfAbsent", "look", "forget", "claim", "complete", "extend", "release", "seek", "drop"]) {
      this[method] = (args) => this.#call(plan, () => stub[method](args));
    }
  }
  async #call(plan, run) {
    const lose = ++plan.calls === plan.fail;
    try {
      const result = await run();
      if (lose) throw new Error("the reply was lost");
      return result;
    } catch (e) {
      plan.lost++;
      throw e;
    }
  }
}

class FaultyNamespace {
  constructor(namespace, plan) { Object.assign(this, { namespace, plan }); }
  idFromName(name) { return this.namespace.idFromName(name); }
  getByName(name) { return new FaultyStub(this.namespace.getByName(name), this.plan); }
}

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url), q = url.searchParams;
    if (url.pathname === "/abort") {
      await unsafe.abortAllDurableObjects();
      return new Response("aborted");
    }
    const plan = { calls: 0, lost: 0, fail: Number(q.get("fail")) };
    const faults = { DEDUPE: new FaultyNamespace(env.DEDUPE, plan), LEDGER: new FaultyNamespace(env.LEDGER, plan) };
    const response = await entry.default.fetch(request, new Proxy(env, { get: (t, name) => faults[name] ?? t[name] }), ctx);
    const body = await response.text();
    if (q.has("drop")) return new Response("the reply was dropped", { status: 502 });
    return new Response(body, { status: response.status, headers: { "x-lost": plan.lost } });
  },
};
