import type { Selection } from "../engine/selection.ts";
import type { Work } from "../engine/work.ts";
import { type Failure, refuse } from "../turn/failure.ts";
import { isDict, parseJson, text } from "../wire/json.ts";
import type { ReadBody } from "./intake.ts";
import type { Connection } from "./listen.ts";
import { replyWithProgress } from "./progress.ts";

/** Work that owners have done on accounts of theirs. */
export type AccountRoutes = {
  /** Undefined where there is no such account. */
  readonly refresh: (selection: Selection) => Work | undefined;
  readonly recover: (selection: Selection) => Promise<Work | undefined>;
  readonly checkQuota: (selection: Selection) => Work | undefined;
};

/** What an answer needs beside the work. */
export type AccountCall = {
  readonly request: Request;
  readonly read: ReadBody;
  readonly connection: Connection;
  readonly refuse: (failure: Failure) => Response;
  readonly onFault: (cause: unknown) => void;
};

/** The accounts that a body means which is not there, where that says enough. */
export const ALL: Selection = { by: "all" };

/** Has `act` done on the accounts that the body names; `fallback` where there is no body. */
export async function workOn(
  call: AccountCall,
  act: (selection: Selection) => Work | undefined | Promise<Work | undefined>,
  fallback?: Selection,
): Promise<Response> {
  const selection = await readSelection(call.read, fallback);
  if ("kind" in selection) return call.refuse(selection);
  const work = await act(selection);
  if (work === undefined) return call.refuse(NOT_FOUND);
  return replyWithProgress(work, call);
}

const LIMIT_BYTES = 64 * 1024;

/** Which accounts the body names; `fallback` stands for a body that is not there. */
export async function readSelection(
  readBody: ReadBody,
  fallback: Selection | undefined,
): Promise<Selection | Failure> {
  const read = await readBody(LIMIT_BYTES);
  if (!read.ok) return read.failure;
  const source = new TextDecoder().decode(read.bytes);
  if (source.trim() === "")
    return fallback ?? refuse(400, "missing_body", `Nothing was sent. ${HOW}`);
  const parsed = parseJson(source);
  if (!parsed.ok) return refuse(400, "invalid_json", `The body is not JSON: ${parsed.message}.`);
  const { value } = parsed;
  if (!isDict(value)) return refuse(400, "invalid_body", `The body is not a JSON object. ${HOW}`);
  const entries = Object.entries(value);
  if (entries.length === 0 && fallback !== undefined) return fallback;
  const [entry, ...more] = entries;
  if (entry === undefined || more.length > 0) {
    return refuse(400, "invalid_body", `The body must have one of these, and only one. ${HOW}`);
  }
  return selectionOf(...entry);
}

function selectionOf(name: string, value: unknown): Selection | Failure {
  switch (name) {
    case "all":
      if (value === true) return { by: "all" };
      return refuse(400, "invalid_value", `'all' can only be true. ${HOW}`, name);
    case "email":
    case "file_path":
    case "account_id": {
      const named = text(value);
      if (named !== undefined) return { by: name, value: named };
      return refuse(400, "invalid_value", `'${name}' must be a text that is not blank.`, name);
    }
    default:
      return refuse(
        400,
        "unknown_parameter",
        `The body has a field that nothing is known of. ${HOW}`,
      );
  }
}

const HOW =
  'Send {"email": "..."}, {"file_path": "..."} or {"account_id": "..."} for one account, or {"all": true} for all.';
const NOT_FOUND = refuse(
  404,
  "account_not_found",
  "No account is meant by that. GET /stats lists their files.",
);
