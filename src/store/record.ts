import { basename } from "node:path";
import {
  ALLOWED_PROXY,
  type EgressProxy,
  type ProxyReading,
  readProxy,
} from "../config/proxy-url.ts";
import type { Login } from "../pool/account.ts";
import type { Credential } from "../pool/credential.ts";
import { LAST_MS, type Millis } from "../wire/clock.ts";
import { type Dict, dict, isDict, list, number, parseDict, parseJson, text } from "../wire/json.ts";
import { claimsOf, type Lifetime, lifetimeOf, payloadsOf } from "./claims.ts";
import { type Edit, editJson } from "./edit.ts";
import { SEALED_TYPE } from "./seal.ts";
import type { StoreFault } from "./store.ts";

/** What became of a text that should hold one login. */
export type Reading =
  | { readonly ok: true; readonly login: Login }
  | {
      readonly ok: false;
      readonly fault: StoreFault;
      /** The login that must not be used for now, where the fault `isBarring`: its tokens are kept all the same. */
      readonly barred?: Login;
    };

/** One login of an import, with the object it was read from, so that fields we do not know can be kept. */
export type Entry = {
  readonly login: Login;
  readonly record: Dict;
  /** Where it was found, in words: the file, and the entry or line in it. */
  readonly at: string;
};

/** Everything that a file offered for import holds. */
export type Batch = { readonly entries: readonly Entry[]; readonly faults: readonly StoreFault[] };

/** Every name under which a fact is found, best first. */
const SPELLINGS = {
  accessToken: ["access_token", "accessToken"],
  refreshToken: ["refresh_token", "refreshToken"],
  idToken: ["id_token", "idToken"],
  workspaceId: ["account_id", "accountId", "chatgpt_account_id", "chatgptAccountId"],
  email: ["email"],
  plan: ["plan_type", "planType", "chatgpt_plan_type", "chatgptPlanType", "plan"],
  expires: ["expired", "expires_at", "expiresAt", "expires"],
  lastRefresh: ["last_refresh", "lastRefresh"],
  disabled: ["disabled"],
  weight: ["weight"],
  proxyUrl: ["proxy_url", "proxyUrl"],
} as const;

type Field = keyof typeof SPELLINGS;
type TokenField = "accessToken" | "refreshToken" | "idToken";

/** A member of the file: the path to it, and its value. */
type Found = { readonly path: readonly [string, ...string[]]; readonly value: unknown };

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * The login in a credential file, in any of the accepted shapes: flat or nested in `tokens`, snake_case or camelCase.
 * `source` is the file's path; the fault's reason begins with its base name and holds no secret.
 */
export function readLogin(content: string, source: string): Reading {
  const parsed = parseJson(withoutBom(content));
  if (parsed.ok && isDict(parsed.value)) return loginOf(parsed.value, source);
  const name = basename(source);
  if (parsed.ok && !Array.isArray(parsed.value)) {
    return fault(
      source,
      name,
      `this is ${kindOf(parsed.value)}, not a JSON object. ${LOGIN_AGAIN}`,
    );
  }
  if (parsed.ok || linesOf(content) !== undefined) {
    const shape = parsed.ok ? "a list" : "one account per line";
    return fault(
      source,
      name,
      `it holds ${shape}; a file holds one account. Move it to another folder and run "codex-proxy import" on it there.`,
    );
  }
  return fault(source, name, `this is not JSON: ${parsed.message}. Correct it, or log in again.`);
}

/**
 * Every login in a file offered for import: one object, an array of them, or one per line (NDJSON).
 * One bad entry does not spoil the others.
 */
export function readAll(content: string, source: string): Batch {
  const parsed = parseJson(withoutBom(content));
  const lines = parsed.ok ? undefined : linesOf(content);
  if (lines === undefined && !(parsed.ok && Array.isArray(parsed.value))) {
    const reading = readLogin(content, source);
    if (!reading.ok) return { entries: [], faults: [reading.fault] };
    const record = dict(parsed.ok && parsed.value);
    return { entries: [{ login: reading.login, record, at: basename(source) }], faults: [] };
  }
  const name = basename(source);
  const items =
    lines ??
    list(parsed.ok && parsed.value).map((value, index) => ({ at: `entry ${index + 1}`, value }));
  const entries: Entry[] = [];
  const faults: StoreFault[] = [];
  items.forEach(({ at, value }, index) => {
    const own = `${source}#${index + 1}`;
    const place = `${name}, ${at}`;
    const reading = isDict(value)
      ? loginOf(value, own, place)
      : fault(own, place, "this is not a JSON object.");
    if (reading.ok) entries.push({ login: reading.login, record: dict(value), at: place });
    else faults.push(reading.fault);
  });
  return { entries, faults };
}

