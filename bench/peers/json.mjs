// The usual way: hand-written JavaScript whose Worker sends JSON to its objects
// with fetch, and whose objects use the asynchronous storage.
import { DurableObject } from "cloudflare:workers";
import { Thing as Base, charge, json, megabyte } from "./common.mjs";

// serve calls the method named by the path with the body as its argument.
const serve = async (object, request) => json(await object[new URL(request.url).pathname.slice(1)](await request.json()));

// send sends such a request from the Worker.
async function send(namespace, name, method, body) {
  const response = await namespace.getByName(name).fetch(`http://object/${method}`, { method: "POST", body: JSON.stringify(body) });
  return response.json();
}

export class Dedupe extends DurableObject {
  fetch(request) { return serve(this, request); }
  async putIfAbsent({ owner, ttl }) {
    const { storage } = this.ctx, stored = await storage.get("record"), now = Date.now();
    if (stored && stored.expires > now && stored.owner !== owner) return { inserted: false };
    const expires = stored && stored.expires > now ? stored.expires : now + ttl;
    await storage.put("record", { owner, claimed: now, expires });
    await storage.setAlarm(expires);
    return { inserted: true };
  }
  async alarm() { await this.ctx.storage.deleteAll(); }
}

export class Ledger extends DurableObject {
  fetch(request) { return serve(this, request); }
  async claim({ owner, fingerprint, lease, ttl }) {
    const { storage } = this.ctx, now = Date.now();
    let record = await storage.get("record");
    if (record && record.expires <= now) record = undefined;
    if (record && record.fingerprint !== fingerprint) return { outcome: "mismatch" };
    if (record?.result !== undefined) return { outcome: "completed", fence: record.fence, result: record.result };
    if (record && record.until > now && record.owner !== owner) return { outcome: "in progress" };
    const fence = (await storage.get("fence") ?? 0) + 1;
    await storage.put("fence", fence);
    await storage.put("record", { owner, fingerprint, fence, until: now + lease, expires: record?.expires ?? now + ttl });
    await storage.setAlarm(now + ttl);
    return { outcome: "acquired", fence };
  }
  async complete({ fence, result }) {
    const record = await this.ctx.storage.get("record");
    if (record?.fence !== fence) throw new Error("fenced");
    await this.ctx.storage.put("record", { ...record, result });
    return {};
  }
  async next({ key, ttl }) {
    const { storage } = this.ctx, now = Date.now(), known = await storage.get("k" + key);
    if (known && known.expires > now) return { n: known.n };
    const n = (await storage.get("n") ?? 0) + 1;
    await storage.put({ n, ["k" + key]: { n, expires: now + ttl } });
    if (n === 1) await storage.setAlarm(now + ttl);
    return { n };
  }
  async alarm() { await this.ctx.storage.deleteAll(); }
}

export class Thing extends Base {
  async fetch(request) {
    if (request.headers.get("Upgrade")) return super.fetch();
    const method = new URL(request.url).pathname.slice(1), { value } = await request.json();
    return json({ n: await this[method](value) });
  }
  async kv(value) {
    const { storage } = this.ctx, key = "v" + value;
    await storage.put(key, value);
    return await storage.get(key) === value ? (await storage.list({ prefix: "v", limit: 10 })).size : -1;
  }
}

const paths = {
  "/put_if_absent": (env, { key, ttl_seconds }) => send(env.DEDUPE, key, "putIfAbsent", { owner: crypto.randomUUID(), ttl: ttl_seconds * 1000 }),
  "/claim_complete": async (env, { key, ttl_seconds }) => {
    const owner = crypto.randomUUID();
    const { fence } = await send(env.LEDGER, key, "claim", { owner, fingerprint: "", lease: 60_000, ttl: ttl_seconds * 1000 });
    await send(env.LEDGER, key, "complete", { fence, result: "done" });
    return { fence };
  },
  "/sequence": (env, { key, value, ttl_seconds }) => send(env.LEDGER, value, "next", { key, ttl: ttl_seconds * 1000 }),
};
for (const name of ["kv", "insert", "scan", "ring"]) paths["/" + name] = (env, { key, value }) => send(env.THING, key, name, { value });

export default {
  async fetch(request, env) {
    const path = new URL(request.url).pathname;
    switch (path) {
      case "/hello": return new Response("hello");
      case "/down": return new Response(megabyte);
      case "/ws": return env.THING.getByName("echo").fetch(request);
      case "/up": return json({ n: (await request.arrayBuffer()).byteLength });
      case "/charge": return charge(request, (key) => ({
        claim: (owner, fingerprint, lease, ttl) => send(env.LEDGER, key, "claim", { owner, fingerprint, lease, ttl }),
        complete: (fence, result) => send(env.LEDGER, key, "complete", { fence, result }),
      }));
    }
    return json(await paths[path](env, await request.json()));
  },
};
