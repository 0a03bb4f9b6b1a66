import { basename } from "node:path";
import type { AccountView } from "../pool/pool.ts";
import { type Failure, refuse } from "../turn/failure.ts";
import { isDict, parseJson, text } from "../wire/json.ts";

/** Which accounts an owner's request is about. */
export type Selection = (view: AccountView) => boolean;

const WAYS = ["email", "file_path", "account_id"] as const;
const HOW = `The body names whom it is about: {"email": "..."}, {"file_path": "..."}, {"account_id": "..."} or {"all": true}.`;

/** Reads which accounts `body` is about; undefined where it is empty and so says nothing. */
export function readSelection(body: string): Selection | Failure | undefined {
  if (body.trim() === "") return undefined;
  const parsed = parseJson(body);
  if (!parsed.ok) return refuse(400, "invalid_json", `The body is no JSON: ${parsed.message}.`);
  const { value } = parsed;
  if (!isDict(value)) return refuse(400, "invalid_value", HOW);
  const unknown = Object.keys(value).find(
    (name) => name !== "all" && !WAYS.some((way) => way === name),
  );
  if (unknown !== undefined) return refuse(400, "unknown_parameter", HOW, unknown);
  if (value["all"] === true) return () => true;
  const way = WAYS.find((name) => text(value[name]) !== undefined);
  if (way === undefined) {
    return Object.keys(value).length === 0 ? undefined : refuse(400, "invalid_value", HOW);
  }
  const wanted = text(value[way]) ?? "";
  return (view) => namesOf(view, way).some((name) => name === wanted.trim().toLowerCase());
}

/** What an account may be called by, in small letters. A file may be named without its folder. */
function namesOf({ account }: AccountView, way: (typeof WAYS)[number]): readonly string[] {
  const { email, source, workspaceId, identity } = account.login;
  const names = {
    email: [email],
    file_path: [source, basename(source)],
    account_id: [workspaceId, identity],
  };
  return names[way].flatMap((name) => (name === undefined ? [] : [name.toLowerCase()]));
}
