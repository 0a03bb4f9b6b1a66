import { basename } from "node:path";
import { baseUrl, type Config, defaults } from "../../config/schema.ts";
import type { Renewed } from "../../engine/fresh.ts";
import { isOwn } from "../../engine/gauge.ts";
import type { Ask } from "../../net/egress.ts";
import type { Account } from "../../pool/account.ts";
import { isAlive } from "../../pool/credential.ts";
import { exhaustedUntil, type Quota } from "../../pool/quota.ts";
import type { Failure } from "../../turn/failure.ts";
import { createStop, type Stop } from "../../turn/stop.ts";
import { fetchModels } from "../../upstream/models.ts";
import { fetchUsage } from "../../upstream/usage.ts";
import { type Clock, isoOf, type Millis } from "../../wire/clock.ts";
import { dict, type Json, text } from "../../wire/json.ts";
import type { Finding, Report } from "./finding.ts";

/** With what accounts are looked at. */
export type AccountScene = {
  readonly clock: Clock;
  readonly ask: Ask;
  /** How this program is called. */
  readonly command: string;
  /** Whether the backend can be reached by the configured way. */
  readonly isReachable: boolean;
  /** Why a refresh token will never work again, as far as that is known. */
  readonly whyDead: (refreshToken: string) => string | undefined;
  /** Whether the account's file takes new tokens; the reason where it does not. */
  readonly whyUnwritable: (source: string) => Promise<string | undefined>;
  /** Renews the account's token, and the account after it; undefined where nothing may be spent. */
  readonly renew: ((account: Account) => Promise<readonly [Renewed, Account]>) | undefined;
};

/** Looks at one account: its token, what it may use, and its models. */
export async function lookAtAccount(
  found: Account,
  config: Config,
  scene: AccountScene,
  report: Pick<Report, "add">,
): Promise<void> {
  const add = (finding: Omit<Finding, "account">): void =>
    report.add({ ...finding, account: found.label });
  const { login } = found;
  if (login.isSwitchedOff) {
    add({ level: "ok", check: "account", says: "switched off by its owner, and not used" });
    return;
  }
  if (login.remark !== undefined) {
    add({ level: "warning", check: "account", says: login.remark, todo: "correct its file" });
  }
  const unwritable = await scene.whyUnwritable(login.source);
  if (unwritable !== undefined) {
    const says = `its file ${basename(login.source)} takes no new tokens: ${unwritable}`;
    add({
      level: "problem",
      check: "store",
      says,
      todo: "make the file and its folder writable for the proxy's user",
    });
  }
  const account = await renewed(found, scene, add);
  const isUsable = addToken(account, scene, add);
  if (!isUsable) return;
  if (!scene.isReachable && account.login.proxy === undefined) {
    add({
      level: "warning",
      check: "account",
      says: "not asked, since the backend cannot be reached",
    });
    return;
  }
  if (await addUsage(account, config, scene, add)) await addModels(account, config, scene, add);
}

function logIn(command: string): string {
  return `log in again: ${command} login`;
}

type Add = (finding: Omit<Finding, "account">) => void;

async function renewed(account: Account, scene: AccountScene, add: Add): Promise<Account> {
  const { refreshToken } = account.login.credential;
  if (scene.renew === undefined || refreshToken === undefined) return account;
  const [result, after] = await scene.renew(account);
  const check = "renewal";
  switch (result.type) {
    case "renewed":
      add({ level: "ok", check, says: "its token was renewed, and the new one is stored" });
      break;
    case "adopted":
      add({ level: "ok", check, says: "another program had renewed its token; that one is used" });
      break;
    case "in-order":
      add({ level: "ok", check, says: "its token was renewed a moment ago" });
      break;
    case "left":
      add({ level: "warning", check, says: "not tried: it was called off" });
      break;
    case "failed": {
      const todo = result.isPermanent
        ? logIn(scene.command)
        : "try again later; the tokens are as they were";
      add({ level: "problem", check, says: result.failure.message, todo });
    }
  }
  return after;
}

