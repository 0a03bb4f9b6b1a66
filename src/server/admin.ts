import { basename } from "node:path";
import { type Adoption, countOutcomes, type Offer } from "../engine/adopt.ts";
import { type Ending, type LoginPorts, type LoginRun, startDeviceLogin } from "../engine/login.ts";
import { type Logins, MOST_WAITING } from "../engine/logins.ts";
import type { Account, Login } from "../pool/account.ts";
import type { AccountView } from "../pool/pool.ts";
import { type Check, shape } from "../protocols/schema.ts";
import type { Saved, Store } from "../store/store.ts";
import { type Failure, refuse } from "../turn/failure.ts";
import { isoOf } from "../wire/clock.ts";
import { type Json, parseJson } from "../wire/json.ts";
import { type Log, maskEmail, redact } from "../wire/log.ts";
import { decodeUtf8 } from "../wire/utf8.ts";
import { openBrowserLogin } from "./callback.ts";
import type { ReadBody } from "./intake.ts";
import { LOGIN_FINISH, LOGIN_START } from "./schema.ts";

/** What the owner's acts on accounts need. */
export type AdminPorts = {
  readonly views: () => readonly AccountView[];
  readonly store: Pick<Store, "read" | "aside" | "switchOff" | "discard">;
  readonly adopt: (offers: readonly Offer[]) => Promise<readonly Adoption[]>;
  /** Makes the pool follow the store at once. */
  readonly reload: () => Promise<void>;
  /** Lets an account be used again that was out, whatever the reason. */
  readonly release: (accountId: string) => void;
  readonly logins: Logins;
  readonly login: () => LoginPorts;
  readonly log: Log;
};

/** One request for such an act. */
export type AdminVisit = { readonly read: ReadBody; readonly url: URL };

/** A route of the owner's; whatever it answers changes, adds or shows logins. */
export type AdminRoute = {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly act: (visit: AdminVisit) => Promise<Json | Failure>;
};

const LIMIT_BYTES = 1024 * 1024;
const START: Check<{ method: "browser" | "device" }> = shape(LOGIN_START);
const FINISH: Check<{ redirect_url: string }> = shape(LOGIN_FINISH);

/** The routes under `/admin`. */
export function adminRoutes(ports: AdminPorts): readonly AdminRoute[] {
  const one = (method: AdminRoute["method"], path: string, act: AdminRoute["act"]) => ({
    method,
    path,
    act,
  });
  const turn = (isOff: boolean) => (visit: AdminVisit) => switchOff(visit, isOff, ports);
  return [
    one("POST", "/admin/accounts", (visit) => importBody(visit, ports)),
    one("POST", "/admin/accounts/:id/disable", turn(true)),
    one("POST", "/admin/accounts/:id/enable", turn(false)),
    one("DELETE", "/admin/accounts/:id", (visit) => remove(visit, ports)),
    one("POST", "/admin/login", (visit) => startLogin(visit, ports)),
    one("GET", "/admin/login/:id", async (visit) => withLogin(visit, ports, loginState)),
    one("POST", "/admin/login/:id", (visit) => finishLogin(visit, ports)),
    one("DELETE", "/admin/login/:id", (visit) => cancelLogin(visit, ports)),
  ];
}

/** The part of `/admin/accounts/ID/...` and `/admin/login/ID` that names something. */
function idOf({ url }: AdminVisit): string {
  return url.pathname.split("/")[3] ?? "";
}

async function importBody(visit: AdminVisit, ports: AdminPorts): Promise<Json | Failure> {
  const content = await textOf(visit);
  if (typeof content !== "string") return content;
  const adoptions = await ports.adopt([{ content, source: BODY }]);
  if (adoptions.every(({ login }) => login === undefined)) {
    const reasons = adoptions.slice(0, 3).map(({ at, reason = "" }) => `${at}: ${reason}`);
    return refuse(400, "invalid_account", `No account could be read. ${reasons.join(" ")}`);
  }
  await ports.reload();
  const views = ports.views();
  const counts = countOutcomes(adoptions);
  ports.log.info("accounts imported", counts);
  return { ...counts, items: adoptions.map((adoption) => adoptionOf(adoption, views)) };
}

