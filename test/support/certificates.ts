import {
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from "node:crypto";

/** An authority of a test's own, which exists for as long as the test does. */
export type Authority = {
  /** Its certificate, to be trusted. */
  readonly certificate: string;
  /** A certificate for servers of these names or IPv4 addresses, with its key. */
  readonly issue: (names: readonly string[]) => { readonly cert: string; readonly key: string };
};

/** Makes an authority: X.509 by hand (RFC 5280), since neither the runtime nor every machine can make certificates. */
export function createAuthority(name = "codex-proxy test authority"): Authority {
  const own = newKey();
  const certificate = certify({ subject: name, issuer: name, keys: own, signer: own, names: [] });
  return {
    certificate,
    issue: (names) => {
      const keys = newKey();
      const subject = names[0] ?? "nobody";
      const cert = certify({ subject, issuer: name, keys, signer: own, names });
      return { cert, key: keys.pem };
    },
  };
}

type Keys = { readonly pem: string; readonly privateKey: KeyObject; readonly spki: Buffer };

function newKey(): Keys {
  const { privateKey: pem, publicKey: spki } = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "der" },
  });
  return { pem, privateKey: createPrivateKey(pem), spki };
}

type Wish = {
  readonly subject: string;
  readonly issuer: string;
  readonly keys: Keys;
  readonly signer: Keys;
  readonly names: readonly string[];
};

const SEQUENCE = 0x30;
const SET = 0x31;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const UTF8_STRING = 0x0c;
const TIME = 0x18;
const BOOLEAN = 0x01;
// 2.5.4.3, 2.5.29.19, 2.5.29.17 and 1.2.840.10045.4.3.2, with tag and length.
const COMMON_NAME = Buffer.from("0603550403", "hex");
const BASIC_CONSTRAINTS = Buffer.from("0603551d13", "hex");
const ALTERNATIVE_NAMES = Buffer.from("0603551d11", "hex");
const ECDSA_SHA256 = Buffer.from("06082a8648ce3d040302", "hex");
const TRUE = element(BOOLEAN, Buffer.from([0xff]));

function certify({ subject, issuer, keys, signer, names }: Wish): string {
  const algorithm = element(SEQUENCE, ECDSA_SHA256);
  const always = [stamp("20200101000000Z"), stamp("20990101000000Z")];
  const body = element(
    SEQUENCE,
    element(0xa0, element(INTEGER, Buffer.from([2]))),
    element(INTEGER, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    algorithm,
    nameOf(issuer),
    element(SEQUENCE, ...always),
    nameOf(subject),
    keys.spki,
    element(0xa3, element(SEQUENCE, names.length === 0 ? authorityOnly() : alternatives(names))),
  );
  const signature = sign("sha256", body, signer.privateKey);
  const bits = element(BIT_STRING, Buffer.from([0]), signature);
  const base64 = element(SEQUENCE, body, algorithm, bits).toString("base64");
  const lines = base64.match(/.{1,64}/g) ?? [];
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n");
}

function authorityOnly(): Buffer {
  return element(SEQUENCE, BASIC_CONSTRAINTS, TRUE, element(OCTET_STRING, element(SEQUENCE, TRUE)));
}

function alternatives(names: readonly string[]): Buffer {
  const parts = names.map((name) =>
    /^[\d.]+$/.test(name)
      ? element(0x87, Buffer.from(name.split(".").map(Number)))
      : element(0x82, Buffer.from(name)),
  );
  return element(SEQUENCE, ALTERNATIVE_NAMES, element(OCTET_STRING, element(SEQUENCE, ...parts)));
}

function nameOf(common: string): Buffer {
  const pair = element(SEQUENCE, COMMON_NAME, element(UTF8_STRING, Buffer.from(common)));
  return element(SEQUENCE, element(SET, pair));
}

function stamp(text: string): Buffer {
  return element(TIME, Buffer.from(text));
}

/** One element of DER. */
function element(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}
