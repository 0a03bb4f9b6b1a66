import { gzipSync } from "node:zlib";
import { sha256 } from "../wire/digest.ts";

/** Where each part of the dashboard is found, and what it is. */
export const PAGE_ROUTES = [
  { path: "/", file: "index.html", type: "text/html; charset=utf-8" },
  { path: "/dashboard/app.js", file: "app.js", type: "text/javascript; charset=utf-8" },
  { path: "/dashboard/app.css", file: "app.css", type: "text/css; charset=utf-8" },
  { path: "/dashboard/icon.svg", file: "icon.svg", type: "image/svg+xml" },
] as const;

/** One part of the dashboard. */
export type PageRoute = (typeof PAGE_ROUTES)[number];

/** Answers for the dashboard's parts. */
export type Pages = (route: PageRoute, request: Request) => Promise<Response>;

/**
 * Nothing but its own files, and no way to run or load anything else: a text that somebody gets into the page stays a
 * text. Trusted types have the browser refuse every way by which a script could turn one into code or markup.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const HEADERS = {
  "content-security-policy": POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), microphone=(), geolocation=()",
  // Asked for anew each time, which costs a 304: after an update nobody sees parts of two versions.
  "cache-control": "no-cache",
};

type Served = {
  readonly etag: string;
  readonly plain: Uint8Array<ArrayBuffer>;
  readonly packed: Uint8Array<ArrayBuffer>;
};

/** Serves the dashboard's files, read once by `read`; they tell nothing about accounts. */
export function createPages(read: (file: string) => Promise<Uint8Array<ArrayBuffer>>): Pages {
  const known = new Map<string, Promise<Served>>();
  const load = async (file: string): Promise<Served> => {
    const plain = await read(file);
    const etag = `"${sha256(Buffer.from(plain).toString("latin1")).slice(0, 32)}"`;
    return { etag, plain, packed: new Uint8Array(gzipSync(plain)) };
  };
  const once = (file: string): Promise<Served> => {
    const begun = known.get(file) ?? load(file);
    known.set(file, begun);
    // What could not be read is tried again at the next request.
    begun.catch(() => known.delete(file));
    return begun;
  };
  return async ({ file, type }, request) => {
    const { etag, plain, packed } = await once(file);
    const headers = { ...HEADERS, etag, vary: "accept-encoding" };
    if (isKnown(request.headers.get("if-none-match"), etag)) {
      return new Response(null, { status: 304, headers });
    }
    const isPacked = /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/.test(
      request.headers.get("accept-encoding") ?? "",
    );
    return new Response(isPacked ? packed : plain, {
      headers: {
        ...headers,
        "content-type": type,
        ...(isPacked ? { "content-encoding": "gzip" } : {}),
      },
    });
  };
}

/** Whether the caller has this very content (RFC 9110, 13.1.2: compared weakly). */
function isKnown(held: string | null, etag: string): boolean {
  return (held ?? "")
    .split(",")
    .some((tag) => [etag, "*"].includes(tag.trim().replace(/^W\//, "")));
}
