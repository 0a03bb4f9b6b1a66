import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readCertificate } from "../../src/server/certificate.ts";
import { hasOpenssl, makeCertificate, type Pem } from "../support/pem.ts";

const DAY_MS = 86_400_000;

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "codex-proxy-certificate-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

async function fileOf(name: string, text: string): Promise<string> {
  const path = join(dir, name);
  await writeFile(path, text);
  return path;
}

async function faultsOf(certPath: string, keyPath: string): Promise<readonly string[]> {
  const reading = await readCertificate({ "tls-cert": certPath, "tls-key": keyPath }, Date.now());
  return reading.ok ? [] : reading.faults;
}

test("where no certificate is configured there is none", async () => {
  const reading = await readCertificate({ "tls-cert": "", "tls-key": "" }, 0);
  expect(reading).toEqual({ ok: true, certificate: undefined, warnings: [] });
});

describe.skipIf(!hasOpenssl)("a certificate (needs openssl to make one)", () => {
  const LIFE_DAYS = 90;
  let mine: Pem;
  let other: Pem;
  beforeAll(async () => {
    [mine, other] = await Promise.all([makeCertificate(LIFE_DAYS), makeCertificate(LIFE_DAYS)]);
  });
  afterAll(async () => {
    await mine[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
  });

  const warningsAfter = async (days: number): Promise<readonly string[]> => {
    const paths = { "tls-cert": mine.certPath, "tls-key": mine.keyPath };
    const reading = await readCertificate(paths, Date.now() + days * DAY_MS);
    return reading.ok ? reading.warnings : reading.faults;
  };

  test("with its key is read, and nothing is said of it", async () => {
    const paths = { "tls-cert": mine.certPath, "tls-key": mine.keyPath };
    const reading = await readCertificate(paths, Date.now());
    const cert = await readFile(mine.certPath, "utf8");
    const key = await readFile(mine.keyPath, "utf8");
    expect(reading).toEqual({ ok: true, certificate: { cert, key }, warnings: [] });
  });

  test("that ends soon, has ended or has not begun is warned of", async () => {
    expect(await warningsAfter(LIFE_DAYS - 20)).toEqual([]);
    const [soon = ""] = await warningsAfter(LIFE_DAYS - 10);
    expect(soon).toStartWith(`tls-cert: ${mine.certPath}: it expires on `);
    expect((await warningsAfter(LIFE_DAYS + 1))[0]).toContain("it expired on");
    expect((await warningsAfter(-2))[0]).toContain("it is valid from");
  });

  test("of which both files are missing is two faults, each with its key and its path", async () => {
    const [cert, key] = [join(dir, "no-cert.pem"), join(dir, "no-key.pem")];
    expect(await faultsOf(cert, key)).toEqual([
      `tls-cert: ${cert}: there is no such file`,
      `tls-key: ${key}: there is no such file`,
    ]);
  });

  test("in a folder's place is a fault", async () => {
    expect(await faultsOf(dir, mine.keyPath)).toEqual([
      `tls-cert: ${dir}: it is a folder, not a file`,
    ]);
  });

  test.skipIf(process.getuid?.() === 0)("that may not be read is a fault", async () => {
    const hidden = await fileOf("hidden.pem", "");
    await chmod(hidden, 0);
    expect(await faultsOf(mine.certPath, hidden)).toEqual([
      `tls-key: ${hidden}: this user may not read it`,
    ]);
  });

  test("that is something else is a fault, and its content is not quoted", async () => {
    const secret = await fileOf("words.pem", "a-very-secret-word\n");
    const faults = await faultsOf(secret, secret);
    expect(faults).toEqual([
      `tls-cert: ${secret}: it holds no certificate in PEM`,
      `tls-key: ${secret}: it holds no private key in PEM`,
    ]);
  });

  test("in the place of its key, and the key in its place, is a fault of both", async () => {
    expect(await faultsOf(mine.keyPath, mine.certPath)).toHaveLength(2);
  });

  test("of another key is a fault", async () => {
    const [fault = ""] = await faultsOf(mine.certPath, other.keyPath);
    expect(fault).toBe(`tls-cert: ${mine.certPath}: it does not belong to the key in tls-key`);
  });

  test("whose key wants a passphrase is a fault", async () => {
    const key =
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    const [fault = ""] = await faultsOf(mine.certPath, await fileOf("locked.pem", key));
    expect(fault).toContain("passphrase");
  });

  test("with something broken below it is a fault", async () => {
    const cert = await readFile(mine.certPath, "utf8");
    const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const chain = await fileOf("chain.pem", cert + broken);
    expect(await faultsOf(chain, mine.keyPath)).toHaveLength(1);
  });

  test("with those that lead to its root below it is taken whole", async () => {
    const chain =
      (await readFile(mine.certPath, "utf8")) + (await readFile(other.certPath, "utf8"));
    const path = await fileOf("whole.pem", chain);
    const reading = await readCertificate(
      { "tls-cert": path, "tls-key": mine.keyPath },
      Date.now(),
    );
    expect(reading).toMatchObject({ ok: true, certificate: { cert: chain } });
  });
});
