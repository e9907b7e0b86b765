// Report is what a batch answers with, and what every batch needs.
import { guard } from "./guard.mjs";
import { faults } from "./values.mjs";

const HANG_MS = 20_000;

// Report collects what went wrong.
export class Report {
  constructor() { this.values = this.calls = this.refused = 0; this.failures = []; }
  fail(text) { if (this.failures.length < 10) this.failures.push(String(text).slice(0, 600)); }
  // done adds what others have noted.
  done() {
    for (const list of [faults, guard.faults]) { for (const f of list) this.fail(f); list.length = 0; }
    const { calls, wholes, windows, encodedTwice } = guard;
    return { ...this, imports: calls, wholes, windows, encodedTwice };
  }
}

export const clip = (text) => String(text).slice(0, 200);
export const textOf = (e) => { try { return String(e.message); } catch { return "an error without text"; } };

// settled is what a promise becomes, unless it hangs.
export const settled = (promise, ms = HANG_MS) => {
  let timer;
  const hang = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error("hangs")), ms); });
  return Promise.race([promise, hang]).finally(() => clearTimeout(timer));
};
