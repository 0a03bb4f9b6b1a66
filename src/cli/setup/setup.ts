import { homedir } from "node:os";
import { egressOf } from "../../app.ts";
import type { Config } from "../../config/schema.ts";
import { createEgress } from "../../net/egress.ts";
import { type Clock, systemClock } from "../../wire/clock.ts";
import { isOpenToAll, localUrl } from "../address.ts";
import { invocation } from "../invocation.ts";
import { askOwn, type Own } from "../own.ts";
import { loadOnce, type Settings } from "../settings.ts";
import { shownName, type Telling } from "../told.ts";
import { claudeRecipe } from "./claude.ts";
import { codexRecipe } from "./codex.ts";
import { opencodeRecipe } from "./opencode.ts";
import {
  type ClientFile,
  type ClientName,
  KEY_HINT,
  type Place,
  type Recipe,
  type Seen,
} from "./recipe.ts";
import { keyOf, seenBy } from "./seen.ts";
import { putInto, readSource } from "./write.ts";

const RECIPES: Readonly<Record<ClientName, (seen: Seen, place: Place) => Recipe>> = {
  codex: codexRecipe,
  claude: claudeRecipe,
  opencode: opencodeRecipe,
};

/** What the person wants. */
export type SetupWish = {
  readonly client: ClientName;
  /** Whether the files are written, and not only shown. */
  readonly isWritten: boolean;
  /** Where the client reaches the proxy, if not on this machine. */
  readonly url: string | undefined;
};

/** Where it happens. */
export type SetupScene = {
  readonly place: Place;
  readonly clock: Clock;
  readonly argv0: string;
};

/**
 * Shows the configuration that leads a client to this proxy, or writes it; 0 when that is done, 1 when a file had to be
 * left alone, 2 for a wrong configuration.
 */
export async function setUp(
  settings: Settings,
  wish: SetupWish,
  { print, complain }: Telling,
  scene: SetupScene = ownScene,
): Promise<number> {
  const reading = await loadOnce(settings, complain);
  if (reading === undefined) return 2;
  const { config } = reading;
  const url = (wish.url ?? localUrl(config))?.replace(/\/+(?:v1\/*)?$/, "");
  if (url === undefined) {
    complain(NO_PORT);
    return 2;
  }
  const own = await askProxy(config, url, scene.clock);
  const seen = seenBy(config, url, own.kind === "proxy" ? own.models : undefined);
  const recipe = RECIPES[wish.client](seen, scene.place);
  const shown = (path: string): string => shownPath(path, scene.place.home);
  const command = invocation(scene.argv0, settings.path);
  const notes = [
    ...(await remarksOf(recipe)),
    ...recipe.notes,
    ...notesOn(config, seen, own, command),
  ];
  const failed = wish.isWritten
    ? await write(recipe.files, shown, { print, complain })
    : show(recipe.files, shown, print);
  for (const note of notes) print(`note: ${note}`);
  if (failed > 0) return 1;
  print("");
  const start = own.kind === "nobody" && wish.url === undefined ? `${command} serve` : undefined;
  if (!wish.isWritten) print(`To have it written: ${command} setup ${wish.client} --write`);
  if (start !== undefined) print(`Start the proxy, which does not run yet: ${start}`);
  print(`Then: ${recipe.next}`);
  return 0;
}

const NO_PORT =
  "listen takes any free port (0), so that nobody knows where the proxy will be: set listen to a port, or name the address with --url";

async function askProxy(config: Config, url: string, clock: Clock): Promise<Own> {
  // Not by the way to the backend: this is a place near by.
  const direct = { ...egressOf(config), proxy: undefined, detour: undefined };
  const egress = createEgress({ options: () => direct, clock, onProxy: () => {} });
  const own = await askOwn(url, keyOf(config), egress.ask, clock);
  await egress.close();
  return own;
}

async function remarksOf({ files }: Recipe): Promise<readonly string[]> {
  const said = files.map(async (file) => file.remarks?.(await readSource(file)) ?? []);
  return (await Promise.all(said)).flat();
}

function notesOn(config: Config, seen: Seen, own: Own, command: string): readonly string[] {
  const notes: string[] = [];
  if (seen.key.kind === "hidden") {
    notes.push(`api-keys holds hashes only: put a key of yours in the place of ${KEY_HINT}.`);
  }
  if (own.kind === "other-key") {
    notes.push(
      `the proxy at ${seen.url} does not take the key of this configuration: it runs with another one, or the key is spent. Name its file with -config.`,
    );
  }
  if (own.kind === "stranger") {
    notes.push(
      `what answers at ${seen.url} is not this proxy: set listen to another port, or name the address with --url.`,
    );
  }
  if (isOpenToAll(config)) {
    notes.push(
      `without api-keys everybody who reaches the port may use your accounts: ${command} init makes a configuration with a key.`,
    );
  }
  return notes;
}

function show(
  files: readonly ClientFile[],
  shown: (path: string) => string,
  print: (line: string) => void,
): number {
  for (const { path, text, isSecret } of files) {
    print(`In ${shown(path)}${isSecret ? ", which only you should be able to read" : ""}:`);
    print("");
    print(text);
  }
  return 0;
}

/** Writes what can be written, shows the rest; how many files were left alone. */
async function write(
  files: readonly ClientFile[],
  shown: (path: string) => string,
  { print, complain }: Telling,
): Promise<number> {
  let failed = 0;
  for (const file of files) {
    const put = await putInto(file);
    const name = shown(file.path);
    if (put.kind === "left") {
      failed += 1;
      complain(`${name} is left as it is: ${put.reason}. Put this into it by hand:`);
      print("");
      print(file.text);
    } else if (put.kind === "unchanged") {
      print(`${name}: has it already`);
    } else {
      const backup =
        put.backup === undefined ? "" : `; as it was it is in ${shownName(put.backup)}`;
      const rights = put.isTightened === true ? "; others could read it, now only you can" : "";
      print(`${name}: written${backup}${rights}`);
    }
  }
  return failed;
}

/** A path as people write it, without anything that steers the terminal. */
function shownPath(path: string, home: string): string {
  const isInHome = home !== "" && path.startsWith(home) && /^[\\/]/.test(path.slice(home.length));
  return shownName(isInHome ? `~${path.slice(home.length)}` : path);
}

const ownScene: SetupScene = {
  place: { home: homedir(), env: process.env },
  clock: systemClock,
  argv0: process.argv0,
};
