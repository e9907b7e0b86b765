// The common part of the two JavaScript peers.
import { DurableObject } from "cloudflare:workers";

export const json = (v) => Response.json(v);
export const megabyte = new TextEncoder().encode("0123456789abcdef".repeat(1 << 16));

const SEED = "INSERT INTO t (n, v) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 10000) SELECT i, 'value ' || i FROM c WHERE (SELECT count(*) FROM t) = 0";

// Thing is an object with a table, an alarm and an echo.
export class Thing extends DurableObject {
  rang = null;
  constructor(state, env) {
    super(state, env);
    state.storage.sql.exec("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, n INTEGER, v TEXT)");
  }
  insert(value) {
    return this.ctx.storage.sql.exec("INSERT INTO t (n, v) VALUES (?, ?) RETURNING n", +value, "a value of forty characters, more or less").one().n;
  }
  scan(value) {
    if (value === "seed") this.ctx.storage.sql.exec(SEED);
    let sum = 0;
    for (const row of this.ctx.storage.sql.exec("SELECT id, n, v FROM t")) sum += row.n;
    return sum;
  }
  async ring() {
    this.rang ??= Promise.withResolvers();
    const { promise } = this.rang;
    await this.ctx.storage.setAlarm(Date.now());
    await promise;
    return 1;
  }
  alarm() {
    this.rang?.resolve();
    this.rang = null;
  }
  fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }
  webSocketMessage(ws, data) { ws.send(data); }
}

// charge runs its handler once for each Idempotency-Key and keeps the response.
export async function charge(request, ledger) {
  const key = request.headers.get("Idempotency-Key"), body = new Uint8Array(await request.arrayBuffer());
  const head = new TextEncoder().encode(`${request.method} ${request.url} ${request.headers.get("Content-Type")}\n`);
  const whole = new Uint8Array(head.length + body.length);
  whole.set(head);
  whole.set(body, head.length);
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", whole)).toHex(), { claim, complete } = ledger(key);
  const { outcome, fence, result } = await claim(crypto.randomUUID(), hash, 30_000, 86_400_000);
  if (outcome === "completed") return new Response(result.body, { headers: { ...result.headers, "Idempotent-Replayed": "true" } });
  if (outcome !== "acquired") return new Response(outcome, { status: outcome === "mismatch" ? 422 : 409 });
  const kept = { headers: { "Content-Type": "application/json" }, body: JSON.stringify({ n: 1 }) };
  await complete(fence, kept);
  return new Response(kept.body, { headers: kept.headers });
}
