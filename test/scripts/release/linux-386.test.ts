import { expect, test } from "bun:test";
import { DEBIAN_PACKAGES, debianNode } from "../../../scripts/release/linux-386.ts";
import type { DebPins } from "../../../scripts/release/linux-386-pool.ts";
import { makeFolder } from "../../store/folder.ts";
import { makeDeb, pinOf } from "./packages.ts";

type Files = Readonly<Record<string, string>>;

function libraries(...names: string[]): Files {
  return Object.fromEntries(names.map((name) => [`usr/lib/i386-linux-gnu/${name}`, name]));
}

/** What the packages have that is looked for, and some that isn't. */
const CONTENTS: Readonly<Record<string, Files>> = {
  "base-files": { "usr/share/common-licenses/GPL-3": "the GPL" },
  "gcc-14-base": { "usr/share/doc/gcc-14-base/copyright": "GCC's" },
  libbrotli1: libraries(
    "libbrotlicommon.so.1.1.0",
    "libbrotlidec.so.1.1.0",
    "libbrotlienc.so.1.1.0",
  ),
  libc6: libraries(
    "ld-linux.so.2",
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libnsl.so.1",
  ),
  libcares2: libraries("libcares.so.2.19.8"),
  "libgcc-s1": libraries("libgcc_s.so.1"),
  libicu76: libraries("libicudata.so.76.1", "libicui18n.so.76.1", "libicuuc.so.76.1"),
  "libnghttp2-14": libraries("libnghttp2.so.14.28.3"),
  libnode115: {
    "usr/lib/i386-linux-gnu/libnode.so.115": "\0/usr/share/nodejs/acorn/dist/acorn.js\0",
    "usr/share/doc/libnode115/copyright": "Node's",
  },
  libssl3t64: libraries("libcrypto.so.3", "libssl.so.3"),
  "libstdc++6": libraries("libstdc++.so.6.0.33"),
  libzstd1: libraries("libzstd.so.1.5.7"),
  "node-acorn": { "usr/share/nodejs/acorn/dist/acorn.js": "acorn" },
  "node-cjs-module-lexer": { "usr/share/nodejs/cjs-module-lexer/lexer.js": "lexer" },
  "node-minimatch": { "usr/share/nodejs/minimatch/index.js": "minimatch" },
  "node-undici": { "usr/share/nodejs/undici/undici-fetch.js": "undici" },
  nodejs: { "usr/bin/node": "node", "usr/bin/nodejs-extra": "no" },
  zlib1g: libraries("libz.so.1.3.1"),
};

/** Builds from a mirror that has these packages; tells what it made and what it said. */
async function build(contents: Readonly<Record<string, Files>>) {
  const debs = new Map<string, Uint8Array>();
  const packages: DebPins["packages"][number][] = [];
  for (const [name, files] of Object.entries(contents)) {
    const deb = await makeDeb(files);
    const pin = pinOf(name, deb);
    packages.push(pin);
    debs.set(`https://mirror.example/${pin.path}`, deb);
  }
  const get = async (url: string): Promise<Response> =>
    new Response(Buffer.from(debs.get(url) ?? []));
  const said: string[] = [];
  const files = await debianNode("the program", makeFolder(), (line) => said.push(line), {
    source: { mirror: "https://mirror.example", get },
    pins: { suite: "trixie", asOf: "20260102T030405Z", packages },
  });
  const texts = Object.fromEntries(
    [...files].map(([path, { bytes }]) => [path, new TextDecoder().decode(bytes)]),
  );
  return { files, texts, said };
}

test("the program, its launcher, Node and what Node needs stand in one folder", async () => {
  const { files, texts, said } = await build(CONTENTS);
  const folder = "codex-proxy-runtime";
  expect(texts["codex-proxy"]).toStartWith("#!/bin/sh\n");
  expect(texts[`${folder}/codex-proxy.cjs`]).toBe("the program");
  expect(texts[`${folder}/node`]).toBe("node");
  expect(texts[`${folder}/libz.so.1`]).toBe("libz.so.1.3.1");
  expect(texts[`${folder}/libnode.so.115`]).toBe("\0/proc/self/fd/9/./acorn/dist/acorn.js\0");
  expect(texts[`${folder}/acorn/dist/acorn.js`]).toBe("acorn");
  expect(Object.keys(texts).filter((path) => /undici|minimatch|libnsl|extra/.test(path))).toEqual(
    [],
  );
  const started = [...files].filter(([, { mode }]) => mode === 0o755).map(([path]) => path);
  expect(started.sort()).toEqual(["codex-proxy", `${folder}/ld-linux.so.2`, `${folder}/node`]);
  expect(said).toEqual(DEBIAN_PACKAGES.map((name) => `Debian's ${name} 1.0`));
});

test("what the packages' owners ask to be handed on goes along", async () => {
  const { texts } = await build(CONTENTS);
  const folder = "codex-proxy-runtime/licenses";
  expect(texts[`${folder}/libnode115.txt`]).toBe("Node's");
  expect(texts[`${folder}/gcc-14-base.txt`]).toBe("GCC's");
  expect(texts[`${folder}/common-licenses/GPL-3`]).toBe("the GPL");
  expect(texts[`${folder}/README.txt`]).toEndWith("\nnodejs 1.0\nzlib1g 1.0\n");
});

test("the same program gives the same files, in the same order", async () => {
  const [one, other] = [await build(CONTENTS), await build(CONTENTS)];
  expect([...one.files]).toEqual([...other.files]);
});

test("a package that isn't recorded, or lacks what is wanted of it, ends the build", async () => {
  const { zlib1g, ...fewer } = CONTENTS;
  await expect(build(fewer)).rejects.toThrow("linux-386-pins.json has no zlib1g");
  const renamed = { ...CONTENTS, zlib1g: libraries("libz.so.2.0.0") };
  await expect(build(renamed)).rejects.toThrow(
    "Debian's package zlib1g has no usr/lib/i386-linux-gnu/libz.so.1",
  );
  const bare = { ...CONTENTS, "node-acorn": {} };
  await expect(build(bare)).rejects.toThrow("Node's library reads acorn/dist/acorn.js");
});
