import { parseDict, text } from "../../wire/json.ts";

/**
 * The session that Claude Code names in `metadata.user_id`: a JSON object's `session_id` (2.1.197), or the end of
 * `user_…_account_…_session_<uuid>` as older ones write it.
 */
export function sessionOf(userId: string | null | undefined): string | undefined {
  if (userId === null || userId === undefined) return undefined;
  return text(parseDict(userId)?.["session_id"]) ?? OLDER.exec(userId)?.[1];
}

const OLDER = /_session_([0-9a-f-]{36})$/i;
