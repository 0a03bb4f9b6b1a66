import { brotliDecompressSync, gunzipSync, inflateSync } from "node:zlib";
import { parseJson } from "../../../src/wire/json.ts";

/** A request as it came in, and what became of it. */
export type RecordedRequest = {
  /** Without the query. */
  readonly path: string;
  /** With its question mark; "" if there is none. */
  readonly query: string;
  readonly method: string;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  /** Decoded and parsed: JSON, the fields of a form, else text. */
  readonly body: unknown;
  readonly rawBody: Uint8Array;
  /** Whose token it carried, if anybody's. */
  readonly account: string | undefined;
  /** When its headers had arrived. */
  readonly atMs: number;
  /** The client left before the answer was complete. */
  readonly aborted: boolean;
  /** Bytes of a stream that were handed to the connection so far. */
  readonly sentBytes: number;
  /** Status of the answer; undefined while there is none. */
  readonly status: number | undefined;
};

/** A body after its content encoding, or undefined when it does not decode. */
export function decodeBody(raw: Uint8Array, encoding: string | undefined): Uint8Array | undefined {
  try {
    switch (encoding?.trim().toLowerCase() ?? "identity") {
      case "identity":
      case "":
        return raw;
      case "zstd":
        return Bun.zstdDecompressSync(raw);
      case "gzip":
        return gunzipSync(raw);
      case "deflate":
        return inflateSync(raw);
      case "br":
        return brotliDecompressSync(raw);
      default:
        return undefined;
    }
  } catch {
    return undefined;
  }
}

const decoder = new TextDecoder();

/** A decoded body as a test wants to look at it. */
export function parseBody(bytes: Uint8Array, contentType: string | undefined): unknown {
  const text = decoder.decode(bytes);
  if (contentType?.startsWith("application/x-www-form-urlencoded") === true) {
    return Object.fromEntries(new URLSearchParams(text));
  }
  const parsed = parseJson(text);
  return parsed.ok ? parsed.value : text;
}