/** What is known of the tokens without asking anybody; whether there is an access token to ask with. */
function addToken(
  { login }: Account,
  { clock, whyDead, command, renew }: AccountScene,
  add: Add,
): boolean {
  const check = "token";
  const { credential } = login;
  const { refreshToken, issuedAtMs, expiresAtMs } = credential;
  const now = clock.now();
  const alive = isAlive(credential, now);
  const age = issuedAtMs === undefined ? "" : `${lengthOf(now - issuedAtMs)} old, `;
  const end =
    expiresAtMs === undefined
      ? "does not say when it ends"
      : `${alive ? "ends in" : "ended"} ${lengthOf(Math.abs(expiresAtMs - now))}${alive ? "" : " ago"}`;
  const has =
    credential.accessToken === undefined ? "no access token" : `access token ${age}${end}`;
  const dead = refreshToken === undefined ? undefined : whyDead(refreshToken);
  const facts = {
    expires_at: isoOf(expiresAtMs),
    issued_at: isoOf(issuedAtMs),
    has_refresh_token: refreshToken !== undefined,
    refresh_token_refused: dead !== undefined,
  };
  const level = alive ? "warning" : "problem";
  if (dead !== undefined) {
    add({
      level,
      check,
      says: `${has}; it cannot be renewed: ${dead}`,
      todo: logIn(command),
      facts,
    });
  } else if (refreshToken === undefined) {
    add({
      level,
      check,
      says: `${has}; there is no refresh token to renew it with`,
      todo: alive ? `${logIn(command)}, before it ends` : logIn(command),
      facts,
    });
  } else if (alive) {
    add({
      level: "ok",
      check,
      says: `${has}; there is a refresh token${renew === undefined ? " (not tried)" : ""}`,
      facts,
    });
  } else {
    add({
      level: "warning",
      check,
      says: `${has}; the proxy renews it before its next use`,
      todo: `to try that now: ${command} doctor --refresh`,
      facts,
    });
  }
  return alive;
}

async function addUsage(
  { login }: Account,
  config: Config,
  { clock, ask, command }: AccountScene,
  add: Add,
): Promise<boolean> {
  const check = "quota";
  const limitMs = config["health-check-request-timeout"] * 1000;
  const answer = await within(limitMs, clock, (stop) =>
    fetchUsage(identityOf(login), optionsOf(config, ask), stop, clock),
  );
  if (answer.ok) {
    add({ check, ...quotaFinding(answer.quota, login.plan, clock.now()) });
    return true;
  }
  const { failure } = answer;
  if (failure.status === 404) {
    add({
      level: "ok",
      check,
      says: "this backend has no usage endpoint (404), so that nothing is known of quotas",
    });
    return true;
  }
  add({ check, ...refusalFinding(failure, login, { now: clock.now(), command }) });
  return failure.kind === "exhausted" || failure.kind === "rate-limited";
}

function quotaFinding(
  quota: Quota,
  known: string | undefined,
  now: Millis,
): Omit<Finding, "check"> {
  const plan = quota.plan ?? known ?? "unknown";
  const windows = quota.windows.filter(({ isForeign }) => isForeign !== true);
  const shown = windows.map(({ name, usedPercent, resetsAtMs }) => {
    const reset = resetsAtMs === undefined ? "" : `, resets in ${lengthOf(resetsAtMs - now)}`;
    return `${name} ${Math.round(usedPercent)} % used${reset}`;
  });
  const facts = {
    plan,
    has_credits: quota.hasCredits,
    windows: windows.map(
      ({ name, usedPercent, resetsAtMs }): Json => ({
        name,
        used_percent: usedPercent,
        resets_at: isoOf(resetsAtMs),
      }),
    ),
  };
  const says = `plan ${plan}; ${shown.length === 0 ? "no quota windows are told" : shown.join("; ")}`;
  const untilMs = exhaustedUntil(quota, now);
  const isSpent = untilMs !== undefined || (quota.isSpent === true && !quota.hasCredits);
  if (!isSpent) return { level: "ok", says, facts };
  const when =
    untilMs === undefined ? "until its quota comes back" : `for ${lengthOf(untilMs - now)}`;
  return {
    level: "warning",
    says: `${says}: used up`,
    todo: `it rests ${when}; more accounts, or credits, carry on meanwhile`,
    facts,
  };
}

