import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Ask } from "../net/egress.ts";
import type { Pool } from "../pool/pool.ts";
import { writeDurably } from "../store/durable.ts";
import { type Catalog, mergeCatalog, SEED_CATALOG } from "../turn/catalog.ts";
import { createStop, type Stop } from "../turn/stop.ts";
import type { Identity } from "../upstream/headers.ts";
import type { ModelsAnswer } from "../upstream/models.ts";
import type { Clock } from "../wire/clock.ts";
import { dict, list, parseDict, text } from "../wire/json.ts";
import type { Log } from "../wire/log.ts";
import { isOwn } from "./gauge.ts";
import { inquire } from "./inquire.ts";
import type { Renewer } from "./renew.ts";
import type { SmallCalls } from "./small-calls.ts";

/** What keeping the model catalogue needs. */
export type CatalogPorts = {
  readonly pool: Pool;
  readonly clock: Clock;
  readonly log: Log;
  readonly renewer: Pick<Renewer, "identify" | "renew" | "accepted">;
  readonly calls: SmallCalls;
  readonly fetch: (
    identity: Identity,
    etag: string | undefined,
    stop: Stop,
    ask: Ask,
  ) => Promise<ModelsAnswer>;
  /** Where the last good answer is kept. */
  readonly cacheFile: string;
};

/** The models as they are known now. */
export type Models = {
  readonly catalog: () => Catalog;
  /** Reads the cached catalogue. A missing or broken cache is as good as none. */
  readonly restore: () => Promise<void>;
  /** Asks the backend on the first account that can be asked. Never throws; a failure leaves all as it was. */
  readonly update: () => Promise<void>;
};

const TIMEOUT_MS = 15_000;

/** The catalogue: the seed table until the backend's has been read, from the cache or by asking. */
export function createModels(ports: CatalogPorts): Models {
  const { pool, renewer, clock, log, cacheFile } = ports;
  let catalog = SEED_CATALOG;
  let etag: string | undefined;

  const keep = async (models: readonly unknown[]): Promise<void> => {
    // Not the folders above it: an account folder that was taken away must not come back empty.
    await mkdir(dirname(cacheFile), { mode: 0o700 }).catch(() => {});
    const saved = await writeDurably(cacheFile, `${JSON.stringify({ etag, models })}\n`);
    if (!saved.ok) log.debug("the model catalogue could not be cached", { reason: saved.reason });
  };

  const ask = (identity: Identity): Promise<ModelsAnswer> =>
    ports.calls.run<ModelsAnswer>(
      identity,
      (own) => {
        const stop = createStop();
        const cancel = clock.after(TIMEOUT_MS, () =>
          stop.stop({ kind: "timeout", message: "The backend did not answer in time." }),
        );
        return ports.fetch(identity, etag, stop, own).finally(cancel);
      },
      (failure) => ({ type: "failed", failure }),
    );

  /** Asks on an account's behalf. What a refusal means for it is settled as that of a turn would be (B7-11). */
  const askAs = async (accountId: string): Promise<ModelsAnswer | undefined> => {
    const asked = await inquire(accountId, {
      identify: renewer.identify,
      renew: renewer.renew,
      ask,
      wantsRenewal: (answer) => answer.type === "failed" && answer.failure.kind === "unauthorized",
    });
    if (asked.type === "none") return undefined;
    const { answer, token: usedToken } = asked;
    if (answer.type !== "failed") {
      renewer.accepted(accountId, usedToken);
    } else if (isOwn(answer.failure)) {
      const { failure } = answer;
      pool.settle(accountId, { type: "refused", failure, usedToken }, clock.now());
    }
    return answer;
  };

  /** Whether the answer was one; a list without any model is none. */
  const take = async (answer: ModelsAnswer, account: string): Promise<boolean> => {
    if (answer.type === "unchanged") return true;
    if (answer.type === "failed" || !isCatalog(answer.models)) {
      const reason = answer.type === "failed" ? answer.failure.message : "The list is empty.";
      log.warn("the backend's model list could not be read; the known one is used", {
        account,
        reason,
      });
      return false;
    }
    etag = answer.etag;
    catalog = mergeCatalog(answer.models);
    log.info("read the backend's model list", { models: answer.models.length });
    await keep(answer.models);
    return true;
  };

  return {
    catalog: () => catalog,
    restore: async () => {
      const cached = parseDict(await readFile(cacheFile, "utf8").catch(() => ""));
      const models = list(cached?.["models"]);
      if (!isCatalog(models)) return;
      etag = text(cached?.["etag"]);
      catalog = mergeCatalog(models);
    },
    update: async () => {
      let asked = 0;
      for (const { account, standing } of pool.view(clock.now())) {
        if (standing.kind !== "ready") continue;
        const answer = await askAs(account.login.identity);
        if (answer === undefined) continue;
        asked += 1;
        if ((await take(answer, account.label)) || asked === MOST_ASKED) return;
      }
    },
  };
}

// Where that many accounts are refused, it is not the accounts.
const MOST_ASKED = 3;

/** Whether a list names any model at all: one that does not would take every model out of the catalogue. */
function isCatalog(models: readonly unknown[]): boolean {
  return models.some((info) => text(dict(info)["slug"]) !== undefined);
}
