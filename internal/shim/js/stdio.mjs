// Go's standard output and standard error, and the file system that package os
// finds. wasm_exec.js calls both through globalThis.fs, which it has made
// unless there was one (testfs.mjs is, in tests).

import "./wasm_exec.js"; // Go's own, copied from the toolchain: it defines globalThis.Go

const { fs } = globalThis;

// Lines of output that are not complete yet, of one file each.
class Line {
  constructor() {
    this.text = "";
    this.decoder = new TextDecoder(); // a character may come in two writes
  }
}

// current says whose output comes now: of the Runtime whose Go code has the
// stack, and of the I/O context that it has it for. A line in the log belongs
// to one invocation.
export const current = { runtime: null, context: null };

let print = null; // takes what is written as it is, in place of the console
const nobody = {};

// redirect sends Go's output to another function than the console.
export function redirect(to) { print = to; }

export const log = (fd, text) => (fd === 2 ? console.error : console.log)(text);

// Go's runtime prints this at the beginning of a line when the program is about
// to end; jsrt prints panics that it has recovered.
const fatal = /^(panic|fatal error|runtime: out of memory|runtime: goroutine stack exceeds)\b.*/m, recovered = "[recovered by capdo";

function write(fd, bytes, isRuntime) {
  print?.(fd, bytes);
  const { runtime } = current, lines = (current.context ?? nobody).lines ??= { 1: new Line(), 2: new Line() }, line = lines[fd];
  line.text += line.decoder.decode(bytes, { stream: true });
  if (isRuntime && fd === 2 && runtime && !line.text.includes(recovered)) runtime.isEnding ||= fatal.test(line.text);
  if (fd === 2 && runtime?.isEnding) return; // what the program ends with is one entry in the log
  const end = line.text.lastIndexOf("\n");
  if (end < 0) return;
  if (!print) log(fd, line.text.slice(0, end));
  line.text = line.text.slice(end + 1);
}

// flush prints what a context has written since its last whole line, and
// returns the line that says why the program ends, if there is one.
export function flush(context) {
  const { lines } = context ?? nobody;
  if (!lines) return "";
  const cause = fatal.exec(lines[2].text)?.[0] ?? "";
  for (const fd of [1, 2]) {
    if (lines[fd].text && !print) log(fd, lines[fd].text.trimEnd());
    lines[fd].text = "";
  }
  return cause;
}

fs.writeSync = (fd, buffer) => {
  write(fd, buffer, false);
  return buffer.length;
};

// runtimeWrite takes the place of Go's import runtime.wasmWrite: what Go's
// runtime and println print.
export const runtimeWrite = (go) => (sp) => {
  const at = sp >>> 0, fd = Number(go.mem.getBigInt64(at + 8, true)), p = Number(go.mem.getBigInt64(at + 16, true));
  write(fd, new Uint8Array(go.mem.buffer, p, go.mem.getInt32(at + 24, true)), true);
};

// Every function of fs calls its callback before it returns, and Go would run
// below itself, as deep as there are goroutines that use files. So callbacks
// wait until Go has the stack no more.
const waiting = [];
let next = 0; // of waiting
for (const [name, f] of Object.entries(fs)) {
  if (typeof f !== "function" || name === "writeSync") continue;
  fs[name] = (...args) => {
    const callback = args.at(-1);
    if (typeof callback !== "function") return f.apply(fs, args);
    return f.call(fs, ...args.slice(0, -1), (...results) => { waiting.push(() => callback(...results)); });
  };
}

// callBack calls the first callback that waits, and reports whether there was
// one.
export function callBack() {
  if (next === waiting.length) {
    if (next > 0) forgetCallbacks();
    return false;
  }
  waiting[next++]();
  return true;
}

export const forgetCallbacks = () => { waiting.length = next = 0; };
