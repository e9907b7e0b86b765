// The practical limit: hand-written JavaScript whose Worker calls its objects
// over RPC, and whose objects use the synchronous KV and SQL.
import { DurableObject } from "cloudflare:workers";
import { Thing as Base, charge, json, megabyte } from "./common.mjs";

const MAX_TTL = 10 * 365 * 86_400_000;

// Dedupe stores the same bytes as dedupe/dodedupe and answers the same
// messages.
export class Dedupe extends DurableObject {
  latest = 0;
  async putIfAbsent(message) {
    if (message[0] !== 1) return new Uint8Array([1, 3]);
    const owner = message.subarray(1, 17), ttl = uvarint(message, 17);
    if (ttl < 1 || ttl > MAX_TTL) return new Uint8Array([1, 5]);
    const { storage } = this.ctx, stored = storage.kv.get("_capdo_dedupe");
    let claimed = 0, expires = 0;
    if (stored) {
      if (stored.length !== 33 || stored[0] !== 1) return new Uint8Array([1, 4]);
      const view = new DataView(stored.buffer, stored.byteOffset);
      claimed = Number(view.getBigUint64(17));
      expires = Number(view.getBigUint64(25));
      if (expires - claimed < 1 || expires - claimed > MAX_TTL) return new Uint8Array([1, 4]);
    }
    const now = this.latest = Math.max(this.latest, Date.now(), claimed);
    const live = now < expires;
    if (live && !owner.every((b, i) => b === stored[1 + i])) return new Uint8Array([1, 0, 0]);
    if (!live) {
      expires = now + ttl;
      const record = new Uint8Array(33), view = new DataView(record.buffer);
      record[0] = 1;
      record.set(owner, 1);
      view.setBigUint64(17, BigInt(now));
      view.setBigUint64(25, BigInt(expires));
      storage.kv.put("_capdo_dedupe", record);
    }
    await storage.setAlarm(expires);
    return new Uint8Array([1, 0, 1]);
  }
  async alarm() { await this.ctx.storage.deleteAll(); }
}

function uvarint(b, at) {
  let n = 0;
  for (let scale = 1; ; scale *= 128) {
    const c = b[at++];
    n += (c & 127) * scale;
    if (c < 128) return n;
  }
}

function message(seconds) {
  const bytes = [1, ...crypto.getRandomValues(new Uint8Array(16))];
  let ms = seconds * 1000;
  for (; ms > 127; ms = Math.floor(ms / 128)) bytes.push(128 | ms % 128);
  bytes.push(ms);
  return new Uint8Array(bytes);
}

// Ledger has an object per key, or per stream. It behaves like dedupe.Ledger
// for callers that neither fail nor wait.
export class Ledger extends DurableObject {
  async claim(owner, fingerprint, lease, ttl) {
    const { kv } = this.ctx.storage, now = Date.now();
    let record = kv.get("record");
    if (record && record.expires <= now) record = undefined;
    if (record && record.fingerprint !== fingerprint) return { outcome: "mismatch" };
    if (record?.result !== undefined) return { outcome: "completed", fence: record.fence, result: record.result };
    if (record && record.until > now && record.owner !== owner) return { outcome: "in progress" };
    const fence = (kv.get("fence") ?? 0) + 1;
    kv.put("fence", fence);
    kv.put("record", { owner, fingerprint, fence, until: now + lease, expires: record?.expires ?? now + ttl });
    await this.ctx.storage.setAlarm(now + ttl);
    return { outcome: "acquired", fence };
  }
  complete(fence, result) {
    const { kv } = this.ctx.storage, record = kv.get("record");
    if (record?.fence !== fence) throw new Error("fenced");
    kv.put("record", { ...record, result });
  }
  async next(key, ttl) {
    const { kv } = this.ctx.storage, now = Date.now(), known = kv.get("k" + key);
    if (known && known.expires > now) return known.n;
    const n = (kv.get("n") ?? 0) + 1;
    kv.put("n", n);
    kv.put("k" + key, { n, expires: now + ttl });
    if (n === 1) await this.ctx.storage.setAlarm(now + ttl);
    return n;
  }
  async alarm() { await this.ctx.storage.deleteAll(); }
}

export class Thing extends Base {
  kv(value) {
    const { kv } = this.ctx.storage, key = "v" + value;
    kv.put(key, value);
    return kv.get(key) === value ? [...kv.list({ prefix: "v", limit: 10 })].length : -1;
  }
}

const paths = {
  "/put_if_absent": async (env, { key, ttl_seconds }) => {
    const answer = await env.DEDUPE.getByName(key).putIfAbsent(message(ttl_seconds));
    return { inserted: answer[2] === 1 };
  },
  "/claim_complete": async (env, { key, ttl_seconds }) => {
    const stub = env.LEDGER.getByName(key);
    const { fence } = await stub.claim(crypto.randomUUID(), "", 60_000, ttl_seconds * 1000);
    await stub.complete(fence, "done");
    return { fence };
  },
  "/sequence": async (env, { key, value, ttl_seconds }) => ({ n: await env.LEDGER.getByName(value).next(key, ttl_seconds * 1000) }),
};
for (const name of ["kv", "insert", "scan", "ring"]) {
  paths["/" + name] = async (env, { key, value }) => ({ n: await env.THING.getByName(key)[name](value) });
}

export default {
  async fetch(request, env) {
    const path = new URL(request.url).pathname;
    switch (path) {
      case "/hello": return new Response("hello");
      case "/down": return new Response(megabyte);
      case "/ws": return env.THING.getByName("echo").fetch(request);
      case "/up": return json({ n: (await request.arrayBuffer()).byteLength });
      case "/charge": return charge(request, (key) => {
        const stub = env.LEDGER.getByName(key);
        return { claim: (...args) => stub.claim(...args), complete: (...args) => stub.complete(...args) };
      });
    }
    return json(await paths[path](env, await request.json()));
  },
};
