// The driver of the benchmarks, and the peer: the same dedupe class, hand-written in JavaScript.
import { DurableObject } from "cloudflare:workers";
import program from "./app.wasm";
import empty from "./empty.wasm";
import { Runtime } from "./runtime.mjs";
export * from "./entry.mjs";

const MAX_TTL = 10 * 365 * 86_400_000;

// JSDedupe keeps the records that dedupe/dodedupe keeps, byte by byte, and answers the same messages.
export class JSDedupe extends DurableObject {
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

function claim() {
  const message = new Uint8Array(21);
  crypto.getRandomValues(message.subarray(1, 17));
  message.set([1], 0);
  message.set([128 | (86_400_000 & 127), 128 | (86_400_000 >> 7 & 127), 128 | (86_400_000 >> 14 & 127), 86_400_000 >> 21], 17);
  return message;
}

// claims claims n keys, each repeat times, from 8 callers at once, and returns µs per call and how many were inserted.
async function claims(namespace, prefix, n, repeat) {
  let next = 0, inserted = 0;
  const caller = async () => {
    for (let i; (i = next++) < n * repeat;) {
      const answer = await namespace.getByName(`${prefix}${i % n}`).putIfAbsent(claim());
      inserted += answer[2];
    }
  };
  const start = Date.now();
  await Promise.all(Array.from({ length: 8 }, caller));
  return { us: (Date.now() - start) * 1000 / (n * repeat), inserted };
}

// boot starts a program n times and returns µs each.
function boot(n, f) {
  const start = Date.now();
  for (let i = 0; i < n; i++) f();
  return { us: (Date.now() - start) * 1000 / n };
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url), q = url.searchParams, n = +q.get("n");
    switch (url.pathname) {
      case "/claims": return Response.json(await claims(env[q.get("class")], q.get("prefix"), n, +q.get("repeat")));
      case "/boot": return Response.json(boot(n, () => new Runtime(program)));
      case "/bootEmpty": return Response.json(boot(n, () => { const go = new Go(); go.run(new WebAssembly.Instance(empty, go.importObject)); }));
    }
    return new Response("ready");
  },
};