/** What an account's refusal means. */
function refusalFinding(
  { kind, message, resetsAtMs }: Failure,
  { credential }: Account["login"],
  { now, command }: { readonly now: Millis; readonly command: string },
): Omit<Finding, "check"> {
  switch (kind) {
    case "unauthorized":
      return credential.refreshToken === undefined
        ? {
            level: "problem",
            says: `its access token is refused: ${message}`,
            todo: logIn(command),
          }
        : {
            level: "warning",
            says: `its access token is refused: ${message} The proxy renews it by itself`,
            todo: `to try that now: ${command} doctor --refresh; if that fails, log in again`,
          };
    case "deactivated":
      return {
        level: "problem",
        says: message,
        todo: "ask whoever manages the workspace, or take the account out",
      };
    case "forbidden":
      return {
        level: "problem",
        says: `refused: ${message}`,
        todo: "look at the account in a browser: its plan, a bill, a notice",
      };
    case "exhausted":
    case "rate-limited": {
      const when = resetsAtMs === undefined ? "" : ` for ${lengthOf(resetsAtMs - now)}`;
      return { level: "warning", says: message, todo: `it rests${when}; nothing is to be done` };
    }
    case "challenged":
      return {
        level: "problem",
        says: message,
        todo: "let its requests leave by another way: proxy-url, or proxy_url in its file",
      };
    case "egress":
      return {
        level: "problem",
        says: message,
        todo: "put that proxy in order: nothing is sent around it",
      };
    default:
      return { level: "warning", says: message, todo: "try again later" };
  }
}

const MODELS_MS = 15_000;

async function addModels(
  { login }: Account,
  config: Config,
  { clock, ask, command }: AccountScene,
  add: Add,
): Promise<void> {
  const check = "models";
  const version =
    config["upstream-headers"]["version"] ?? defaults()["upstream-headers"]["version"];
  const answer = await within(MODELS_MS, clock, (stop) => {
    const options = { ...optionsOf(config, ask), clientVersion: version ?? "", etag: undefined };
    return fetchModels(identityOf(login), options, stop, clock);
  });
  if (answer.type === "failed") {
    const { failure } = answer;
    const finding = isOwn(failure)
      ? refusalFinding(failure, login, { now: clock.now(), command })
      : ({
          level: "warning",
          says: `the model list could not be read: ${failure.message}`,
          todo: "the list that was known last is used meanwhile",
        } as const);
    add({ check, ...finding });
    return;
  }
  const models = answer.type === "models" ? answer.models : [];
  const listed = models.map(dict).filter((info) => info["visibility"] !== "hide");
  const names = listed.map((info) => text(info["slug"])).filter((slug) => slug !== undefined);
  if (names.length === 0) {
    add({
      level: "warning",
      check,
      says: "the backend's list names no model",
      todo: "look at the account's plan",
    });
  } else {
    add({ level: "ok", check, says: names.join(", "), facts: { models: names } });
  }
}

function identityOf({ credential, workspaceId, proxy }: Account["login"]) {
  return { accessToken: credential.accessToken ?? "", workspaceId, proxy };
}

function optionsOf(config: Config, ask: Ask) {
  return { baseUrl: baseUrl(config), headers: config["upstream-headers"], ask };
}

/** Asks with a time limit. */
async function within<T>(
  limitMs: Millis,
  clock: Clock,
  ask: (stop: Stop) => Promise<T>,
): Promise<T> {
  const stop = createStop();
  const message = `The backend did not answer within ${limitMs / 1000} s.`;
  const cancel = clock.after(limitMs, () => stop.stop({ kind: "timeout", message }));
  return ask(stop).finally(cancel);
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A length of time as people say it. */
function lengthOf(ms: Millis): string {
  if (ms >= 2 * DAY) return `${Math.round(ms / DAY)} days`;
  if (ms >= 2 * HOUR) return `${Math.round(ms / HOUR)} hours`;
  return `${Math.max(Math.round(ms / MINUTE), 1)} min`;
}
