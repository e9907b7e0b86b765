// The main module of the load test: the generated entry, with objects that show
// their storage and count what they do.
import * as entry from "./entry.mjs";
import { stats } from "./shim.mjs";

const counts = { waits: 0, waiting: 0 };
const alarms = new Map(); // by object: the work of each alarm
let held = false; // whether alarms wait

// observed returns a class that can be inspected. Due counts the entries that
// its alarms must handle within ten minutes.
const observed = (Class) => class extends Class {
  #one(query, ...binds) {
    const { sql } = this.ctx.storage;
    const created = sql.exec("SELECT count(*) AS n FROM sqlite_master WHERE name = '_capdo_entries'").one().n > 0;
    return created ? sql.exec(query, ...binds).one() : null;
  }
  #due() {
    const query = "SELECT count(*) AS due, coalesce(sum(notify), 0) AS notices, max(due) AS last" +
      " FROM _capdo_entries WHERE notify IN (0, 1) AND due < ?";
    return this.#one(query, Date.now() + 600_000) ?? { due: 0, notices: 0, last: null };
  }
  async awaitKey(...args) {
    counts.waits++;
    counts.waiting++;
    try {
      return await super.awaitKey(...args);
    } finally {
      counts.waiting--;
    }
  }
  async alarm(info) {
    while (held) await scheduler.wait(5);
    const before = this.#due(), begin = Date.now();
    await super.alarm(info);
    const after = this.#due(), ms = Date.now() - begin, name = this.ctx.id.name;
    if (!alarms.has(name)) alarms.set(name, []);
    alarms.get(name).push({ removed: before.due - after.due, told: before.notices - after.notices, ms });
  }
  async inspect() {
    const rows = this.#one("SELECT count(*) AS n FROM _capdo_entries")?.n ?? -1;
    return { rows, ...this.#due(), bytes: this.ctx.storage.sql.databaseSize, alarm: await this.ctx.storage.getAlarm() };
  }
  // digest returns a digest of everything that is stored.
  async digest() {
    const rows = [...this.ctx.storage.sql.exec("SELECT hex(key), notify, due, hex(record) FROM _capdo_entries ORDER BY key").raw()];
    const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(JSON.stringify(rows)));
    return new Uint8Array(hash).toHex();
  }
};

export class Ledger extends observed(entry.Ledger) {}
export class Telling extends observed(entry.Telling) {}

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url), q = url.searchParams;
    const stub = () => env[q.get("binding")].getByName(q.get("object"));
    switch (url.pathname) {
      case "/inspect": return Response.json({ ...await stub().inspect(), alarms: alarms.get(q.get("object")) ?? [] });
      case "/digest": return Response.json(await stub().digest());
      case "/spin": for (const end = performance.now() + Number(q.get("ms")); performance.now() < end;); return Response.json(null);
      case "/stats": return Response.json(stats());
      case "/counts": return Response.json(counts);
      case "/hold": held = true; return Response.json(null);
      case "/ring": held = false; return Response.json(null);
    }
    return entry.default.fetch(request, env, ctx);
  },
};
