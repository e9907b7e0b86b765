// Report is the answer of a batch.
import { guard } from "./guard.mjs";
import { faults } from "./values.mjs";

const HANG_MS = 20_000;

// Report collects failures.
export class Report {
  constructor() { this.values = this.calls = this.refused = 0; this.failures = []; }
  fail(text) { if (this.failures.length < 10) this.failures.push(String(text).slice(0, 600)); }
  // done adds the faults that other modules recorded.
  done() {
    for (const list of [faults, guard.faults]) { for (const f of list) this.fail(f); list.length = 0; }
    const { calls, wholes, windows, encodedTwice } = guard;
    return { ...this, imports: calls, wholes, windows, encodedTwice };
  }
}

export const clip = (text) => String(text).slice(0, 200);
export const textOf = (e) => { try { return String(e.message); } catch { return "an error without text"; } };

// settled returns the outcome of a promise, or fails if it hangs.
export const settled = (promise, ms = HANG_MS) => {
  let timer;
  const hang = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error("hangs")), ms); });
  return Promise.race([promise, hang]).finally(() => clearTimeout(timer));
};
