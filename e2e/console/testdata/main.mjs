// The main module of the console's test: the generated entry, and evictions.
import unsafe from "workerd:unsafe";
import * as entry from "./entry.mjs";
export const { Console, Ledger, Processor } = entry;

export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname === "/evict") {
      await unsafe.evict(env.CONSOLE.getByName("console"));
      return new Response("evicted");
    }
    return entry.default.fetch(request, env, ctx);
  },
};
