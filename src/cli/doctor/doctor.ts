import { basename } from "node:path";
import { egressOf } from "../../app.ts";
import type { Config } from "../../config/schema.ts";
import { USUAL_MOST } from "../../engine/pacer.ts";
import { createEgress, type Egress } from "../../net/egress.ts";
import type { Account } from "../../pool/account.ts";
import { readCertificate } from "../../server/certificate.ts";
import { type Clock, systemClock } from "../../wire/clock.ts";
import { createLanes } from "../../wire/lanes.ts";
import type { Setup } from "../accounts.ts";
import { invocation } from "../invocation.ts";
import { onInterrupt } from "../login.ts";
import { loadOnce, type Settings } from "../settings.ts";
import { liveLine, standardTelling, type Telling } from "../told.ts";
import { lookAtAccount } from "./account.ts";
import { countLevels, createReport, jsonOf, linesOf, type Report } from "./finding.ts";
import { lookAtPlace } from "./place.ts";
import { lookAtReach, ownResolver, type ReachScene } from "./reach.ts";
import { openRoster, type Roster } from "./roster.ts";

/** How the person wants it. */
export type DoctorWish = {
  readonly isJson: boolean;
  /** Whether refresh tokens may be spent to see that they work. */
  readonly mayRefresh: boolean;
};

/** Where it happens. */
export type DoctorScene = Telling & {
  readonly version: string;
  /** The name that the program was called by. */
  readonly argv0: string;
  readonly clock: Clock;
  readonly chance: () => number;
  readonly resolve: ReachScene["resolve"];
  readonly env: { readonly [variable: string]: string | undefined };
  /** Shows a line in place of the last such line; undefined where the output is no terminal. "" takes it away. */
  readonly live: ((text: string) => void) | undefined;
  readonly onInterrupt: (onSignal: () => void) => () => void;
};

/**
 * Looks at everything that must be right for turns to be served, asking backend and issuer, and says of each what it
 * means and what to do; 0 where nothing is a problem, 1 where anything is, 2 for a wrong configuration.
 */
export async function doctor(
  settings: Settings,
  wish: DoctorWish,
  scene: DoctorScene,
): Promise<number> {
  const { print, live, version } = scene;
  const report = createReport((finding) => {
    if (wish.isJson) return;
    live?.("");
    for (const line of linesOf(finding)) print(line);
  });
  const code = await look(
    settings,
    wish,
    wish.isJson ? { ...scene, live: undefined } : scene,
    report,
  );
  if (wish.isJson) {
    print(JSON.stringify(jsonOf(version, report.findings), null, 2));
    return code;
  }
  const { ok, warning, problem } = countLevels(report.findings);
  live?.("");
  print(
    `${ok} ok, ${warning} ${warning === 1 ? "warning" : "warnings"}, ${problem} ${problem === 1 ? "problem" : "problems"}`,
  );
  return code;
}

async function look(
  settings: Settings,
  wish: DoctorWish,
  scene: DoctorScene,
  report: Report,
): Promise<number> {
  const check = "configuration";
  const todo = "correct it; docs/CONFIGURATION.md has every key";
  const fault = (says: string): void => report.add({ level: "problem", check, says, todo });
  const reading = await loadOnce(settings, fault);
  if (reading === undefined) return 2;
  const { config } = reading;
  const tls = await readCertificate(config, scene.clock.now());
  if (!tls.ok) {
    for (const each of tls.faults) fault(each);
    return 2;
  }
  const egress = openEgress(config, scene.clock);
  const near = openEgress(config, scene.clock, true);
  try {
    const warnings = [...reading.warnings, ...tls.warnings];
    await lookAtPlace(config, { ...scene, path: settings.path, warnings, ask: near.ask }, report);
    scene.live?.("Asking the backend and the issuer ...");
    const isReachable = await lookAtReach(config, { ...scene, ask: egress.ask }, report);
    const command = invocation(scene.argv0, settings.path);
    await lookAtAccounts(reading, { ...scene, command, wish, egress, isReachable }, report);
  } finally {
    await Promise.all([egress.close(), near.close()]);
  }
  return countLevels(report.findings).problem > 0 ? 1 : 0;
}

