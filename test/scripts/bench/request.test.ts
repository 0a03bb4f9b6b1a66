import { describe, expect, test } from "bun:test";
import type { Contender } from "../../../scripts/bench/contender.ts";
import { requestOf } from "../../../scripts/bench/line.ts";
import { protocols } from "../../../scripts/bench/pieces.ts";
import { PATHS, requestBody } from "../../../scripts/bench/request.ts";

describe("a request of the bench", () => {
  const dialects = ["codex", "responses", "chat", "messages"] as const;

  test.each(dialects)(
    "in the dialect %s is as large as it should be, and understood",
    (dialect) => {
      for (const content of [
        { bytes: 1000, kind: "conversation" },
        { bytes: 8192, kind: "text" },
        { bytes: 50_000, kind: "conversation" },
        { bytes: 50_000, kind: "broken-tools" },
      ] as const) {
        const body = requestBody(dialect, content, "bench-1");
        expect(Buffer.from(body)).toHaveLength(content.bytes);
        const protocol = protocols().find(({ path }) => PATHS[dialect] === `/v1${path}`);
        const decoded = protocol?.decode({
          bytes: new TextEncoder().encode(body),
          headers: new Headers(),
          scope: "bench",
          resolve: (model) => ({ ok: true, choice: { model, isFast: false, levels: [] } }),
        });
        expect(decoded).toMatchObject({ ok: true, exchange: { wantsStream: true } });
      }
    },
  );

  test.each(dialects)("in the dialect %s can become one of another conversation", (dialect) => {
    const contender: Contender = { name: "n", port: 1, pid: 1, path: PATHS[dialect], dialect };
    const request = requestOf(contender, 7);
    request.rename(12_345);
    expect(request.bytes.toString()).toBe(requestOf(contender, 12_345).bytes.toString());
    expect(request.bytes.toString()).toContain("bench-00012345");
    expect(request.bytes.toString()).not.toContain("bench-00000007");
  });
});