const BODY = "body";

function adoptionOf(adoption: Adoption, views: readonly AccountView[]) {
  const { at, outcome, login, source, reason } = adoption;
  const account = views.find((view) => view.account.login.identity === login?.identity)?.account;
  const label = login?.email === undefined ? null : maskEmail(login.email);
  return {
    at,
    outcome,
    id: account?.tag ?? null,
    account: account?.label ?? label,
    file: source === undefined ? null : redact(basename(source)),
    reason: reason === undefined ? null : redact(reason),
  };
}

async function switchOff(
  visit: AdminVisit,
  isOff: boolean,
  ports: AdminPorts,
): Promise<Json | Failure> {
  const account = find(visit, ports);
  if ("kind" in account) return account;
  const saved = await ports.store.switchOff(account.login.source, isOff);
  if (!saved.ok) return notStored(saved);
  await ports.reload();
  if (!isOff) ports.release(account.login.identity);
  ports.log.info(isOff ? "account switched off by its owner" : "account switched on by its owner", {
    account: account.label,
  });
  const state = stateOf(account.tag, ports.views());
  return { id: account.tag, account: account.label, state };
}

function stateOf(id: string, views: readonly AccountView[]): string {
  return views.find(({ account }) => account.tag === id)?.standing.kind ?? "gone";
}

async function remove(visit: AdminVisit, ports: AdminPorts): Promise<Json | Failure> {
  const account = find(visit, ports);
  if ("kind" in account) return account;
  const { tag, label, login } = account;
  const sources = [login.source, ...(await copiesOf(login, ports))];
  const files = sources.map((source) => redact(basename(source)));
  if (visit.url.searchParams.get("confirm") !== tag) {
    const message = `This deletes ${label} for good, with its tokens in ${files.join(", ")}. Call it with ?confirm=${tag} if that is meant; POST /admin/accounts/${tag}/disable only switches it off.`;
    return refuse(400, "confirmation_required", message, "confirm");
  }
  // The account itself last: while it is in use, nobody brings a copy back that lies aside, and what fails is asked for again.
  for (const source of [...sources].reverse()) {
    const saved = await ports.store.discard(source);
    if (!saved.ok) return notStored(saved);
  }
  await ports.reload();
  ports.log.warn("account deleted by its owner", { account: label, files: files.length });
  return { id: tag, account: label, deleted: files };
}

/** Where else the same login lies, in use or aside: what is left of it would be the account again. */
async function copiesOf(login: Login, { store }: AdminPorts): Promise<readonly string[]> {
  const [{ duplicates }, aside] = [await store.read(), await store.aside()];
  const { identity, credential } = login;
  const isCopy = (other: Login): boolean => {
    const { refreshToken } = other.credential;
    // An opaque token is called after its file.
    const isSameToken = refreshToken !== undefined && refreshToken === credential.refreshToken;
    return other.identity === identity || isSameToken;
  };
  return [
    ...duplicates
      .filter((duplicate) => duplicate.identity === identity)
      .map(({ ignored }) => ignored),
    ...aside.filter(isCopy).map(({ source }) => source),
  ];
}

function find(visit: AdminVisit, { views }: AdminPorts): Account | Failure {
  const id = idOf(visit);
  const found = views().find(({ account }) => account.tag === id)?.account;
  const message = "There is no account with this id. GET /stats has them.";
  return found ?? refuse(404, "account_not_found", message);
}

function notStored({ reason }: Extract<Saved, { ok: false }>): Failure {
  return refuse(500, "not_stored", `Nothing was changed. ${redact(reason)}`);
}

