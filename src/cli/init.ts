import { resolve } from "node:path";
import { formatFault } from "../config/fault.ts";
import { loadConfig } from "../config/load.ts";
import { starterYaml } from "../config/starter.ts";
import { createDurably } from "../store/durable.ts";
import { FIRST_LISTEN } from "./address.ts";
import { invocation } from "./invocation.ts";
import { shownName, type Telling } from "./told.ts";

/** What a first configuration is made with. */
export type InitScene = {
  readonly random: (count: number) => Uint8Array;
  readonly argv0: string;
};

const KEY_BYTES = 24;

/**
 * Writes a first configuration with a key of its own, for its owner alone; 0 when it is there, 1 when it cannot be
 * written or something of that name is there, 2 for an address that is none.
 */
export async function init(
  named: string | undefined,
  flags: { readonly [key: string]: string },
  { print, complain }: Telling,
  { random, argv0 }: InitScene = ownScene,
): Promise<number> {
  const path = named ?? "config.yaml";
  const { listen = FIRST_LISTEN, ...others } = flags;
  const [other] = Object.keys(others);
  if (other !== undefined) {
    complain(`'init' takes -listen and -config only: write ${other} into the file it makes`);
    return 2;
  }
  const text = starterYaml({ listen, key: `sk-${Buffer.from(random(KEY_BYTES)).toString("hex")}` });
  const loaded = loadConfig({ file: { path, text }, env: {}, flags: {} });
  if (!loaded.ok) {
    for (const fault of loaded.faults) complain(formatFault(fault));
    return 2;
  }
  const saved = await createDurably(resolve(path), text);
  if (saved === "taken") {
    complain(`${shownName(path)} is there already, and stays as it is. Name another with -config.`);
    return 1;
  }
  if (!saved.ok) {
    complain(saved.reason);
    return 1;
  }
  const command = invocation(argv0, named);
  print(
    `${shownName(path)} is written. It listens on ${listen}, and has a random key that clients show.`,
  );
  print("Next:");
  print(`  ${command} login                   # or: import FILE`);
  print(`  ${command} serve                   # leave it running`);
  print(`  ${command} setup codex --write     # or: claude, opencode`);
  return 0;
}

const ownScene: InitScene = {
  random: (count) => crypto.getRandomValues(new Uint8Array(count)),
  argv0: process.argv0,
};