/**
 * `original` with the new tokens in the places, spellings and time formats it already uses; all else stays as it is,
 * to the byte. A token that `credential` lacks keeps its old value. Undefined when `original` is not one JSON object.
 */
export function writeCredential(
  original: string,
  credential: Credential,
  nowMs: Millis,
): string | undefined {
  const source = withoutBom(original);
  const record = parseDict(source);
  if (record === undefined) return undefined;
  const names = spellingOf(record);
  const edits: Edit[] = [];
  for (const field of ["accessToken", "refreshToken", "idToken"] as const) {
    const value = credential[field];
    if (value === undefined) continue;
    const place = find(record, field) ?? membersOf(record, field)[0];
    edits.push({ path: place?.path ?? names[field], value });
  }
  edits.push(...expiryEdits(record, credential, names.expires));
  const refreshed = membersOf(record, "lastRefresh");
  const stamps = refreshed.length > 0 ? refreshed : [{ path: names.lastRefresh, value: undefined }];
  for (const { path, value } of stamps) edits.push({ path, value: timeLike(value, nowMs) });
  return editJson(source, edits);
}

const LOGIN_AGAIN = 'Log in again with "codex-proxy login", or remove the file.';

function loginOf(record: Dict, source: string, name = basename(source)): Reading {
  const { proxy, refusal } = proxyOf(record);
  const reason = strangeness(record) ?? wrongTypes(record) ?? missing(record);
  if (reason !== undefined) return fault(source, name, reason);
  const facts = (field: Field) => text(find(record, field)?.value)?.trim();
  const accessToken = facts("accessToken");
  const refreshToken = facts("refreshToken");
  const idToken = facts("idToken");
  const tokens = {
    ...(accessToken !== undefined && { accessToken }),
    ...(refreshToken !== undefined && { refreshToken }),
    ...(idToken !== undefined && { idToken }),
  };
  const payloads = payloadsOf(tokens);
  const claims = claimsOf(payloads);
  const workspaceId = workspaceOf(facts("workspaceId"), claims.workspaceId);
  const email = facts("email") ?? claims.email;
  const plan = facts("plan") ?? claims.plan;
  const subject = claims.subject ?? email?.toLowerCase() ?? `file:${basename(source)}`;
  const lastRefreshedMs = timeOf(find(record, "lastRefresh")?.value);
  const login: Login = {
    identity: workspaceId === undefined ? subject : `${subject}/${workspaceId}`,
    ...(workspaceId !== undefined && { workspaceId }),
    ...(email !== undefined && { email }),
    ...(plan !== undefined && { plan }),
    credential: { ...tokens, ...lifetime(record, tokens, lifetimeOf(payloads)) },
    isSwitchedOff: find(record, "disabled")?.value === true,
    ...weightOf(record, name),
    ...(proxy !== undefined && { proxy }),
    ...(lastRefreshedMs !== undefined && { lastRefreshedMs }),
    source,
  };
  if (refusal === undefined) return { ok: true, login };
  const barring = { source, reason: `${name}: ${refusal}`, isBarring: true };
  return { ok: false, fault: barring, barred: login };
}

const MOST_WEIGHT = 1000;

/** A weight is only about who is chosen: one that makes no sense is told, and the login is used without it. */
function weightOf(record: Dict, name: string): Pick<Login, "weight" | "remark"> {
  const found = find(record, "weight");
  if (found === undefined) return {};
  const { value } = found;
  if (typeof value === "number" && value > 0 && value <= MOST_WEIGHT) return { weight: value };
  const shown = typeof value === "number" ? String(value) : kindOf(value);
  const remark = `${name}: "${found.path.join(".")}" should be a number above 0 and at most ${MOST_WEIGHT}, but is ${shown}; it counts as 1. Correct it.`;
  return { remark };
}

/**
 * The file may bring a refresh forward, but a JWT never lives longer than it says. Where there is no refresh token
 * the JWT alone decides: a stale date in the file must not take a working token out of service.
 */
function lifetime(record: Dict, tokens: Credential, own: Lifetime): Lifetime {
  if (tokens.accessToken === undefined) return {};
  const said = timeOf(find(record, "expires")?.value);
  if (said === undefined) return own;
  if (own.expiresAtMs === undefined) return { ...own, expiresAtMs: said };
  if (tokens.refreshToken === undefined) return own;
  return { ...own, expiresAtMs: Math.min(said, own.expiresAtMs) };
}

