import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Whether this machine can make certificates. */
export const hasOpenssl = Bun.which("openssl") !== null;

/** A certificate for loopback that nobody but its makers trusts, with its key, as files. */
export type Pem = AsyncDisposable & { readonly certPath: string; readonly keyPath: string };

/** Makes a certificate that is valid from now on, for `days`. */
export async function makeCertificate(days: number): Promise<Pem> {
  const dir = await mkdtemp(join(tmpdir(), "codex-proxy-pem-"));
  const [certPath, keyPath] = [join(dir, "cert.pem"), join(dir, "key.pem")];
  const names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
  const command = [
    "openssl",
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
  ];
  const rest = ["-nodes", "-days", String(days), "-subj", "/CN=localhost", "-addext", names];
  const files = ["-keyout", keyPath, "-out", certPath];
  const child = Bun.spawn([...command, ...rest, ...files], { stdout: "ignore", stderr: "ignore" });
  if ((await child.exited) !== 0) throw new Error("openssl made no certificate");
  return {
    certPath,
    keyPath,
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  };
}
