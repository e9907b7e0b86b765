// The main module of the WebSocket tests: the generated entry, and what only
// JavaScript can do.
import unsafe from "workerd:unsafe";
import * as entry from "./entry.mjs";
import { stats } from "./shim.mjs";
export const { Chat, Stuck } = entry;

// surrogate returns the echo of a text with a lone surrogate.
async function surrogate(stub) {
  const { webSocket: ws } = await stub.fetch("http://chat/", { headers: { upgrade: "websocket" } });
  ws.accept();
  const answer = new Promise((resolve) => ws.addEventListener("message", (e) => resolve(e.data)));
  ws.send("a\ud800b");
  return JSON.stringify(await answer);
}

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url), stub = env.CHAT.getByName(url.searchParams.get("o"));
    switch (url.pathname) {
      case "/evict": await unsafe.evict(stub); return new Response("evicted");
      case "/collect": globalThis.gc(); return new Response("collected");
      case "/stats": return Response.json(stats());
      case "/surrogate": return new Response(await surrogate(stub));
    }
    return entry.default.fetch(request, env, ctx);
  },
};