/** The file's own word wins, unless it is a placeholder (`org-xxx`) and the token knows better. */
function workspaceOf(said: string | undefined, claimed: string | undefined): string | undefined {
  if (said === undefined) return claimed;
  return claimed !== undefined && !UUID.test(said) ? claimed : said;
}

/** Why this is somebody else's kind of file, if it is. */
function strangeness(record: Dict): string | undefined {
  const type = record["type"];
  if (type !== undefined && type !== null && typeof type !== "string") {
    return `"type" should be "codex", but is ${kindOf(type)}. Correct it.`;
  }
  const named = type?.trim().toLowerCase() ?? "";
  if (named === SEALED_TYPE) {
    return 'it is encrypted, and can only be read in auth-dir or by "codex-proxy import", with its key configured.';
  }
  if (named !== "" && named !== "codex") {
    const shown = /^[\w.-]{1,24}$/.test(named) ? ` (its type is "${named}")` : "";
    return `this is not a Codex account${shown}. Move it to another folder.`;
  }
  const mode = text(record["auth_mode"] ?? record["authMode"])?.toLowerCase();
  const isKeyAlone = text(record["OPENAI_API_KEY"]) !== undefined && missing(record) !== undefined;
  if (mode !== "apikey" && !isKeyAlone) return undefined;
  return 'it is in apikey mode: an OpenAI API key is not a ChatGPT login. Run "codex-proxy login".';
}

function missing(record: Dict): string | undefined {
  if (find(record, "accessToken") ?? find(record, "refreshToken")) return undefined;
  return 'it has neither "access_token" nor "refresh_token"; one of them is needed. Log in again with "codex-proxy login".';
}

/** The proxy that the file asks for. One that cannot be read leaves no way out: around it, nothing may be sent. */
function proxyOf(record: Dict): { readonly proxy?: EgressProxy; readonly refusal?: string } {
  const found = find(record, "proxyUrl");
  if (found === undefined) return {};
  const reading: ProxyReading = isString(found.value)
    ? readProxy(found.value.trim(), "proxy_url")
    : { ok: false, found: kindOf(found.value) };
  if (reading.ok) return { proxy: reading.proxy };
  const hint = reading.hint === undefined ? "" : ` (${reading.hint})`;
  const refusal = `"${found.path.join(".")}" should be ${ALLOWED_PROXY}, but is ${reading.found}${hint}. The account is not used until that is corrected: nothing is sent around its proxy.`;
  return { refusal };
}

const TEXT_FIELDS: readonly Field[] = [
  "accessToken",
  "refreshToken",
  "idToken",
  "workspaceId",
  "email",
  "plan",
];
const HEADER_FIELDS: readonly Field[] = ["accessToken", "refreshToken", "idToken", "workspaceId"];

/** Every known field that holds something else than it should, in one sentence. */
function wrongTypes(record: Dict): string | undefined {
  const faults: string[] = [];
  const tokens = record["tokens"];
  if (tokens !== undefined && tokens !== null && !isDict(tokens)) {
    faults.push(`"tokens" should be an object, but is ${kindOf(tokens)}`);
  }
  const complain = (field: Field, wanted: string, isRight: (value: unknown) => boolean): void => {
    for (const { path, value } of membersOf(record, field)) {
      if (value === null || isRight(value)) continue;
      faults.push(`"${path.join(".")}" should be ${wanted}, but is ${kindOf(value)}`);
    }
  };
  for (const field of TEXT_FIELDS) complain(field, "text", isString);
  for (const field of ["expires", "lastRefresh"] as const) {
    complain(field, "a time", (value) => isString(value) || typeof value === "number");
  }
  complain("disabled", "true or false", (value) => typeof value === "boolean");
  for (const field of HEADER_FIELDS) {
    const found = find(record, field);
    if (!isString(found?.value) || /^[\x21-\x7e]*$/.test(found.value.trim())) continue;
    faults.push(
      `"${found.path.join(".")}" has a space, a line break or another character that cannot be in it`,
    );
  }
  return faults.length === 0 ? undefined : `${faults.join("; ")}. Correct it, or log in again.`;
}

