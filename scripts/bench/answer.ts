// Follows an answer byte by byte: every one is to be the same as the first.

import { openChunks } from "./chunks.ts";
import type { Dialect } from "./request.ts";
import { constantPart } from "./sight.ts";

/** What an answer's body must be. */
export type Model = { readonly body: Buffer; readonly constant: number };

/** One answer as it arrives. */
export type Answer = {
  /** Takes what has arrived: true once the answer is whole. A sentence says what is wrong with it. */
  readonly push: (chunk: Buffer) => boolean | string;
  /** How many bytes of the body have arrived. */
  readonly seen: () => number;
  /** The body, where there was no model to compare it with. */
  readonly body: () => Buffer;
};

/** A body that later ones are compared with. */
export function modelOf(dialect: Dialect, body: Buffer): Model {
  return { body, constant: constantPart(dialect, body) };
}

const HEAD_END = "\r\n\r\n";

/** Opens an answer; the runtime sends a body that it has whole with its length, any other in chunks. */
export function openAnswer(model: Model | undefined): Answer {
  const kept: Buffer[] = [];
  let head = "";
  let isBody = false;
  let isChunked = false;
  /** Bytes of a body with a length that are still to come. */
  let left = 0;
  let at = 0;

  const take = (piece: Buffer): string | undefined => {
    const from = at;
    at += piece.length;
    if (model === undefined) {
      kept.push(Buffer.from(piece));
      return undefined;
    }
    if (at > model.body.length) return `is longer than the first answer (${model.body.length})`;
    const end = Math.min(at, model.constant);
    if (end <= from) return undefined;
    const isSame = piece.compare(model.body, from, end, 0, end - from) === 0;
    return isSame ? undefined : `differs from the first answer between byte ${from} and ${end}`;
  };

  const passChunks = openChunks(take);

  const over = (): boolean | string => {
    if (model === undefined || at === model.body.length) return true;
    return `has ${at} bytes, the first answer had ${model.body.length}`;
  };

  /** Where the body begins in `chunk`, undefined while the head is not whole, or what is wrong with the head. */
  const passHead = (chunk: Buffer): number | undefined | string => {
    const before = head.length;
    const text = head + chunk.toString("latin1");
    const end = text.indexOf(HEAD_END);
    head = text;
    if (end < 0) return undefined;
    if (!head.startsWith("HTTP/1.1 200")) return `was not 200 but ${head.slice(9, 400)}`;
    const length = /\r\ncontent-length: *(\d+)/i.exec(head.slice(0, end))?.[1];
    isBody = true;
    isChunked = length === undefined;
    left = Number(length ?? 0);
    return end + HEAD_END.length - before;
  };

  return {
    push: (chunk) => {
      let from = 0;
      if (!isBody) {
        const start = passHead(chunk);
        if (typeof start === "string") return start;
        if (start === undefined) return false;
        from = start;
      }
      if (isChunked) {
        const verdict = passChunks(chunk, from);
        return verdict === true ? over() : verdict;
      }
      const fault = take(chunk.subarray(from));
      left -= chunk.length - from;
      return fault ?? (left <= 0 ? over() : false);
    },
    seen: () => at,
    body: () => Buffer.concat(kept),
  };
}
