// Tries Node's platform in Node, as its argument says, and tells in JSON what came of it.

import { url } from "node:inspector";
import { setTimeout as pause } from "node:timers/promises";
import { platform } from "../../../src/platform/node.ts";

const work: { readonly toml: string; readonly hasDoor: boolean } = JSON.parse(
  process.argv[2] ?? "",
);

if (!work.hasDoor) platform.settle();
process.kill(process.pid, "SIGUSR1");
await pause(200);
const told = {
  name: platform.name,
  lacks: [...platform.lacks],
  debugger: url() ?? "shut",
  toml: platform.parseToml(work.toml),
  crypto: typeof crypto.randomUUID(),
  url: URL.parse("http://a.test/x")?.pathname,
  noUrl: URL.parse("nonsense"),
  sorted: [3, 1, 2].toSorted((one, other) => one - other).toReversed(),
  headers: new Headers({ A: "1" }).toJSON(),
  slice: Buffer.prototype.toString.call(Uint8Array.of(97, 98, 99), "latin1", 1, 3),
  resolved: await (() => {
    const { promise, resolve } = Promise.withResolvers<string>();
    resolve("resolved");
    return promise;
  })(),
};
process.stdout.write(JSON.stringify(told));
process.exit(0);