function expiryEdits(
  record: Dict,
  credential: Credential,
  fallback: readonly [string, ...string[]],
): readonly Edit[] {
  const own = lifetimeOf(payloadsOf(credential)).expiresAtMs;
  const expiresAtMs = credential.expiresAtMs ?? own;
  // The old time belongs to the old token: with a new one whose end is not known, it must go.
  if (expiresAtMs === undefined && credential.accessToken === undefined) return [];
  const edits: Edit[] = [];
  for (const { path, value } of membersOf(record, "expires")) {
    const isForeign = text(value) !== undefined && timeOf(value) === undefined;
    if (!isForeign) edits.push({ path, value: timeLike(value, expiresAtMs) });
  }
  const isToldByToken = own !== undefined && own === expiresAtMs;
  if (edits.length > 0 || isToldByToken || expiresAtMs === undefined) return edits;
  return [{ path: fallback, value: timeLike(undefined, expiresAtMs) }];
}

/** The members that may hold `field`, in the order in which they count. */
function membersOf(record: Dict, field: Field): readonly Found[] {
  const found: Found[] = [];
  const tokens = dict(record["tokens"]);
  for (const name of SPELLINGS[field]) {
    if (Object.hasOwn(tokens, name)) found.push({ path: ["tokens", name], value: tokens[name] });
  }
  for (const name of SPELLINGS[field]) {
    if (Object.hasOwn(record, name)) found.push({ path: [name], value: record[name] });
  }
  return found;
}

/** The member that counts for `field`: the first one that is not null and not blank. */
function find(record: Dict, field: Field): Found | undefined {
  return membersOf(record, field).find(
    ({ value }) => value !== null && !(isString(value) && value.trim() === ""),
  );
}

type Spelling = Record<TokenField | "expires" | "lastRefresh", readonly [string, ...string[]]>;

/** Where fields go that the file does not have yet: beside the tokens it has, and spelt like them. */
function spellingOf(record: Dict): Spelling {
  const isNested = isDict(record["tokens"]);
  const holder = isNested ? dict(record["tokens"]) : record;
  const isCamel = ["accessToken", "refreshToken", "idToken"].some((name) =>
    Object.hasOwn(holder, name),
  );
  const token = (name: string): readonly [string, ...string[]] =>
    isNested ? ["tokens", name] : [name];
  return {
    accessToken: token(isCamel ? "accessToken" : "access_token"),
    refreshToken: token(isCamel ? "refreshToken" : "refresh_token"),
    idToken: token(isCamel ? "idToken" : "id_token"),
    expires: [isCamel ? "expiresAt" : "expired"],
    lastRefresh: [isCamel ? "lastRefresh" : "last_refresh"],
  };
}

// A time below this is in seconds: as milliseconds it would be in 1973, as seconds it is in the year 5138.
const FIRST_MILLISECONDS = 1e11;

/** A time in seconds, milliseconds or ISO 8601. Unreadable text is no time: the tokens may work all the same. */
function timeOf(value: unknown): Millis | undefined {
  const count = number(value);
  const ms =
    count === undefined
      ? Date.parse(text(value) ?? "")
      : count * (count < FIRST_MILLISECONDS ? 1000 : 1);
  return ms > 0 && ms <= LAST_MS ? ms : undefined;
}

/** `ms` in the format of the time that it replaces; ISO 8601 where there was none. */
function timeLike(old: unknown, ms: Millis | undefined): string | number | null {
  if (ms === undefined || !(ms > 0 && ms <= LAST_MS)) return null;
  const count = number(old);
  if (count === undefined) return new Date(ms).toISOString().replace(".000Z", "Z");
  const time = count < FIRST_MILLISECONDS ? Math.floor(ms / 1000) : Math.floor(ms);
  return isString(old) ? String(time) : time;
}

type Line = { readonly at: string; readonly value: unknown };

/** The lines of an NDJSON text, or undefined when it is something else. A line may be broken, the first may not. */
function linesOf(content: string): readonly Line[] | undefined {
  const lines: Line[] = [];
  for (const [index, line] of withoutBom(content).split("\n").entries()) {
    if (line.trim() === "") continue;
    if (!line.trimStart().startsWith("{")) return undefined;
    lines.push({ at: `line ${index + 1}`, value: parseDict(line) });
  }
  return lines.length > 1 && lines[0]?.value !== undefined ? lines : undefined;
}

/** A text without the byte order mark that some editors put before it. */
export function withoutBom(content: string): string {
  return content.startsWith("\ufeff") ? content.slice(1) : content;
}

function isString(value: unknown): value is string {
  return typeof value === "string";
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "an object";
  if (typeof value === "boolean") return "true or false";
  return typeof value === "number" ? "a number" : "text";
}

function fault(source: string, name: string, reason: string): Reading & { readonly ok: false } {
  return { ok: false, fault: { source, reason: `${name}: ${reason}` } };
}
