import { describe, expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { collectOffers, type OfferPorts } from "../../src/cli/offers.ts";
import { makeFolder } from "../store/folder.ts";
import { plain, withNew, withOld } from "../support/sealing.ts";
import { onPosix } from "../support/system.ts";

const encoder = new TextEncoder();

function ports(codexHome?: string, ...input: readonly Uint8Array[]): OfferPorts {
  return {
    codexHome,
    sealer: withOld,
    input: async function* () {
      yield* input;
    },
  };
}

describe("collectOffers", () => {
  test("takes files, the *.json files of folders in order, and standard input", async () => {
    const dir = makeFolder();
    mkdirSync(join(dir, "deep.json"));
    mkdirSync(join(dir, "sub"));
    for (const name of ["b.json", "a.json", "c.txt", ".hidden.json", "sub/d.json"]) {
      writeFileSync(join(dir, name), name);
    }
    const paths = [join(dir, "c.txt"), dir, "-"];
    const { offers, faults } = await collectOffers(
      paths,
      ports(undefined, encoder.encode("in"), encoder.encode("put")),
    );
    expect(offers.map(({ content }) => content)).toEqual(["c.txt", "a.json", "b.json", "input"]);
    expect(faults).toEqual([expect.stringContaining("deep.json: it cannot be read")]);
  });

  test("says what it cannot read, without its path", async () => {
    const dir = makeFolder();
    writeFileSync(join(dir, "latin.json"), new Uint8Array([0x7b, 0xe9, 0x7d]));
    writeFileSync(join(dir, "big.json"), new Uint8Array(16 * 1024 * 1024 + 1));
    mkdirSync(join(dir, "empty"));
    const paths = ["latin.json", "big.json", "empty", "nowhere.json"].map((name) =>
      join(dir, name),
    );
    const { offers, faults } = await collectOffers(paths, ports());
    expect(offers).toEqual([]);
    expect(faults).toEqual([
      expect.stringMatching(/^latin\.json: .*UTF-8/),
      expect.stringMatching(/^big\.json: .*16 MiB/),
      expect.stringMatching(/^empty: .*no \*\.json file/),
      "nowhere.json: it cannot be read, because there is no such file.",
    ]);
  });

  test("an endless input is given up", async () => {
    const chunk = new Uint8Array(1024 * 1024).fill(32);
    const endless: OfferPorts = {
      codexHome: undefined,
      sealer: plain,
      input: async function* () {
        for (;;) yield chunk;
      },
    };
    const { faults } = await collectOffers(["-"], endless);
    expect(faults).toEqual([expect.stringContaining("standard input: it is larger")]);
  });

  onPosix("knows the Codex CLI's own files, also behind a link", async () => {
    const home = makeFolder();
    const elsewhere = makeFolder();
    writeFileSync(join(home, "auth.json"), "{}");
    writeFileSync(join(elsewhere, "mine.json"), "{}");
    symlinkSync(join(home, "auth.json"), join(elsewhere, "link.json"));
    const paths = [join(home, "auth.json"), elsewhere];
    expect((await collectOffers(paths, ports(home))).shared).toEqual(["auth.json", "link.json"]);
    expect((await collectOffers(paths, ports(join(home, "gone")))).shared).toEqual([]);
  });

  test("what was encrypted with a key of ours is opened, anything else that was is told", async () => {
    const dir = makeFolder();
    const content = '{"access_token": "at-1"}';
    writeFileSync(join(dir, "ours.json"), withOld.seal(content));
    writeFileSync(join(dir, "theirs.json"), withNew.seal(content));
    writeFileSync(join(dir, "torn.json"), withOld.seal(content).slice(0, -9));
    const { offers, faults } = await collectOffers([dir], ports());
    expect(offers).toEqual([{ content, source: join(dir, "ours.json") }]);
    expect(faults).toEqual([
      expect.stringMatching(/^theirs\.json: it is encrypted with key /),
      expect.stringMatching(/^torn\.json: it is encrypted and has been cut off/),
    ]);
  });
});
