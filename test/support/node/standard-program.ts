// Writes more to standard error than a pipe holds, with Node's side of the platform, and tells on standard output how
// long everything else had to wait meanwhile, in milliseconds. Its argument is how many bytes are written.

import { openStandardError } from "../../../src/platform/node/standard.ts";

const bytes: number = JSON.parse(process.argv[2] ?? "");

let longestMs = 0;
let last = performance.now();
const timer = setInterval(() => {
  const now = performance.now();
  longestMs = Math.max(longestMs, now - last);
  last = now;
}, 5);
// What asks whether this is a terminal, as the program does, has Node make the pipe one that does not wait.
const isTerminal = process.stderr.isTTY === true;
const sink = openStandardError();
const line = `${"x".repeat(99)}\n`;
await sink.write(line.repeat(bytes / line.length));
await sink.flush();
clearInterval(timer);
process.stdout.write(JSON.stringify({ longestMs, isTerminal }));
