// The main module of the peer whose cost is measured as it grows: its ledger's
// objects count themselves, and can be filled fast.
import * as entry from "./entry.mjs";
import { stats } from "./shim.mjs";
export * from "./entry.mjs";

let constructed = 0;

export class Ledger extends entry.Ledger {
  constructor(...args) {
    super(...args);
    constructed++;
  }
  // fill copies the record of a bucket's key for the keys fill-FROM to
  // fill-(TO-1). They are due one after another, as if each had been claimed.
  fill(key, from, to) {
    this.ctx.storage.sql.exec(`
      INSERT INTO _capdo_entries (key, notify, due, record)
      WITH RECURSIVE n(i) AS (SELECT CAST(?1 AS INTEGER) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)
      SELECT CAST('fill-' || i AS BLOB), notify, due + i, record
      FROM n, (SELECT notify, due, record FROM _capdo_entries WHERE key = CAST(?3 AS BLOB))`,
    from, to, key);
  }
}

export default {
  async fetch(request, env, execution) {
    const { pathname, searchParams: q } = new URL(request.url);
    switch (pathname) {
      case "/fill":
        await env.LEDGER.getByName(q.get("object")).fill(q.get("key"), Number(q.get("from")), Number(q.get("to")));
        return new Response("filled");
      case "/constructed": return Response.json(constructed);
      case "/memory": return Response.json(stats().memory);
    }
    return entry.default.fetch(request, env, execution);
  },
};
