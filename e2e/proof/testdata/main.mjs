// The main module of the proof: the generated entry, and the faults that
// requests ask for.
import unsafe from "workerd:unsafe";
import * as entry from "./entry.mjs";
export const { Racy } = entry;
export class Dedupe extends entry.Dedupe { inspect() { return inspect(this.ctx); } }
export class Ledger extends entry.Ledger { inspect() { return inspect(this.ctx); } }
export class Account extends entry.Account { inspect() { return inspect(this.ctx); } }

// inspect returns what an object has stored: the keys of its records, its other
// names, and the effects.
async function inspect({ storage }) {
  const found = { keys: [], names: [...(await storage.list()).keys()], effects: [], alarm: await storage.getAlarm() };
  const rows = (query) => {
    try {
      return [...storage.sql.exec(query)];
    } catch {
      return []; // no such table, or no SQL
    }
  };
  found.keys = rows("SELECT key FROM _capdo_entries").map((r) => new TextDecoder().decode(r.key));
  found.effects = rows("SELECT id FROM effects").map((r) => r.id);
  return found;
}

// FaultyStub lets the plan's n-th call to an object happen and then fail, and
// refuses another call like an overloaded object. It counts the failed calls,
// except the refused ones.
class FaultyStub {
  constructor(stub, plan) {
    for (const method of ["putIfAbsent", "lookKey", "forgetKey", "claim", "complete", "extend", "release", "look", "forget", "awaitKey", "next", "perform"]) {
      this[method] = (args) => this.#call(plan, () => stub[method](args));
    }
  }
  async #call(plan, run) {
    const lose = ++plan.calls === plan.fail;
    if (plan.calls === plan.refuse) throw Object.assign(new Error("Durable Object is overloaded. Requests queued for too long."), { overloaded: true });
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
  constructor(binding, namespace, plan) { Object.assign(this, { binding, namespace, plan }); }
  idFromName(name) { return this.namespace.idFromName(name); }
  getByName(name) {
    used(this.binding, name);
    return new FaultyStub(this.namespace.getByName(name), this.plan);
  }
}

// The most recently called objects, for evictions.
const recent = new Map();
function used(binding, name) {
  recent.delete(binding + name);
  recent.set(binding + name, [binding, name]);
  if (recent.size > 12) recent.delete(recent.keys().next().value);
}

// evict evicts those of the objects that are in memory.
async function evict(env) {
  const results = await Promise.allSettled([...recent.values()].map(([binding, name]) => unsafe.evict(env[binding].getByName(name))));
  return Response.json({ evicted: results.filter((r) => r.status === "fulfilled").length });
}

// crash answers with the error that ended the program.
async function crash(run) {
  try {
    await run();
  } catch (e) {
    return new Response(e.message);
  }
  return new Response("it goes on");
}

const bindings = ["DEDUPE", "LEDGER", "LEDGERKV", "ACCOUNT"];

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url), q = url.searchParams;
    switch (url.pathname) {
      case "/abort": await unsafe.abortAllDurableObjects(); return new Response("aborted");
      case "/inspect": return Response.json(await env[q.get("binding")].getByName(q.get("name")).inspect());
      case "/ping": return new Response("here");
      case "/evict": return evict(env);
      case "/crash": return crash(() => entry.default.fetch(request, env, ctx));
    }
    const plan = { calls: 0, lost: 0, fail: Number(q.get("fail")), refuse: Number(q.get("refuse")) };
    const faults = Object.fromEntries(bindings.map((b) => [b, new FaultyNamespace(b, env[b], plan)]));
    const response = await entry.default.fetch(request, new Proxy(env, { get: (t, name) => faults[name] ?? t[name] }), ctx);
    const body = await response.text();
    const headers = { "x-lost": plan.lost };
    return q.has("drop") ? new Response("the reply was dropped", { status: 502, headers }) : new Response(body, { status: response.status, headers });
  },
};
