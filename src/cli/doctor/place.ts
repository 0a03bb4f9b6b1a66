import { join } from "node:path";
import { placeOf } from "../../app.ts";
import type { Config } from "../../config/schema.ts";
import type { Ask } from "../../net/egress.ts";
import { canWriteBeside } from "../../store/durable.ts";
import { isThere } from "../../store/names.ts";
import type { Clock } from "../../wire/clock.ts";
import { dict, number, parseDict } from "../../wire/json.ts";
import { clientKeyOf, isOpenToAll, localUrl } from "../address.ts";
import { askOwn } from "../own.ts";
import { rightsWarnings } from "../rights.ts";
import { shownName, unusedProxy } from "../told.ts";
import type { Report } from "./finding.ts";

/** What of this machine is looked at. */
export type PlaceScene = {
  /** The configuration file; undefined where there is none. */
  readonly path: string | undefined;
  /** What loading the configuration has to say. */
  readonly warnings: readonly string[];
  readonly env: { readonly [variable: string]: string | undefined };
  readonly clock: Clock;
  /** Asks a place on this machine, without any proxy. */
  readonly ask: Ask;
};

/** Fewer connections than that are too few for one agent with its sub-agents. */
const FEW = 4;

/** Looks at the configuration, the folder of the accounts and the place where the proxy listens. */
export async function lookAtPlace(
  config: Config,
  scene: PlaceScene,
  { add }: Report,
): Promise<void> {
  const { path, warnings } = scene;
  const check = "configuration";
  add({
    level: "ok",
    check,
    says: `${path ?? "built-in defaults, there is no config.yaml"}, well-formed`,
  });
  for (const says of warnings) add({ level: "warning", check, says });
  addAccess(config, { add });
  addConnections(config, { add });
  addProxies(config, scene.env, { add });
  await addStore(config, path, { add });
  await addOwn(config, scene, { add });
}

type Adding = Pick<Report, "add">;

function addAccess(config: Config, { add }: Adding): void {
  const check = "access";
  const keys = config["api-keys"].length;
  if (isOpenToAll(config)) {
    const says = `listens on ${config.listen} without api-keys: anyone who reaches this port can use your accounts`;
    add({ level: "warning", check, says, todo: "set api-keys, or listen on 127.0.0.1" });
  } else if (keys === 0) {
    add({
      level: "ok",
      check,
      says: "no api-keys: every program on this machine can call, nobody else",
    });
  } else {
    add({ level: "ok", check, says: `callers must show one of ${keys} api-keys` });
  }
}

function addConnections(config: Config, { add }: Adding): void {
  const check = "connections";
  const most = config["max-conns-per-host"];
  const todo =
    "for many agents set max-conns-per-host to their number, sub-agents included, and some more; 0 is no limit";
  if (most === 0 || config["enable-http2"]) {
    add({ level: "ok", check, says: "as many turns side by side as there are" });
  } else if (most < FEW) {
    const says = `${most} turns at a time (max-conns-per-host): less than one agent with its sub-agents wants`;
    add({ level: "warning", check, says, todo });
  } else {
    add({
      level: "ok",
      check,
      says: `${most} turns at a time (max-conns-per-host); further ones wait in line`,
    });
  }
}

function addProxies(config: Config, env: PlaceScene["env"], { add }: Adding): void {
  const named = unusedProxy(env);
  if (named === undefined || config["proxy-url"] !== "") return;
  const says = `${named} is set in the environment, and is not used`;
  add({
    level: "warning",
    check: "egress",
    says,
    todo: "set proxy-url if requests shall leave by it",
  });
}

async function addStore(config: Config, path: string | undefined, { add }: Adding): Promise<void> {
  const { dir, database } = placeOf(config);
  const check = "store";
  // With a database it takes tokens only while that cannot.
  const shown = shownName(dir);
  const isNew = !(await isThere(dir).catch(() => true));
  const writable = await canWriteBeside(isNew ? dir : join(dir, "an account"));
  const why = writable.ok ? "" : writable.reason.replace(/^[^:]*: cannot be written, because /, "");
  if (!writable.ok) {
    const says = `${shown} takes no new tokens: ${why} A renewed token that cannot be stored is lost with the program's end`;
    const todo = "make the folder (auth-dir) and its files writable for the proxy's user";
    add({ level: "problem", check, says, todo });
  } else {
    const says = isNew
      ? `${shown} is not there yet, and is made at the start`
      : `${shown} takes new tokens${database === undefined ? "" : " while the database cannot"}`;
    add({ level: "ok", check, says });
  }
  for (const says of await rightsWarnings(config, path)) {
    const [what = says, todo] = says.split(/: (?=chmod)/);
    add({ level: "warning", check: "rights", says: what, ...(todo === undefined ? {} : { todo }) });
  }
}

/** Whether a proxy of this configuration runs, and what it says of its connections. */
async function addOwn(config: Config, { ask, clock }: PlaceScene, { add }: Adding): Promise<void> {
  const url = localUrl(config);
  const check = "proxy";
  if (url === undefined) return;
  const key = clientKeyOf(config["api-keys"]);
  const own = await askOwn(url, key, ask, clock);
  switch (own.kind) {
    case "nobody":
      return add({ level: "ok", check, says: `none runs at ${url}` });
    case "stranger": {
      const says = `what answers at ${url} is another program`;
      return add({ level: "problem", check, says, todo: "stop it, or set listen to another port" });
    }
    case "other-key": {
      const says = `one runs at ${url}, but with other api-keys than this configuration`;
      return add({
        level: "warning",
        check,
        says,
        todo: "name its file with -config, or restart it",
      });
    }
    case "proxy":
      add({ level: "ok", check, says: `one runs at ${url}` });
  }
  const admin =
    config["admin-key"] === "" ? key : ({ kind: "known", key: config["admin-key"] } as const);
  const waited = await waitedLong(url, admin.kind === "known" ? admin.key : undefined, ask);
  if (waited === 0) return;
  const says = `${waited} turns have waited for a connection for more than a second since it was started`;
  const todo = "set max-conns-per-host higher, or to 0 for no limit";
  add({ level: "warning", check: "connections", says, todo, facts: { waited_long_total: waited } });
}

/** How many turns have waited long, by the running proxy's own word; 0 where it does not say. */
async function waitedLong(url: string, key: string | undefined, ask: Ask): Promise<number> {
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const signal = AbortSignal.timeout(3000);
  const stats = await ask(`${url}/stats?page_size=1`, { headers, signal, proxy: undefined })
    .then((response) => response.text())
    .catch(() => "");
  return number(dict(parseDict(stats)?.["connections"])["waited_long_total"]) ?? 0;
}
