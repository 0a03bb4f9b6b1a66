import { stateFileOf } from "../../app.ts";
import { issuerUrl } from "../../config/schema.ts";
import { createAllowances } from "../../engine/allowance.ts";
import { createDeadTokens, type DeadTokens } from "../../engine/dead.ts";
import { createLedger } from "../../engine/ledger.ts";
import { createReload } from "../../engine/reload.ts";
import { createRenewer, type Renewer } from "../../engine/renew.ts";
import { createState } from "../../engine/state.ts";
import type { Ask } from "../../net/egress.ts";
import { createAffinity } from "../../pool/affinity.ts";
import { createPool, MOST_BINDINGS, type Pool } from "../../pool/pool.ts";
import { openStateFile } from "../../store/state.ts";
import type { Snapshot, Store } from "../../store/store.ts";
import { exchange } from "../../upstream/oauth.ts";
import type { Clock } from "../../wire/clock.ts";
import { createLog } from "../../wire/log.ts";
import { openAccounts, type Setup } from "../accounts.ts";

/** The accounts as the proxy would have them, with the very parts that renew tokens there. */
export type Roster = {
  readonly pool: Pool;
  readonly store: Store;
  /** Where the accounts are, in words. */
  readonly where: string;
  /** What the store held at the start. */
  readonly snapshot: Snapshot;
  readonly dead: DeadTokens;
  readonly renewer: Renewer;
  /** Lets renewals that run come to their end, and writes down which tokens are dead; sentences on what went wrong. */
  readonly close: () => Promise<readonly string[]>;
};

/** What the roster needs. */
export type RosterScene = {
  readonly clock: Clock;
  readonly ask: Ask;
  readonly chance: () => number;
};

/** Opens the accounts of a configuration. Nothing is asked, spent or written by that. */
export async function openRoster(
  setup: Setup,
  { clock, ask, chance }: RosterScene,
): Promise<Roster> {
  const { config } = setup;
  const { store, where, close } = await openAccounts(setup, clock);
  const affinity = createAffinity(() => 0, MOST_BINDINGS);
  const policy = {
    unauthorizedMs: config["cooldown-401-sec"] * 1000,
    limitedMs: config["cooldown-429-sec"] * 1000,
  };
  const pool = createPool(
    () => ({ policy, selector: config.selector, affinityTtlMs: 0 }),
    affinity,
  );
  const said: string[] = [];
  // Of what the parts say only what is lost counts here: everything else comes back as an outcome.
  const log = createLog(
    () => ({ level: "error", format: "text" }),
    clock,
    (line) => said.push(line),
  );
  const dead = createDeadTokens({ now: clock.now, onRefused: () => {} });
  const file = openStateFile(stateFileOf(config), clock.now);
  const ledger = createLedger(clock.now);
  const giveWay = () => Promise.resolve();
  const allowances = createAllowances(clock);
  const ports = { pool, affinity, ledger, dead, allowances, file, clock, log, giveWay };
  const state = createState(ports);
  const known = await file.read();
  // A file that is strange is the proxy's to put aside.
  if (known.type !== "strange") await state.open();
  const reload = createReload({ pool, store, clock, log });
  await reload();
  state.restore();
  const renewer = createRenewer({
    pool,
    store,
    clock,
    log,
    dead,
    chance,
    reload,
    isMine: () => true,
    options: () => ({
      concurrency: config["refresh-concurrency"],
      timeoutMs: config["refresh-single-timeout-sec"] * 1000,
      mostAwaited: 0,
      // A look at the accounts deletes none, whatever the proxy itself may do.
      policies: {},
    }),
    exchange: (token, reason, stop, proxy) => {
      const headers = config["upstream-headers"];
      return exchange(token, reason, { issuer: issuerUrl(config), headers, ask, proxy }, stop);
    },
  });
  return {
    pool,
    store,
    where,
    snapshot: await store.read(),
    dead,
    renewer,
    close: async () => {
      const unsaved = renewer.unsaved().length;
      await renewer.settled();
      if (dead.count() > 0) await state.save();
      await close();
      return unsaved > 0 || said.length > 0 ? said : [];
    },
  };
}
