// A Worker beside the tested one. It has workerd deliver cron triggers and
// batches of messages to the tested one, and returns what workerd reports. That
// needs the flag service_binding_extra_handlers. The tested Worker cannot have
// the flag, because its stubs would lose RPC methods named scheduled and queue.

import { WorkerEntrypoint } from "cloudflare:workers";

export default class extends WorkerEntrypoint {
  deliver(event, ...args) { return this.env.WORKER[event](...args); }
}