async function startLogin(visit: AdminVisit, ports: AdminPorts): Promise<Json | Failure> {
  const asked = await jsonOf(visit, START);
  if ("kind" in asked) return asked;
  const { method } = asked.value;
  const opened = await ports.logins.open(async () => {
    if (method === "device") return startDeviceLogin(ports.login());
    return (await openBrowserLogin(ports.login())).run;
  });
  if (opened === "full") {
    const message = `${MOST_WAITING} logins are waiting already. Finish one, or cancel it with DELETE /admin/login/ID.`;
    return refuse(429, "too_many_logins", message);
  }
  if ("ok" in opened) return refuse(502, "login_failed", opened.message);
  const { id, run } = opened;
  ports.log.info("login started", { login: id, method });
  void run.ended.then((ending) => logEnding(id, ending, ports));
  const { url, userCode, expiresAtMs } = run;
  return {
    login_id: id,
    url,
    ...(userCode === undefined ? {} : { user_code: userCode }),
    expires_at: isoOf(expiresAtMs),
  };
}

function logEnding(id: string, ending: Ending, { log, views }: AdminPorts): void {
  if (ending.kind !== "done") {
    log.warn("login failed", { login: id, reason: ending.reason });
    return;
  }
  const { account, outcome } = adoptionOf(ending.adoption, views());
  log.info("login done", { login: id, account: account ?? "without e-mail", outcome });
}

async function finishLogin(visit: AdminVisit, ports: AdminPorts): Promise<Json | Failure> {
  const asked = await jsonOf(visit, FINISH);
  if ("kind" in asked) return asked;
  const id = idOf(visit);
  const run = ports.logins.get(id);
  if (run === undefined) return NO_LOGIN;
  const finish = await run.finish(asked.value.redirect_url);
  if (finish.kind === "stray") {
    return refuse(400, "invalid_redirect_url", finish.message, "redirect_url");
  }
  if (finish.kind === "late") return refuse(409, "already_answered", finish.message);
  return loginState(id, run, ports.views());
}

async function cancelLogin(visit: AdminVisit, ports: AdminPorts): Promise<Json | Failure> {
  const id = idOf(visit);
  const run = ports.logins.get(id);
  if (run === undefined) return NO_LOGIN;
  run.cancel();
  // One whose tokens are being stored goes on to its end, and that is what is told.
  await run.ended;
  return loginState(id, run, ports.views());
}

function withLogin(
  visit: AdminVisit,
  { logins, views }: AdminPorts,
  act: (id: string, run: LoginRun, views: readonly AccountView[]) => Json,
): Json | Failure {
  const id = idOf(visit);
  const run = logins.get(id);
  return run === undefined ? NO_LOGIN : act(id, run, views());
}

const NO_LOGIN = refuse(404, "not_found", "There is no login with this id, or no more.");

function loginState(id: string, run: LoginRun, views: readonly AccountView[]): Json {
  const ending = run.ending();
  if (ending === undefined) return { login_id: id, state: "waiting" };
  if (ending.kind === "done") {
    return { login_id: id, state: "done", account: adoptionOf(ending.adoption, views) };
  }
  const state = ending.kind === "expired" ? "expired" : "failed";
  return { login_id: id, state, reason: redact(ending.reason) };
}

/** The body as text, bounded. */
async function textOf({ read }: AdminVisit): Promise<string | Failure> {
  const intake = await read(LIMIT_BYTES);
  if (!intake.ok) {
    if (intake.failure.code !== "request_too_large") return intake.failure;
    const message = "The request body is larger than 1 MiB. 'codex-proxy import' takes more.";
    return refuse(413, "request_too_large", message);
  }
  const content = decodeUtf8(intake.bytes);
  return content ?? refuse(400, "invalid_encoding", "The request body is not UTF-8 text.");
}

async function jsonOf<T>(
  visit: AdminVisit,
  check: Check<T>,
): Promise<{ readonly value: T } | Failure> {
  const content = await textOf(visit);
  if (typeof content !== "string") return content;
  const parsed = parseJson(content);
  if (!parsed.ok) return refuse(400, "invalid_json", `The body is not JSON: ${parsed.message}.`);
  if (check.fits(parsed.value)) return { value: parsed.value };
  return check.fault(parsed.value, "");
}