/** The configured way out; `isNear`: to this machine itself, by none. */
function openEgress(config: Config, clock: Clock, isNear = false): Egress {
  const way = egressOf(config);
  const used = isNear ? { ...way, proxy: undefined, detour: undefined } : way;
  // What is wrong with a proxy is told by each request that fails of it.
  return createEgress({ options: () => used, clock, onProxy: () => {} });
}

type AccountsScene = DoctorScene & {
  readonly command: string;
  readonly wish: DoctorWish;
  readonly egress: Egress;
  readonly isReachable: boolean;
};

async function lookAtAccounts(setup: Setup, scene: AccountsScene, report: Report): Promise<void> {
  const { config } = setup;
  const { clock, live, wish, egress } = scene;
  const roster = await openRoster(setup, { clock, ask: egress.ask, chance: scene.chance });
  if (config["db-enabled"]) addDatabase(roster, report);
  addFiles(roster, config, report, scene.command);
  const accounts = roster.pool.view(clock.now()).map(({ account }) => account);
  let isStopped = false;
  // A token that is being exchanged must not be lost: what has begun comes to its end.
  const release = wish.mayRefresh
    ? scene.onInterrupt(() => {
        isStopped = true;
      })
    : () => {};
  const most = config["quota-check-concurrency"] || USUAL_MOST;
  const { run } = createLanes(() => most);
  let done = 0;
  const tell = (): void => live?.(`Asking for accounts, ${done} of ${accounts.length} ...`);
  const lookAt = async (account: Account): Promise<void> => {
    if (isStopped) return;
    tell();
    // Those of one account together, whoever else is looked at meanwhile.
    const own = createReport(() => {});
    await lookAtAccount(
      account,
      config,
      accountSceneOf(roster, scene, () => !isStopped),
      own,
    );
    for (const finding of own.findings) report.add(finding);
    done += 1;
    tell();
  };
  await Promise.all(accounts.map((account) => run(account.login.identity, () => lookAt(account))));
  release();
  for (const says of await roster.close()) {
    report.add({
      level: "problem",
      check: "store",
      says,
      todo: "give the store room and rights, then log in again where a token was lost",
    });
  }
}

/** Whether the database answers. */
function addDatabase({ store, where }: Roster, { add }: Report): void {
  const check = "database";
  const trouble = store.trouble();
  const todo = "mend that; a proxy that runs goes on from memory meanwhile";
  if (trouble === undefined) add({ level: "ok", check, says: `${where} answers` });
  else add({ level: "problem", check, says: `${where}: ${trouble}`, todo });
}

/** What the store says of files that are no accounts, or are not used. */
function addFiles(
  { snapshot, pool }: Roster,
  config: Config,
  { add }: Report,
  command: string,
): void {
  const check = "accounts";
  for (const { reason } of snapshot.faults) add({ level: "problem", check, says: reason });
  for (const { kept, ignored } of snapshot.duplicates) {
    const says = `${basename(ignored)}: the same login is in ${basename(kept)}, which is newer`;
    add({ level: "warning", check, says, todo: "delete the older file" });
  }
  if (pool.view(0).length > 0) return;
  const says = `there is no account in ${config["auth-dir"]}`;
  add({ level: "problem", check, says, todo: `${command} login, or ${command} import FILE` });
}

function accountSceneOf(
  { pool, store, dead, renewer }: Roster,
  { clock, egress, isReachable, wish, command }: AccountsScene,
  isWanted: () => boolean,
) {
  return {
    clock,
    command,
    ask: egress.ask,
    isReachable,
    whyDead: dead.reasonOf,
    whyUnwritable: async (source: string) => {
      const saved = await store.canSave(source);
      return saved.ok ? undefined : saved.reason;
    },
    renew: wish.mayRefresh
      ? async (account: Account) => {
          const { identity } = account.login;
          const result = await renewer.renewByHand(identity, isWanted);
          return [result, pool.get(identity) ?? account] as const;
        }
      : undefined,
  };
}

/** The process's own terminal. */
export function standardDoctor(version: string): DoctorScene {
  return {
    ...standardTelling,
    version,
    argv0: process.argv0,
    clock: systemClock,
    chance: Math.random,
    resolve: ownResolver,
    env: process.env,
    live: liveLine,
    onInterrupt,
  };
}
