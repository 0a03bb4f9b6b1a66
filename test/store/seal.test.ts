import { describe, expect, test } from "bun:test";
import { createDecipheriv } from "node:crypto";
import fc from "fast-check";
import { readLogin } from "../../src/store/record.ts";
import {
  createSealer,
  keyIdOf,
  SEALED_TYPE,
  type Sealer,
  unsealing,
} from "../../src/store/seal.ts";
import { dict, parseDict } from "../../src/wire/json.ts";
import { KEYS, openedOf, plain, withBoth, withNew, withOld } from "../support/sealing.ts";

const ACCOUNT =
  '{"access_token":"at-secret","refresh_token":"rt_secret","email":"ann@example.com"}';

/** Any text that a file or a column can hold. */
const texts = fc.string({ unit: "binary", maxLength: 2000 });
const keys = fc.uint8Array({ minLength: 32, maxLength: 32 });

/** Whether a spoilt text can be mistaken for a login, here or by whoever knows nothing of sealing. */
function isTaken(stored: string, sealer: Sealer): boolean {
  const opened = sealer.open(stored);
  return readLogin(stored, "a.json").ok || (opened.ok && readLogin(opened.text, "a.json").ok);
}

describe("a sealed text", () => {
  test("opens to what it was, with the key that sealed it and no other", () => {
    fc.assert(
      fc.property(texts, keys, keys, (text, key, other) => {
        fc.pre(keyIdOf(key) !== keyIdOf(other));
        const sealed = createSealer([key]).seal(text);
        for (const own of [[key], [key, other], [other, key]]) {
          const facts = { isSealed: true, keyId: keyIdOf(key), isCurrent: own[0] === key };
          expect(createSealer(own).open(sealed)).toEqual({ ok: true, text, ...facts });
        }
        expect(createSealer([other]).open(sealed)).toMatchObject({ ok: false, isDamaged: false });
      }),
    );
  });

  test("is one JSON object on one line, which nobody takes for an account and which tells nothing", () => {
    const sealed = withOld.seal(ACCOUNT);
    expect(sealed).not.toMatch(/\s|secret|ann/);
    expect(Object.keys(dict(parseDict(sealed)))).toEqual([
      "type",
      "version",
      "key",
      "nonce",
      "data",
    ]);
    expect(readLogin(sealed, "a.json")).toMatchObject({
      ok: false,
      fault: { reason: expect.stringMatching(/^a\.json: it is encrypted/) },
    });
  });

  test("may be laid out anew, as an editor or a database does", () => {
    const { data, ...rest } = dict(parseDict(withOld.seal(ACCOUNT)));
    const laidOut = JSON.stringify({ data, ...rest }, null, 2);
    expect(openedOf(` ${laidOut}\r\n`.padEnd(16_384))).toBe(ACCOUNT);
  });

  test("is another one each time, under a nonce of its own", () => {
    const nonces = new Set(
      Array.from({ length: 1000 }, () => dict(parseDict(withOld.seal(ACCOUNT)))["nonce"]),
    );
    expect(nonces.size).toBe(1000);
  });

  test("of which a bit was flipped opens to nothing, and is no account to anybody", () => {
    const bytes = Buffer.from(withOld.seal(ACCOUNT));
    const verdicts = new Set<string>();
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const spoilt = Buffer.from(bytes);
      spoilt[bit >> 3] = (spoilt[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const text = spoilt.toString("utf8");
      const opened = withOld.open(text);
      verdicts.add(opened.ok ? `plain, ${opened.isSealed}` : `damaged ${opened.isDamaged}`);
      expect([bit, isTaken(text, withOld)]).toEqual([bit, false]);
    }
    // A flip in the key's id or the version is a key or a version that is not there; one in the head may leave no JSON.
    expect([...verdicts].sort()).toEqual(["damaged false", "damaged true", "plain, false"]);
  });

  test("of which a flip hits what is encrypted, the tag or the nonce is damaged, and not merely without a key", () => {
    const record = dict(parseDict(withOld.seal(ACCOUNT)));
    for (const name of ["nonce", "data"]) {
      const bytes = Buffer.from(String(record[name]), "base64");
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const spoilt = Buffer.from(bytes);
        spoilt[bit >> 3] = (spoilt[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const text = JSON.stringify({ ...record, [name]: spoilt.toString("base64") });
        expect(withOld.open(text)).toMatchObject({ ok: false, isDamaged: true });
      }
    }
  });

  test("that was cut off anywhere opens to nothing", () => {
    const sealed = withOld.seal(ACCOUNT);
    for (let end = 0; end < sealed.length; end++) {
      for (const text of [sealed.slice(0, end), sealed.slice(0, end).padEnd(sealed.length)]) {
        expect([end, isTaken(text, withOld)]).toEqual([end, false]);
        // From its type on it is known for what it was.
        if (end > SEALED_TYPE.length + 10) {
          expect(withOld.open(text)).toMatchObject({ ok: false, isDamaged: true });
        }
      }
    }
  });

  test("whose members are anything else is damaged, never a reason to throw", () => {
    const record = dict(parseDict(withOld.seal(ACCOUNT)));
    const name = fc.constantFrom("type", "version", "key", "nonce", "data");
    fc.assert(
      fc.property(name, fc.jsonValue(), (member, value) => {
        fc.pre(JSON.stringify(value) !== JSON.stringify(record[member]));
        const text = JSON.stringify({ ...record, [member]: value });
        expect(withOld.open(text)).toMatchObject({ ok: false });
      }),
      { numRuns: 500 },
    );
    for (const member of Object.keys(record)) {
      const { [member]: _gone, ...rest } = record;
      expect(isTaken(JSON.stringify(rest), withOld)).toBe(false);
    }
  });

  test("is AES-256-GCM, bound to its form and to its key's id, so that anybody can open it with the key", () => {
    const { type, version, key, nonce, data } = dict(parseDict(withOld.seal(ACCOUNT)));
    const decode = (value: unknown) => Buffer.from(String(value), "base64");
    const open = (aad: string): string => {
      const cipher = createDecipheriv("aes-256-gcm", decode(KEYS.old), decode(nonce));
      cipher.setAAD(Buffer.from(aad)).setAuthTag(decode(data).subarray(-16));
      return cipher.update(decode(data).subarray(0, -16), undefined, "utf8") + cipher.final("utf8");
    };
    expect(decode(nonce)).toHaveLength(12);
    expect(open(`${type} ${version} ${key}`)).toBe(ACCOUNT);
    for (const aad of ["", `${type} 2 ${key}`, `${type} ${version} 00000000`]) {
      expect(() => open(aad)).toThrow();
    }
  });

  test("does not open where its base64 says the same in another way", () => {
    const record = dict(parseDict(withOld.seal(ACCOUNT.slice(0, -1))));
    const data = String(record["data"]);
    for (const other of [
      data.replace(/=*$/, ""),
      `${data}=`,
      `${data}\n`,
      data.replace("+", "-"),
    ]) {
      if (other === data) continue;
      expect(withOld.open(JSON.stringify({ ...record, data: other }))).toMatchObject({ ok: false });
    }
  });
});

describe("a fault says what to do, and no secret", () => {
  test("the key is not among those that are there, or there is none", () => {
    const sealed = withOld.seal(ACCOUNT);
    const [oldId = ""] = withOld.keyIds;
    const [newId = ""] = withNew.keyIds;
    const none = plain.open(sealed);
    const wrong = withNew.open(sealed);
    expect(none).toMatchObject({ ok: false, keyId: oldId, isDamaged: false });
    expect(none.ok ? "" : none.reason).toMatch(
      new RegExp(
        `^it is encrypted with key ${oldId}, but no key is configured\\. Set credential-key`,
      ),
    );
    expect(wrong.ok ? "" : wrong.reason).toContain(`the configured key is ${newId}.`);
  });

  test("a later version's text is left to that version", () => {
    const record = dict(parseDict(withOld.seal(ACCOUNT)));
    const later = withOld.open(JSON.stringify({ ...record, version: 2, more: true }));
    expect(later).toMatchObject({ ok: false, isDamaged: false });
    expect(later.ok ? "" : later.reason).toContain("version 2");
  });
});

describe("a text in the clear", () => {
  test("is itself, with keys and without", () => {
    fc.assert(
      fc.property(texts, (text) => {
        fc.pre(!text.includes(SEALED_TYPE));
        expect(plain.seal(text)).toBe(text);
        const facts = { ok: true, text, isSealed: false } as const;
        expect(plain.open(text)).toEqual({ ...facts, isCurrent: true });
        expect(withOld.open(text)).toEqual({ ...facts, isCurrent: false });
      }),
    );
  });

  test("is not taken for a sealed one because it speaks of it", () => {
    const text = JSON.stringify({ ...dict(parseDict(ACCOUNT)), note: SEALED_TYPE, data: "mine" });
    expect(openedOf(text)).toBe(text);
  });
});

describe("keys", () => {
  test("the first seals, all open, and one that is there twice is one", () => {
    expect(withBoth.keyIds).toEqual([...withNew.keyIds, ...withOld.keyIds]);
    expect(withNew.open(withBoth.seal(ACCOUNT))).toMatchObject({ ok: true, isCurrent: true });
    expect(withBoth.open(withOld.seal(ACCOUNT))).toMatchObject({ ok: true, isCurrent: false });
    const key = new Uint8Array(32).fill(7);
    expect(createSealer([key, key]).keyIds).toEqual([keyIdOf(key)]);
  });

  test("an id is eight digits, and the same for ever", () => {
    fc.assert(fc.property(keys, (key) => /^[0-9a-f]{8}$/.test(keyIdOf(key))));
    // It stands in logs and in notes of the owner's, and so must stay what it was.
    expect(withOld.keyIds).toEqual(["7898db2c"]);
  });

  test("unsealing opens with them and writes in the clear", () => {
    const sealer = unsealing(withBoth);
    expect(sealer.keyIds).toEqual([]);
    expect(sealer.seal(ACCOUNT)).toBe(ACCOUNT);
    expect(sealer.open(withOld.seal(ACCOUNT))).toMatchObject({ text: ACCOUNT, isCurrent: false });
    expect(sealer.open(ACCOUNT)).toMatchObject({ text: ACCOUNT, isCurrent: true });
    expect(unsealing(withNew).open(withOld.seal(ACCOUNT))).toMatchObject({ ok: false });
  });

  test("what was sealed once opens for ever", () => {
    const stored =
      '{"type":"codex-proxy-sealed","version":1,"key":"7898db2c","nonce":"Ep/HHQH4luoX5kA2","data":"tLM8+IZVhFr6hOuRrrAL/xEukwpLNhgOmqn31j41esnxqDI+fKyQBhchOef5VX7QUiYbHFnYWm3jmhMjkBDpbSTs0lt7y3xgVwDmy7lb489mjsFMLNqPjlfE4TQav5MyjB8="}';
    expect(withOld.open(stored)).toMatchObject({ ok: true, text: ACCOUNT, isSealed: true });
  });
});
