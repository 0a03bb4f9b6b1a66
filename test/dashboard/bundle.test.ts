import { expect, test } from "bun:test";
import { bundlePage } from "../../src/dashboard/bundle.ts";

const decoder = new TextDecoder();

test("the bundle is whole, and needs nothing from anywhere", async () => {
  const files = await bundlePage();
  expect([...files.keys()].toSorted()).toEqual(["app.css", "app.js", "icon.svg", "index.html"]);
  for (const [name, bytes] of files) {
    const content = decoder.decode(bytes);
    // Names of XML vocabularies are no addresses.
    const addresses = content.replaceAll(/http:\/\/www\.w3\.org\/[\w/]+/g, "");
    expect([name, addresses.match(/https?:\/\/[\w.]+/g)]).toEqual([name, null]);
    expect([name, /\beval\(|new Function\(|url\(/.test(content)]).toEqual([name, false]);
  }
});

test("the shell has no script and no style of its own", async () => {
  const shell = decoder.decode((await bundlePage()).get("index.html"));
  expect(shell.match(/<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=/g)).toBeNull();
});

test("it is the same each time", async () => {
  const [one, other] = [await bundlePage(), await bundlePage()];
  for (const [name, bytes] of one) expect(other.get(name)).toEqual(bytes);
});
