import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import type { Config } from "../config/schema.ts";
import type { Millis } from "../wire/clock.ts";

/** What the port shows of itself over TLS, in PEM. */
export type Certificate = { readonly cert: string; readonly key: string };

/** A certificate that can be used, or every reason why it cannot. */
export type CertificateReading =
  | {
      readonly ok: true;
      /** Undefined where none is configured. */
      readonly certificate: Certificate | undefined;
      readonly warnings: readonly string[];
    }
  | { readonly ok: false; readonly faults: readonly string[] };

type Paths = Pick<Config, "tls-cert" | "tls-key">;

const DAY_MS = 86_400_000;
// Certificates that live for 90 days are usually renewed 30 before their end: with half of that left, nobody did.
const SOON_MS = 15 * DAY_MS;

/** Reads `tls-cert` and `tls-key` and makes sure that they can be used together. */
export async function readCertificate(paths: Paths, nowMs: Millis): Promise<CertificateReading> {
  if (paths["tls-cert"] === "") return { ok: true, certificate: undefined, warnings: [] };
  const [cert, key] = await Promise.all([
    readPart("tls-cert", paths, (pem) => new X509Certificate(pem)),
    readPart("tls-key", paths, (pem) => createPrivateKey(pem)),
  ]);
  const faults = [cert, key].flatMap((part) => (part.ok ? [] : [part.fault]));
  if (!cert.ok || !key.ok) return { ok: false, faults };
  const certificate = { cert: cert.pem, key: key.pem };
  const fault = mismatch(cert.value, key.value) ?? refusal(certificate);
  if (fault !== undefined)
    return { ok: false, faults: [`tls-cert: ${paths["tls-cert"]}: ${fault}`] };
  return { ok: true, certificate, warnings: ageing(cert.value, paths, nowMs) };
}

type Part<T> =
  | { readonly ok: true; readonly pem: string; readonly value: T }
  | { readonly ok: false; readonly fault: string };

async function readPart<T>(
  name: keyof Paths,
  paths: Paths,
  parse: (pem: string) => T,
): Promise<Part<T>> {
  const refused = (why: string): Part<T> => ({
    ok: false,
    fault: `${name}: ${paths[name]}: ${why}`,
  });
  let pem: string;
  try {
    pem = await readFile(paths[name], "utf8");
  } catch (cause) {
    const code = cause instanceof Error ? String(Reflect.get(cause, "code")) : "unknown";
    return refused(UNREADABLE[code] ?? `it cannot be read (${code})`);
  }
  if (name === "tls-key" && /ENCRYPTED/.test(pem)) {
    return refused("it is protected by a passphrase, which nobody could type; decrypt it first");
  }
  try {
    return { ok: true, pem, value: parse(pem) };
  } catch {
    // The reason may quote the key.
    return refused(`it holds no ${name === "tls-cert" ? "certificate" : "private key"} in PEM`);
  }
}

const UNREADABLE: { readonly [code: string]: string } = {
  ENOENT: "there is no such file",
  EACCES: "this user may not read it",
  EISDIR: "it is a folder, not a file",
};

function mismatch(certificate: X509Certificate, key: KeyObject): string | undefined {
  return certificate.checkPrivateKey(key) ? undefined : "it does not belong to the key in tls-key";
}

/** Whatever else TLS may find wrong with them, such as a broken certificate further down in the file. */
function refusal(certificate: Certificate): string | undefined {
  try {
    createSecureContext(certificate);
    return undefined;
  } catch {
    return "TLS cannot use it together with tls-key";
  }
}

function ageing({ validFrom, validTo }: X509Certificate, paths: Paths, nowMs: Millis): string[] {
  const [fromMs, toMs] = [Date.parse(validFrom), Date.parse(validTo)];
  const told = (state: string): string[] => [`tls-cert: ${paths["tls-cert"]}: ${state}`];
  if (toMs <= nowMs) return told(`it expired on ${validTo}; clients will refuse it`);
  if (fromMs > nowMs) return told(`it is valid from ${validFrom} on; clients will refuse it`);
  if (toMs - nowMs > SOON_MS) return [];
  return told(`it expires on ${validTo}; renew it, and restart the proxy after that`);
}
