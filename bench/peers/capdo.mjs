// The main module of the peers that are built with capdo. It adds a request for
// the size of Go's memory.
import worker from "./entry.mjs";
import { stats } from "./shim.mjs";
export * from "./entry.mjs";

export default {
  fetch(request, env, execution) {
    if (request.url.endsWith("/memory")) return Response.json(stats().memory);
    return worker.fetch(request, env, execution);
  },
};
